"""Options that several verbs have."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

Function = TypeVar("Function", bound="Callable[..., Any]")

JSON: Final = "taskpost.json"
UNITS: Final = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST_SECONDS: Final = 365 * 86_400


def _note(ctx: click.Context, _param: click.Parameter, value: bool) -> bool:
    ctx.meta[JSON] = value
    return value


json_option = click.option(
    "--json", "as_json", is_flag=True, callback=_note, help="Print one line of JSON on stdout, an error too."
)


def wants_json(ctx: click.Context) -> bool:
    """Whether the verb that runs was given `--json`."""
    return bool(ctx.meta.get(JSON))


class Span(click.ParamType[float]):
    """A span of time, such as 90, 90s, 2m or 1h30m: in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Read it."""
        if isinstance(value, (int, float)):
            return float(value)
        parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhd]|$)", value.strip()[:50])
        whole = "".join(number + unit for number, unit in parts) == value.strip()
        if not parts or not whole or (len(parts) > 1 and not parts[-1][1]):
            self.fail(f"{value!r} is not a time. Write 90s, 2m or 1h30m.", param, ctx)
        seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
        if seconds > LONGEST_SECONDS:
            self.fail(f"{value!r} is longer than a year.", param, ctx)
        return seconds


def wait_options(function: Function) -> Function:
    """Add `--wait` and `--wait-timeout-seconds` to a verb."""
    timeout = seconds_option("--wait-timeout-seconds", "Wait, but no longer than this: then exit code 5.")
    wait = click.option("--wait", is_flag=True, help="Follow the task to its end, and print its result.")
    return wait(timeout(function))


def seconds_option(name: str, text: str) -> Callable[[Function], Function]:
    """Return an option for a time in seconds: finite, and not negative."""
    return click.option(name, type=click.FloatRange(min=0), callback=_finite, help=text)


def _finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a number of seconds.", ctx, param)
    return value
