"""`taskpost types check FILE`: say what is wrong in a file of task types, or what it defines."""

from __future__ import annotations

from pathlib import Path

from api.catalog import Catalog
from api.settings import SettingsError, read_settings
from api.text import visible


def check_types(path: str) -> str:
    """Return what a file defines, a line for each type. The modules of `TASKPOST_TASK_MODULES` are known to it.

    Raises:
        ValueError: if the file cannot be used; the message has a line for each fault.
    """
    try:
        types = Catalog(read_settings(task_types_file=Path(path)))()
    except SettingsError as error:
        # Who checks a file has named it as an argument, and has not set the variable.
        raise ValueError(str(error).replace("TASKPOST_TASK_TYPES_FILE cannot", f"{path} cannot", 1)) from None
    return "\n".join(f"{name}: {visible(one.description) or 'no description'}" for name, one in types.items())
