"""Options that several verbs have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

Function = TypeVar("Function", bound="Callable[..., Any]")


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, and nothing else.")


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
