"""Runs each attempt as a process on this machine."""

from api.executors.local.directories import free_space
from api.executors.local.executor import LocalExecutor

__all__ = ["LocalExecutor", "free_space"]
