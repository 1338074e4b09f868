"""How an attempt is run: the interface that every executor keeps, and its conformance suite tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from runner.contract import ErrorCode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from api.core.log_tail import LogTail
    from api.core.observation import AttemptId, Observation, StopReason
    from api.core.task_types import TaskTypeDefinition


class StartError(Exception):
    """An attempt could not be started, and may be later; the message says why, in the words of the place it runs in.

    `code` is that of the reason which the task shows while it waits for its next start. `may_exist` says that
    something of the attempt may have been started all the same: then its number is not given again.
    """

    def __init__(self, message: str, code: str = ErrorCode.CANNOT_START, *, may_exist: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.may_exist = may_exist


class StartRefused(StartError):  # noqa: N818 - an answer, not a mistake
    """The attempt will never be started as it is: its task fails."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ErrorCode.REJECTED)


class StartUnknown(StartError):  # noqa: N818
    """Without an answer, the attempt may have started or may start soon. Starting it again is safe: it starts once."""

    def __init__(self, message: str, retry_after_seconds: float | None = None, *, may_exist: bool = True) -> None:
        super().__init__(message, may_exist=may_exist)
        self.retry_after_seconds = retry_after_seconds


class ExecutorUnavailable(Exception):  # noqa: N818 - a state of things, not a mistake
    """The place that attempts run in does not answer, or refuses us: nothing can be said of any attempt now."""


@dataclass(frozen=True, slots=True)
class AttemptSpec:
    """What an executor needs to start an attempt.

    `environment` is what the runner is given, by `contract.Env`, `timeout_seconds` how long it may run once it began.
    `definition` is that of its type as it was when the attempt was claimed.
    """

    attempt_id: AttemptId
    task_type: str
    environment: Mapping[str, str] = field(repr=False)
    timeout_seconds: float = 3600.0
    definition: TaskTypeDefinition | None = None

    @property
    def command(self) -> tuple[str, ...]:
        """What its container type runs; empty for a type that the runner computes itself."""
        return () if self.definition is None else self.definition.command


class Executor(Protocol):
    """Runs attempts, each at most once.

    What it sees, `list` and `watch` tell; what that means, `core.settle` says.

    `ends_with_service` says that its attempts cannot outlive the service, so that a service that stops ends them first.
    `stop_deletes_log` says that the log of an attempt may be gone once `stop` was called.
    """

    ends_with_service: bool
    attempt_kind: str = "attempts"
    """What attempts are here, in a word."""
    stop_deletes_log: bool = False
    trouble: str | None = None
    """Why no attempt at all can be started now, if so."""
    running: int = 0
    """How many attempts run now that end with the service."""
    own_addresses: Sequence[tuple[str, int]] = ()
    """Hosts and ports of the place that attempts run in: no callback may go there."""

    async def check(self) -> str:
        """Find out whether attempts can be started here now, without starting one. Returns what was found, for people.

        Raises:
            StartError: with what is in the way.
        """
        ...

    async def open(self) -> None:
        """Find the attempts that an earlier service started and left; `refresh`, `list` and `watch` tell of them."""
        ...

    async def start(self, spec: AttemptSpec) -> None:
        """Start an attempt. Started twice it runs once.

        Raises:
            StartError: if it could not be started; then nothing of it is left, unless it is `StartUnknown`.
        """
        ...

    async def stop(self, attempt_id: AttemptId, reason: StopReason) -> None:
        """Begin to end an attempt and all it started: TERM, after the grace period KILL. Does not wait for the end.

        `reason` is in its observations from then on; the first one given stays. An unknown attempt is not an error.
        """
        ...

    async def forget(self, attempt_id: AttemptId) -> None:
        """Drop what is kept of an attempt that is over and settled. An unknown attempt is not an error."""
        ...

    async def read_log(self, attempt_id: AttemptId) -> LogTail:
        """Return the end of what an attempt has written so far; empty for an unknown attempt.

        Whatever keeps the log from being read is its `note`. Returns within a few seconds.
        """
        ...

    async def refresh(self) -> None:
        """Ask the place that attempts run in for all of them: what `list` tells is true as of now.

        Raises:
            ExecutorUnavailable: if that cannot be known now; `stop` and `forget` raise it too.
        """
        ...

    async def list(self) -> Sequence[Observation]:
        """Return an observation of each attempt that was started, or seen by `refresh`, and is not yet forgotten."""
        ...

    def watch(self) -> AsyncGenerator[Observation, None]:
        """Yield an observation when an attempt is over, or its program has begun or ended whose runner cannot say so.

        May miss some: `refresh` and `list` do not.
        """
        ...

    async def close(self) -> None:
        """Stop observing. What still runs is left running."""
        ...
