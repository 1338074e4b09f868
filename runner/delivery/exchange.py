"""One request and its answer over a connection, within a time that grows with what is sent."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runner.delivery.deadline import allowed_seconds

if TYPE_CHECKING:
    from runner.delivery.answer_reader import AnswerReader
    from runner.delivery.stream import Stream

ANSWER_SECONDS: Final = 1.0
"""How long to wait for the rest of an answer: its status has decided already."""
MARGIN_SECONDS: Final = 0.05
"""How long before the attempt's own end that ends: an answer that has come is an answer."""
PIECE_BYTES: Final = 16 * 1024
"""How much is sent at a time: as much as fits in one record of TLS."""


@dataclass
class Limit:
    """When a delivery attempt must be over, and what it has sent by then. It must run within `timeout`.

    With `grows` the bytes of the body buy time, see `deadline`.
    """

    timeout_seconds: float
    grows: bool
    body_bytes: int
    sent_bytes: int = 0

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self.timeout = asyncio.timeout_at(self._began + self.timeout_seconds)

    @property
    def passed_seconds(self) -> float:
        """How long it has run."""
        return self._loop.time() - self._began

    @property
    def allowed_seconds(self) -> float:
        """How long it may run in all."""
        return (self.timeout.when() or self._began) - self._began

    @property
    def is_cut(self) -> bool:
        """Whether something of the body was sent, and not all of it."""
        return 0 < self.sent_bytes < self.body_bytes

    @property
    def left_seconds(self) -> float:
        """How long it may still run."""
        return self.allowed_seconds - self.passed_seconds

    def sent(self, count: int) -> None:
        """Note that so many bytes of the body are gone."""
        self.sent_bytes += count
        if self.grows and not self.timeout.expired():
            allowed = allowed_seconds(self.timeout_seconds, self.sent_bytes, self.passed_seconds)
            self.timeout.reschedule(self._began + allowed)


async def exchange(stream: Stream, head: bytes, body: bytes, limit: Limit, answer: AnswerReader) -> None:
    """Send a request and read the answer, into `answer`, which is worth something even if this raises.

    An answer may come before everything is sent. If it is not 2xx nothing more is sent; if it is, the rest is sent as
    long as the receiver takes it.

    Raises:
        OSError: if the connection breaks before a status has come.
    """
    sending = asyncio.create_task(_send(stream, head, body, limit))
    try:
        await _read_status(stream, answer)
        await _read_rest(stream, answer, limit)
        if answer.status is not None and answer.status // 100 == 2:  # noqa: PLR2004 - success
            await asyncio.wait([sending])
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send(stream: Stream, head: bytes, body: bytes, limit: Limit) -> None:
    """Send as much as can be sent. What is wrong with a connection that takes nothing more is seen when it is read."""
    with suppress(OSError):
        piece = body[:PIECE_BYTES]
        await stream.send(head + piece)
        limit.sent(len(piece))
        for at in range(PIECE_BYTES, len(body), PIECE_BYTES):
            piece = body[at : at + PIECE_BYTES]
            await stream.send(piece)
            limit.sent(len(piece))


async def _read_status(stream: Stream, answer: AnswerReader) -> None:
    while answer.status is None and not answer.finished:
        try:
            answer.feed(await stream.receive())
        except OSError:
            answer.feed(b"")
            if answer.status is None:
                raise


async def _read_rest(stream: Stream, answer: AnswerReader, limit: Limit) -> None:
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(min(ANSWER_SECONDS, limit.left_seconds - MARGIN_SECONDS)):
            while not answer.finished:
                answer.feed(await stream.receive())
