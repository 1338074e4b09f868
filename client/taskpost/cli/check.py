"""The verb check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from taskpost.cli.checks import SERVICE, Deadline, Status, check_service
from taskpost.cli.ends import exit_on_sigterm
from taskpost.cli.faults import ExitCode
from taskpost.cli.options import Span, json_option
from taskpost.cli.output import print_json, printable
from taskpost.cli.params import TypeName
from taskpost.cli.session import with_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskpost.cli.checks import Check
    from taskpost.cli.session import Session

COLORS: Final = {Status.OK: "green", Status.FAILED: "red", Status.SKIPPED: "yellow"}
TASK_SECONDS: Final = 60.0
"""Without --wait: how long the task and its callback may take."""


@click.command()
@click.option("--wait", "wait_seconds", type=Span(), help="Wait until all is well, but no longer than this (90s, 2m).")
@click.option("--type", "task_type", type=TypeName(), help="Type of the task that is run. [default: sleep]")
@click.option("--result-url", help="Where its callback goes. [default: to a receiver that is opened on this machine]")
@json_option
@with_session
def check(
    session: Session, *, wait_seconds: float | None, task_type: str | None, result_url: str | None, as_json: bool
) -> None:
    """Check that a service can do its work, from Redis to the callback.

    The service answers; Redis takes writes; a service leads; attempts can be started (in Kubernetes: the API server
    accepts a Job, as a dry run); a task runs (in Kubernetes: its image can be pulled); its callback arrives. With
    --wait failed checks are repeated until they succeed; stderr shows what the command waits for.

    Exit code 0 if all is well, 1 if a check failed, 3 if no service answers.
    """
    found = []
    with exit_on_sigterm():
        for one in _checks(session, wait_seconds, task_type, result_url):
            found.append(one)
            if not as_json:
                mark = click.style(f"{one.status:<8}", fg=COLORS[one.status])
                click.echo(f"{mark} {printable(one.name):<9} {printable(one.message)}")
    failed = [one for one in found if one.status is Status.FAILED]
    if as_json:
        checks = [{"name": one.name, "status": one.status, "message": one.message} for one in found]
        print_json({"ok": not failed, "checks": checks})
    unreachable = any(one.name == SERVICE for one in failed)
    code = ExitCode.UNREACHABLE if unreachable else ExitCode.FAILED if failed else ExitCode.OK
    click.get_current_context().exit(code)


def _checks(
    session: Session, wait_seconds: float | None, task_type: str | None, result_url: str | None
) -> Iterator[Check]:
    from taskpost.cli.check_task import Plan, check_task  # noqa: PLC0415 - a server, which is not needed if one fails before

    deadline = None if wait_seconds is None else Deadline.after(wait_seconds)
    with session.connect() as client:
        of_service = check_service(client.url, deadline, _say)
        yield from of_service
        if any(one.status is Status.FAILED for one in of_service):
            return
        name = "image" if any(one.name == "jobs" for one in of_service) else "task"
        until = deadline or Deadline.after(TASK_SECONDS)
        yield from check_task(client, Plan(name, task_type, result_url), until, _say)


def _say(text: str) -> None:
    click.echo(printable(text), err=True)
