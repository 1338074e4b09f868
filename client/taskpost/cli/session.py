"""What every verb gets: the way to the service."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from taskpost.calls import DEFAULT_URL
from taskpost.client import Client

if TYPE_CHECKING:
    from collections.abc import Callable

Function = TypeVar("Function", bound="Callable[..., Any]")

URL_HELP: Final = f"Where the service is, with its path prefix if it has one. [default: {DEFAULT_URL}]"


@dataclass(frozen=True)
class Session:
    """Where the service is, and how our user calls us."""

    url: str | None
    command: str = "taskpost"
    """`taskpost`, with the options that reach the same service, for hints."""

    @classmethod
    def named(cls, url: str) -> Session:
        """Return the session of a service that the user has named by `--url`."""
        return cls(url, f"taskpost --url {shlex.quote(url)}")

    def connect(self, timeout_seconds: float | None = None) -> Client:
        """Return a client of the service."""
        return Client(self.url) if timeout_seconds is None else Client(self.url, timeout_seconds)


def with_session(function: Function) -> Function:
    """Give a verb the `Session` as its first argument, and the option `--url`, which may stand before the verb too."""

    @click.option("--url", "own_url", metavar="URL", help="Where the service is, as before the command.")
    @click.pass_context
    @wraps(function)
    def invoke(ctx: click.Context, /, *arguments: Any, own_url: str | None, **options: Any) -> Any:  # noqa: ANN401
        session = Session.named(own_url) if own_url else ctx.obj
        return function(session, *arguments, **options)

    return invoke  # type: ignore[return-value]  # the same, for click


def session_of(ctx: click.Context) -> Session:
    """Return the session of a command line that is still being written, for its completion."""
    url: str | None = ctx.params.get("own_url") or ctx.find_root().params.get("url")
    return Session(url)
