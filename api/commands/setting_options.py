"""The options of `taskpost serve`: one for each setting, in groups, with their choices and defaults."""

from __future__ import annotations

from types import UnionType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args, get_origin

import click
from pydantic import SecretStr

from api.setting_names import option_of, variable_of
from api.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.shell_completion import CompletionItem
    from pydantic.fields import FieldInfo

GROUPS: Final = {
    "bind": "Address and log",
    "redis_url": "Redis and data",
    "executor": "Attempts",
    "namespace": "Attempts as Kubernetes Jobs",
    "max_attempts": "Limits of attempts",
    "queue_max_length": "Queue and retention",
    "undelivered_max_bytes": "Undelivered results and idempotency",
    "signing_keys": "Callbacks",
}
"""The group that begins with a setting, in the order of the settings; it goes up to the next one."""
NAME_COLUMNS: Final = 24
"""Longer names have a line of their own: the longest variable must fit beside them."""
NUMBERS: Final = {int: "NUMBER", float: "NUMBER"}

Command = TypeVar("Command", bound="Callable[..., Any]")


class SettingOption(click.Option):
    """The option of a setting. It takes any text: the settings check values, wherever they come from."""

    def __init__(self, *arguments: Any, group: str, choices: tuple[str, ...] = (), **more: Any) -> None:  # noqa: ANN401
        self.group = group
        self._choices = choices
        super().__init__(*arguments, **more)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Complete the choices, if the setting has some."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only a shell asks for it

        found = [CompletionItem(choice) for choice in self._choices if choice.startswith(incomplete)]
        return found or super().shell_complete(ctx, incomplete)


class GroupedCommand(click.Command):
    """A command that shows its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups in order, the options that are in none first."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(parameter, "group", "Options"), []).append(record)
        for group in sorted(groups, key=lambda name: name != "Options"):
            with formatter.section(group):
                formatter.write_dl(groups[group], col_max=NAME_COLUMNS)


def settings_options(command: Command) -> Command:
    """Add an option to a command for each setting, under the name of the setting."""
    for option in reversed(list(_options())):
        command = option(command)
    return command


def _options() -> Iterator[Callable[[Command], Command]]:
    group = "Options"
    for name, field in Settings.model_fields.items():
        group = GROUPS.get(name, group)
        choices = _choices(field.annotation)
        yield click.option(
            option_of(name),
            name,
            cls=SettingOption,
            group=group,
            choices=choices,
            metavar=f"[{'|'.join(choices)}]" if choices else _metavar(field.annotation),
            help=_help(name, field),
        )
        if name == "bind":
            text = f"Port to listen on, in place of that in {variable_of(name)}; 0 takes a free one."
            yield click.option("--port", cls=SettingOption, group=group, metavar="NUMBER", help=text)


def _help(name: str, field: FieldInfo) -> str:
    default = _default(field)
    notes = [f"[{variable_of(name)}]", *([f"[default: {default}]"] if default else [])]
    return " ".join([field.description or "", *notes])


def _default(field: FieldInfo) -> str:
    """Return the default as a user would type it; empty if there is none, and then the description explains it."""
    try:
        value = field.get_default(call_default_factory=True)
    except RuntimeError:  # a user without a home directory
        return ""
    if value is None or isinstance(value, SecretStr):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    values = value if isinstance(value, tuple | dict) else (value,)
    return ", ".join(f"{one:.10g}" if isinstance(one, float) else str(one) for one in values)


def _choices(annotation: Any) -> tuple[str, ...]:  # noqa: ANN401 - whatever a field is annotated with
    if get_origin(annotation) is Literal:
        return tuple(map(str, get_args(annotation)))
    return ("true", "false") if bool in _kinds(annotation) else ()


def _metavar(annotation: Any) -> str:  # noqa: ANN401 - as above
    return next((NUMBERS[kind] for kind in _kinds(annotation) if kind in NUMBERS), "VALUE")


def _kinds(annotation: Any) -> tuple[Any, ...]:  # noqa: ANN401 - as above
    return get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
