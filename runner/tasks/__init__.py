"""Task types: the built-in ones, a module each, and what is needed to write one's own."""

from runner.tasks.progress import Progress
from runner.tasks.registry import TaskModuleError, TaskType, task_type
from runner.tasks.verdicts import Fail, Retry

__all__ = ["Fail", "Progress", "Retry", "TaskModuleError", "TaskType", "task_type"]
