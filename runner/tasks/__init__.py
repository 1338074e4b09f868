"""Task types: the built-in ones, a module each, and what is needed to write one's own."""

from runner.tasks.progress import Progress
from runner.tasks.registry import TaskModuleError, TaskType, task_type

__all__ = ["Progress", "TaskModuleError", "TaskType", "task_type"]
