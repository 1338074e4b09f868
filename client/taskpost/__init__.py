"""Taskpost for Python programs: submit tasks, follow them, and verify the callbacks."""
