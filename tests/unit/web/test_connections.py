"""Who is ended, and when: phases, numbers and sums without sockets, on a clock of the test."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from api.web.connections import SILENT_COMPARED, SWEEP_SECONDS, Connections, Limits, Phase
from api.web.descriptors import LEAST_CONNECTIONS, MOST_CONNECTIONS, connections_for

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Loop:
    """An event loop whose time and turns are the test's."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.soon: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> object:
        self.timers.append((self.now + delay, callback))
        return object()

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def turn(self) -> None:
        callbacks, self.soon = self.soon, []
        for callback in callbacks:
            callback()

    def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self.timers and self.timers[0][0] <= until:
            self.now, callback = self.timers.pop(0)
            callback()
        self.now = until


class Client:
    """A connection that notes what becomes of it."""

    def __init__(self, connections: Connections, unread: int = 0) -> None:
        self.phase: Phase | None = None
        self.held = 0
        self.ends: list[str] = []
        self._connections = connections
        self._unread = unread

    def expire(self) -> None:
        self.ends.append("expired")
        self._connections.leave(self)

    def evict(self) -> None:
        self.ends.append("evicted")

    def unread_bytes(self) -> int:
        return self._unread


def make(**limits: float) -> tuple[Loop, Connections]:
    loop = Loop()
    return loop, Connections(Limits(**limits), cast("asyncio.AbstractEventLoop", loop))  # type: ignore[arg-type]


def join(connections: Connections, phase: Phase = Phase.IDLE) -> Client:
    client = Client(connections)
    connections.enter(client, phase)
    return client


@pytest.mark.parametrize(
    ("phase", "seconds"), [(Phase.IDLE, 75), (Phase.HEAD, 10), (Phase.BODY, 60), (Phase.UNREAD, 30), (Phase.CLOSING, 2)]
)
def test_each_phase_has_its_time(phase: Phase, seconds: float) -> None:
    loop, connections = make()
    client = join(connections, phase)
    loop.sleep(seconds - SWEEP_SECONDS)
    assert client.ends == []
    loop.sleep(2 * SWEEP_SECONDS)
    assert client.ends == ["expired"]
    assert len(connections) == 0
    loop.sleep(SWEEP_SECONDS)
    assert loop.timers == []


def test_what_is_answered_has_no_time_here() -> None:
    loop, connections = make()
    client = join(connections, Phase.ANSWER)
    loop.sleep(1000)
    assert client.ends == []


def test_a_connection_whose_end_does_nothing_is_evicted() -> None:
    loop, connections = make()
    client = join(connections)
    client.expire = lambda: None  # type: ignore[method-assign]
    loop.sleep(80)
    assert client.ends == ["evicted"]


def test_the_longest_idle_goes_first_where_they_are_many() -> None:
    _, connections = make(connections=8)
    sender = join(connections, Phase.BODY)
    idle = [join(connections) for _ in range(7)]
    join(connections)
    assert [client.ends for client in idle] == [["evicted"], *[[]] * 6]
    assert sender.ends == []


def test_the_oldest_unfinished_request_goes_where_the_idle_are_few() -> None:
    loop, connections = make(connections=8)
    idle = [join(connections) for _ in range(2)]
    unfinished = []
    for phase in (Phase.HEAD, Phase.BODY, Phase.UNREAD) * 2:
        loop.now += 0.001
        unfinished.append(join(connections, phase))
    for number in range(6):
        loop.now += 0.001
        join(connections, Phase.HEAD)
        assert [bool(client.ends) for client in unfinished] == [each <= number for each in range(6)]
    assert not any(client.ends for client in idle)
    assert len(connections) == 8


def test_of_silent_requests_the_one_that_sent_least_goes_first() -> None:
    loop, connections = make(connections=4)
    clients = [join(connections, Phase.BODY) for _ in range(4)]
    for client, size in zip(clients, (500, 20, 10, 5), strict=True):
        connections.hold(client, size)
    loop.now += 2
    connections.hold(clients[3], 6)  # it is not silent
    for evicted in (2, 1, 0):
        join(connections, Phase.HEAD)
        assert clients[evicted].ends == ["evicted"]
    assert clients[3].ends == []


def test_newcomer_costs_the_same_however_many_are_silent() -> None:
    """Else many silent connections and many new ones keep the event loop busy with choosing."""
    loop, connections = make(connections=3 * SILENT_COMPARED)
    clients = [join(connections, Phase.BODY) for _ in range(3 * SILENT_COMPARED)]
    for number, client in enumerate(clients):
        connections.hold(client, 1 + 3 * SILENT_COMPARED - number)
    loop.now += 2
    join(connections, Phase.HEAD)
    assert [number for number, client in enumerate(clients) if client.ends] == [SILENT_COMPARED - 1]


def test_slow_upload_outlives_newer_requests_that_stop() -> None:
    loop, connections = make(connections=8, held_bytes=1000)
    upload = join(connections, Phase.BODY)
    for size in range(1, 60):
        loop.now += 0.5
        assert connections.hold(upload, size)
        connections.hold(join(connections, Phase.BODY), 400)
        join(connections, Phase.HEAD)
    assert upload.ends == []


def test_what_is_being_answered_is_never_ended_for_another() -> None:
    _, connections = make(connections=2)
    answered = [join(connections, Phase.ANSWER) for _ in range(2)]
    newcomer = join(connections)
    assert newcomer.ends == ["evicted"]
    assert not any(client.ends for client in answered)


def test_bytes_have_a_bound_in_sum() -> None:
    _, connections = make(held_bytes=100)
    clients = [join(connections, Phase.BODY) for _ in range(3)]
    assert all(connections.hold(client, 40) for client in clients[:2])
    assert connections.hold(clients[2], 40)
    assert [client.ends for client in clients] == [["evicted"], [], []]
    connections.leave(clients[1])
    assert connections.hold(clients[2], 100)
    assert clients[2].ends == []


def test_bytes_of_what_is_being_answered_are_not_given_up() -> None:
    _, connections = make(held_bytes=100)
    answered, newcomer = join(connections, Phase.ANSWER), join(connections, Phase.ANSWER)
    assert connections.hold(answered, 100)
    assert not connections.hold(newcomer, 1)


def test_answers_that_are_not_read_have_a_bound_in_sum() -> None:
    _, connections = make(unread_bytes=100)
    clients = [Client(connections, unread=60) for _ in range(3)]
    for client in clients:
        connections.enter(client, Phase.UNREAD)
        connections.bound_unread()
    assert [client.ends for client in clients] == [["evicted"], ["evicted"], []]


def test_large_requests_begin_in_turns_of_their_own() -> None:
    loop, connections = make()
    begun: list[int] = []
    for number in range(3):
        connections.start_large(lambda number=number: begun.append(number))  # type: ignore[misc]
    counts = []
    for _ in range(7):
        loop.turn()
        counts.append(len(begun))
    assert counts == [1, 1, 2, 2, 3, 3, 3]
    connections.start_large(lambda: begun.append(3))
    loop.turn()
    assert begun == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("descriptors", "processes", "connections"),
    [(1024, 2, 512), (1024, 0, 512), (20_000, 8, MOST_CONNECTIONS), (4096, 10, 3416), (20, 1, LEAST_CONNECTIONS)],
)
def test_connections_leave_descriptors_to_others(descriptors: int, processes: int, connections: int) -> None:
    assert connections_for(descriptors, processes) == connections
