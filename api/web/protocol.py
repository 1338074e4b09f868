"""HTTP/1.1 below ASGI: every part of a message is bounded in size, number and time before the application sees it.

Uvicorn's own protocols read heads, trailers and pipelined requests without a bound. This one reads a whole request
first, and gives it to the application when all of it is there: an unfinished request costs its bytes and nothing else.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.utils import get_local_addr, get_remote_addr

from api.web.connections import READ_BYTES, Connections, Phase
from api.web.exchange import AnswerWriter, ReadingRate, closing_answer, cycle_of, scope_of
from api.web.problems import Code, Problem
from api.web.request_reader import RequestReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn import Config
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from uvicorn.server import ServerState

    from api.web.request_head import RequestHead

LARGE_BODY_BYTES: Final = 64 * 1024
LINGER_BYTES: Final = 16 * 1024 * 1024

_LATE: Final = Problem(408, Code.REQUEST_TIMEOUT, "The request came too slowly, or others needed its place: repeat it.")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Protocol(asyncio.BufferedProtocol):
    """One connection: reads a request, has it answered, reads the next."""

    transport: asyncio.Transport
    flow: FlowControl
    write: Callable[[bytes], None]
    unread_bytes: Callable[[], int]

    def __init__(
        self, connections: Connections, config: Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> None:
        self.phase: Phase | None = None
        self.held = 0
        self._connections = connections
        self._app = config.loaded_app
        self._state = server_state
        self._app_state = app_state
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader()
        self._waiting = bytearray()
        """What came after the request that is being answered."""
        self._cycle: RequestResponseCycle | None = None
        self._ended = False
        """The client has closed its sending side."""
        self._finishing = False
        """No further request is answered."""
        self._dropped = 0

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)
        self._writer = AnswerWriter(self.transport.write)
        self.write, self.unread_bytes = self._writer.write, self.transport.get_write_buffer_size
        self._reading_rate = ReadingRate(self.unread_bytes)
        self.flow = FlowControl(self.transport)
        self._addresses = get_local_addr(self.transport), get_remote_addr(self.transport)
        self._state.connections.add(self)  # type: ignore[arg-type]
        self._connections.enter(self, Phase.IDLE)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Return where the next bytes go."""
        return self._connections.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take them out."""
        self._received(bytes(self._connections.read_buffer[:nbytes]))

    def eof_received(self) -> bool:
        """Return whether the connection stays open: requests that have arrived are still answered (`nc -N`)."""
        self._ended = True
        return self._cycle is not None or self.phase is Phase.UNREAD

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End."""
        self._state.connections.discard(self)
        self._connections.leave(self)
        self._waiting.clear()
        self._reader.reset()
        if self._cycle is not None:
            self._cycle.disconnected = True
            self._cycle.message_event.set()
        self.flow.resume_writing()

    def pause_writing(self) -> None:
        """Note that the client does not read."""
        self.flow.pause_writing()
        if self.phase in (Phase.ANSWER, Phase.IDLE):
            self._reading_rate.begin()
            self._connections.enter(self, Phase.UNREAD)
            self._connections.bound_unread()

    def resume_writing(self) -> None:
        """Note that it has read."""
        self.flow.resume_writing()
        if self.phase is not Phase.UNREAD:
            return
        if self._finishing:
            self._close_now()
        elif self._cycle is not None:
            self._connections.enter(self, Phase.ANSWER)
        else:
            self._next()

    # What `Connections` calls, and the server when it ends.

    def expire(self) -> None:
        """Answer 408 to a late request; close an idle connection, or one whose client does not read."""
        match self.phase:
            case Phase.HEAD | Phase.BODY:
                self._refuse(_LATE)
            case Phase.UNREAD if self._reading_rate.is_enough(self._connections.limits.unread_seconds):
                self._connections.enter(self, Phase.UNREAD)
            case Phase.IDLE:
                self.close()
            case _:
                self._connections.leave(self)
                self.transport.abort()

    def evict(self) -> None:
        """Close at once."""
        if self._cycle is not None:
            self._cycle.disconnected = True
        elif self._reader.has_begun:
            self.write(closing_answer(_LATE))
        self._finishing = True
        self._forget()
        self.transport.close()
        if self.unread_bytes():
            self.transport.abort()

    def shutdown(self) -> None:
        """Close after the answer that is being made, if there is one."""
        if self._cycle is None:
            self.transport.close()
        else:
            self._cycle.keep_alive = False

    # What the cycle of request and answer takes for its transport.

    def is_closing(self) -> bool:
        """Return whether nothing more is answered."""
        return self._finishing or self.transport.is_closing()

    def close(self) -> None:
        """Close after the bytes sent so far. What the client sends meanwhile is read and dropped, so that they arrive.

        A connection that is closed over unread data is reset, and many a client and proxy would lose the answer.
        """
        if self.is_closing():
            return
        self._writer.flush()
        self._finishing = True
        self._forget()
        self._waiting.clear()
        self._connections.hold(self, 0)
        if self.phase is not Phase.UNREAD:
            self._close_now()

    def _close_now(self) -> None:
        self._connections.enter(self, Phase.CLOSING)
        if self._ended:
            self.transport.close()
        else:
            self.flow.resume_reading()
            self.transport.write_eof()

    # Reading.

    def _received(self, data: bytes) -> None:
        if self._finishing:
            self._dropped += len(data)
            if self._dropped > LINGER_BYTES:
                self.transport.abort()
        elif self._cycle is not None or self.phase is Phase.UNREAD:
            self._waiting += data
            if len(self._waiting) >= READ_BYTES:
                self.flow.pause_reading()
            if not self._connections.hold(self, self._reader.held + len(self._waiting)):
                self.transport.abort()
        else:
            self._read(data)

    def _read(self, data: bytes) -> None:
        reader = self._reader
        try:
            rest = reader.feed(data)
        except Problem as problem:
            self._refuse(problem)
            return
        if rest is not None:
            self._answer_request(rest)
        elif reader.has_begun:
            phase = Phase.HEAD if reader.head is None else Phase.BODY
            if self.phase is not phase:
                self._connections.enter(self, phase)
                if reader.head is not None and reader.head.expects_continue and not reader.body:
                    self.write(_CONTINUE)
            pending = reader.take_pending()
            if self._connections.hold(self, reader.held + len(pending)) and pending:
                self.flow.pause_reading()
                self._connections.start_large(lambda: self._read_on(pending))

    def _read_on(self, pending: bytes) -> None:
        """Go on with a body of very many chunks, unless the connection was given up meanwhile."""
        if self.phase is Phase.BODY:
            self.flow.resume_reading()
            self._read(pending)

    # Answering.

    def _answer_request(self, rest: bytes, refusal: Problem | None = None) -> None:
        if rest:
            self._waiting += rest
        self._connections.enter(self, Phase.ANSWER)
        held = self._reader.held + len(self._waiting)
        if held != self.held and not self._connections.hold(self, held) and refusal is None:
            refusal = Problem(503, Code.UNAVAILABLE, "Too many requests are being read.", headers={"Retry-After": "1"})
        if len(self._waiting) >= READ_BYTES:
            self.flow.pause_reading()
        head = cast("RequestHead", self._reader.head)
        self._writer.begin()
        self._cycle = cycle_of(
            scope_of(head, *self._addresses, self._app_state, refusal),
            self._reader.body,
            transport=self,
            flow=self.flow,
            headers=self._state.default_headers,
            keep_alive=head.keep_alive and refusal is None,
            on_response=self._answered,
        )
        if len(self._reader.body) > LARGE_BODY_BYTES:
            self._connections.start_large(self._start)
        else:
            self._start()

    def _start(self) -> None:
        if self._cycle is None:
            return
        task = self._loop.create_task(self._cycle.run_asgi(self._app))
        task.add_done_callback(self._state.tasks.discard)
        self._state.tasks.add(task)

    def _answered(self) -> None:
        self._writer.flush()
        self._state.total_requests += 1
        self._forget()
        if self.is_closing():
            return
        if self.phase is Phase.UNREAD:
            self._connections.hold(self, len(self._waiting))
        else:
            self._next()

    def _next(self) -> None:
        """Go on with what follows, or wait for it."""
        waiting = bytes(self._waiting)
        self._waiting.clear()
        self._connections.enter(self, Phase.IDLE)
        self._connections.hold(self, 0)
        self.flow.resume_reading()
        if waiting:
            self._received(waiting)
        if self._ended and self._cycle is None:
            self.close()

    def _refuse(self, problem: Problem) -> None:
        """Answer with a problem and close. If the head was read, the application sends the answer, for CORS."""
        head = self._reader.head
        self._reader.reset()
        self._waiting.clear()
        if head is not None:
            self._reader.head = head
            self._answer_request(b"", problem)
            return
        self.write(closing_answer(problem))
        self.close()

    def _forget(self) -> None:
        self._cycle = None
        self._reader.reset()
