"""All connections of the server: which phase of its life each is in, how long that may take, and what all of them hold.

A connection is in one phase at a time, and a phase has its connections in the order in which they came. So one timer
for all of them is enough: it looks at the oldest of each phase. Where there are too many connections, or they hold too
many bytes, those go first on which nothing comes any more, and of these the one that has sent least: an honest request
goes on, even if it is slow, and newcomers are served.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import IntEnum, auto
from itertools import islice, takewhile
from operator import itemgetter
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

SWEEP_SECONDS: Final = 0.5
READ_BYTES: Final = 64 * 1024
IDLE_SHARE: Final = 4
SILENT_SECONDS: Final = 1.0
"""An unfinished request of which nothing has come for so long is silent."""
SILENT_COMPARED: Final = 1000
"""Of more silent requests, those that are silent for longest are compared: each newcomer may need a place."""


class Phase(IntEnum):
    """What a connection is about."""

    IDLE = 0
    """No request has begun."""
    HEAD = auto()
    """The head of a request comes."""
    BODY = auto()
    """Its body comes."""
    ANSWER = auto()
    """It is being answered."""
    UNREAD = auto()
    """The client does not read the answer."""
    CLOSING = auto()
    """The answer is sent, and the client has not closed yet."""


_UNFINISHED: Final = frozenset({Phase.HEAD, Phase.BODY})


@dataclass(frozen=True, slots=True)
class Limits:
    """What connections may take: in number, in bytes of all of them together, in seconds for each phase."""

    connections: int = 1000
    held_bytes: int = 64 * 1024 * 1024
    unread_bytes: int = 64 * 1024 * 1024
    idle_seconds: float = 75
    head_seconds: float = 10
    body_seconds: float = 60
    unread_seconds: float = 30
    closing_seconds: float = 2


class Connection(Protocol):
    """What a connection must offer to be counted here."""

    phase: Phase | None
    """None: it is not counted yet, or no longer."""
    held: int
    """Bytes of requests that it holds."""

    def expire(self) -> None:
        """End the connection, because its phase took too long, or go on to another phase."""

    def evict(self) -> None:
        """End the connection at once: its place is needed."""

    def unread_bytes(self) -> int:
        """Return the bytes of answers that the client has not read."""


class Connections:
    """The connections of one server."""

    def __init__(self, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.limits = limits
        self.read_buffer = memoryview(bytearray(READ_BYTES))
        """The read buffer of all connections: it is emptied before the next one reads."""
        self._loop = loop
        self._now = loop.time
        self._since: list[dict[Connection, float]] = [{} for _ in Phase]
        self._seconds = {
            Phase.IDLE: limits.idle_seconds,
            Phase.HEAD: limits.head_seconds,
            Phase.BODY: limits.body_seconds,
            Phase.UNREAD: limits.unread_seconds,
            Phase.CLOSING: limits.closing_seconds,
        }
        self._progress: dict[Connection, float] = {}
        """When something of each unfinished request came last, in that order."""
        self._held = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._large: deque[Callable[[], None]] = deque()

    def __len__(self) -> int:
        return sum(map(len, self._since))

    def enter(self, connection: Connection, phase: Phase) -> None:
        """Let a connection begin a phase."""
        if connection.phase is not None:
            del self._since[connection.phase][connection]
            self._progress.pop(connection, None)
        elif not self._has_room():
            connection.evict()
            return
        now = self._now()
        connection.phase = phase
        self._since[phase][connection] = now
        if phase in _UNFINISHED:
            self._progress[connection] = now

    def leave(self, connection: Connection) -> None:
        """Forget a connection and what it holds."""
        if connection.phase is not None:
            del self._since[connection.phase][connection]
            self._progress.pop(connection, None)
            connection.phase = None
            self.hold(connection, 0)

    def seconds_in_phase(self, connection: Connection) -> float:
        """Return for how long a connection has been in its phase."""
        return self._now() - self._since[connection.phase][connection] if connection.phase else 0.0

    def hold(self, connection: Connection, size: int) -> bool:
        """Note how many bytes of requests a connection holds; return whether it may.

        The requests of which nothing has come for longest are given up for it.
        """
        if size > connection.held and connection in self._progress:
            del self._progress[connection]
            self._progress[connection] = self._now()
        self._held += size - connection.held
        connection.held = size
        while self._held > self.limits.held_bytes:
            if not self._progress:
                return False
            self._evict(next(iter(self._progress)))
        return True

    def bound_unread(self) -> None:
        """Close the clients that have not read for longest, while the unread answers exceed their limit."""
        waiting = self._since[Phase.UNREAD]
        total = sum(connection.unread_bytes() for connection in waiting)
        while total > self.limits.unread_bytes and len(waiting) > 1:
            victim = next(iter(waiting))
            total -= victim.unread_bytes()
            self._evict(victim)

    def make_room(self) -> bool:
        """End a connection, so that its descriptor is free; return whether there was one that can be ended."""
        victim = self._victim()
        if victim is not None:
            self._evict(victim)
        return victim is not None

    def start_large(self, start: Callable[[], None]) -> None:
        """Call `start` soon. Only one such call runs in each turn of the event loop, so that others are not delayed."""
        self._large.append(start)
        if len(self._large) == 1:
            self._loop.call_soon(self._start_one)

    def _start_one(self) -> None:
        start = self._large[0]
        # The first callback goes to the end of the loop's queue after what `start` has made, a task for instance.
        start()
        self._loop.call_soon(self._started)

    def _started(self) -> None:
        self._large.popleft()
        if self._large:
            self._loop.call_soon(self._start_one)

    def _has_room(self) -> bool:
        if self._sweep is None:
            self._sweep = self._loop.call_later(SWEEP_SECONDS, self._end_expired)
        return len(self) < self.limits.connections or self.make_room()

    def _victim(self) -> Connection | None:
        """Choose the connection to close: an idle one unless these are few, else the one that stood still longest."""
        if len(self._since[Phase.IDLE]) > self.limits.connections // IDLE_SHARE:
            return next(iter(self._since[Phase.IDLE]))
        still = [next(iter(self._since[phase].items()), None) for phase in (Phase.CLOSING, Phase.UNREAD)]
        found = [each for each in (*still, self._least_sent()) if each is not None]
        if found:
            return min(found, key=itemgetter(1))[0]
        return next(iter(self._since[Phase.IDLE]), None)

    def _least_sent(self) -> tuple[Connection, float] | None:
        """Choose an unfinished request: of the silent ones that which has sent least, else the nearest to silence."""
        until = self._now() - SILENT_SECONDS
        silent = takewhile(lambda each: each[1] <= until, islice(self._progress.items(), SILENT_COMPARED))
        return min(silent, key=lambda each: each[0].held, default=next(iter(self._progress.items()), None))

    def _evict(self, connection: Connection) -> None:
        self.leave(connection)
        connection.evict()

    def _end_expired(self) -> None:
        for phase, seconds in self._seconds.items():
            until, since = self._now() - seconds, self._since[phase]
            while since:
                connection, began = next(iter(since.items()))
                if began > until:
                    break
                connection.expire()
                if since.get(connection) == began:
                    self._evict(connection)
        self._sweep = self._loop.call_later(SWEEP_SECONDS, self._end_expired) if len(self) else None
