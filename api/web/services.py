"""What the web part is given by the composition root: nothing here reads settings or opens connections."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from api.web.origins import HostRule
from runner.delivery.guard import Policy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from api.core.check import Check
    from api.core.log_tail import LogTail
    from api.core.observation import AttemptId
    from api.core.task_types import Definitions
    from api.queue.queue import Queue
    from api.queue.shapes import QueueLimits


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The plain values of the settings that the web part needs.

    `root_path` is the prefix under which a proxy serves Taskpost; requests may arrive with it or without it.
    """

    queue_limits: QueueLimits
    concurrency: int
    root_path: str = ""
    cors_origins: tuple[str, ...] = ()
    hosts: HostRule = field(default_factory=HostRule)
    callback_policy: Policy = field(default_factory=Policy)
    keeps_logs: bool = True


async def _nothing_checked() -> Sequence[Check]:
    return ()


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes work with.

    `ready` returns None, or why the service is not ready; `checks` has the details. `read_log` returns what an attempt
    has written so far.
    """

    queue: Queue
    types: Definitions
    settings: WebSettings
    ready: Callable[[], Awaitable[str | None]]
    read_log: Callable[[AttemptId], Awaitable[LogTail]]
    checks: Callable[[], Awaitable[Sequence[Check]]] = _nothing_checked
