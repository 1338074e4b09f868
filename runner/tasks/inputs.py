"""Building blocks for input models, made so that a model and its JSON Schema accept exactly the same JSON values."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

_KEYWORDS: Final = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
    "multiple_of": "multipleOf",
}


class _WholeFloats:
    """Makes an `int` take 10.0 as well, which is an integer to JSON Schema and to many a client."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        return core_schema.no_info_before_validator_function(_whole_float_to_int, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # pydantic writes a bound that stands outside of a validator function under its Python name: {"ge": 0}.
        return {_KEYWORDS.get(keyword, keyword): value for keyword, value in handler(schema).items()}


class _FloatRange:
    """States that no number beyond a float's range is taken: JSON knows no such limit, a Python float does."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        json_schema = handler(schema)
        if "exclusiveMinimum" not in json_schema:
            json_schema.setdefault("minimum", -sys.float_info.max)
        if "exclusiveMaximum" not in json_schema:
            json_schema.setdefault("maximum", sys.float_info.max)
        return json_schema


def _whole_float_to_int(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Integer = Annotated[int, Field(strict=True), _WholeFloats()]
"""A JSON integer, of any size: 10 and 10.0, but not 10.5, true, "10" or null."""

Number = Annotated[float, Field(strict=True, allow_inf_nan=False), _FloatRange()]
"""A JSON number within the range of a float: 10 and 0.5, but not true, "10", null, an infinity or NaN."""


class TaskInput(BaseModel):
    """A base for input models: no unknown fields, no guessing ("10" is not a number), and immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
