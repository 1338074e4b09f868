"""The JSON form of values that are not JSON but have one: pydantic models, dataclasses, times and the like.

Nothing is imported for it: a value of a module that nobody has imported cannot be there.
"""

from __future__ import annotations

import sys
from typing import Any, Final

NO_FORM: Final = object()
"""A value has no form in JSON."""

_CLASSES: Final = {
    "datetime": ("datetime", "date", "time", "timedelta"),
    "decimal": ("Decimal",),
    "enum": ("Enum",),
    "uuid": ("UUID",),
}
"""What pydantic writes in a form of its own, which is the same within a model and outside of one."""


def plain_form(value: Any) -> Any:  # noqa: ANN401 - any value a task may return
    """Return the form of a value in JSON, or in values that have one; `NO_FORM` if it has none."""
    kind = type(value)
    serializer = _of_class(kind, "__pydantic_serializer__")
    if serializer is not None:
        return serializer.to_python(value, mode="json")
    if _of_class(kind, "__dataclass_fields__") is not None:
        from dataclasses import fields  # noqa: PLC0415 - for those alone that return one

        return {field.name: object.__getattribute__(value, field.name) for field in fields(kind)}
    if "pathlib" in sys.modules and issubclass(kind, sys.modules["pathlib"].PurePath):
        return sys.modules["pathlib"].PurePath.__str__(value)
    for module, names in _CLASSES.items():
        if module in sys.modules and issubclass(kind, tuple(getattr(sys.modules[module], name) for name in names)):
            from pydantic_core import to_jsonable_python  # noqa: PLC0415

            if module == "decimal" and not value.is_finite():  # NaN is not JSON, whatever its type is
                return float(value)
            return to_jsonable_python(value)
    return NO_FORM


def _of_class(kind: type, name: str) -> Any:  # noqa: ANN401
    """Return an attribute of a class, or None. Bypasses a metaclass of the task's own."""
    try:
        return type.__getattribute__(kind, name)
    except AttributeError:
        return None
