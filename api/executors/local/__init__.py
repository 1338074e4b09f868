"""Runs each attempt as a process on this machine."""

from api.executors.local.executor import LocalExecutor

__all__ = ["LocalExecutor"]
