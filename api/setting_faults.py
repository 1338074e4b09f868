"""Messages about settings that pydantic refuses: with the names that the user typed, without secrets. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.expected import allowed, expected
from api.setting_names import option_of, shown, value_of, variable_of
from api.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationError
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

MAX_NAME_CHARACTERS: Final = 100
SECRETS: Final = frozenset({"redis_url", "signing_keys", "callback_proxy"})
"""Settings whose values are in no message."""


def explain(
    error: ValidationError, options: Mapping[str, object], fields: Mapping[str, FieldInfo], environ: Mapping[str, str]
) -> list[str]:
    """Return a message for each fault. `options` are the values that the user typed; all others are in `environ`."""
    return [_message(fault, options, fields, environ) for fault in error.errors(include_url=False)]


def _message(
    fault: ErrorDetails, options: Mapping[str, object], fields: Mapping[str, FieldInfo], environ: Mapping[str, str]
) -> str:
    name, *inner = map(str, fault["loc"])
    label = option_of(name) if name in options else variable_of(name)
    field = fields.get(name)
    if field is None:
        return f"{label} is not a setting of Taskpost"
    value = "(not shown)" if name in SECRETS else shown(options.get(name, value_of(name, environ)))
    values = allowed(field)
    reason = f"Expected {values}" if values is not None and fault["type"] != "value_error" else expected(fault)
    where = f" for {visible(inner[0][:MAX_NAME_CHARACTERS])}" if inner and not inner[0].isdecimal() else ""
    return f"{label} is {value}: {reason}{where}. {field.description}"
