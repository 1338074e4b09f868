"""The runner: the program in a task's Job or process. It computes, reports, and makes the first delivery try.

Who writes task types imports from here: `from runner import Fail, Progress, Retry, task_type`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.tasks import Fail, Progress, Retry, task_type

__all__ = ["Fail", "Progress", "Retry", "task_type"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - as PEP 562 has it
    """Import what is asked for and no earlier: every attempt imports this package, and pays for what it imports."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from runner import tasks  # noqa: PLC0415

    return getattr(tasks, name)
