"""HTTP below ASGI: what is no HTTP is answered as every fault is, and the head of a request is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.web.problems import MEDIA_TYPE, Code, body_of
from api.web.representation import json_bytes

if TYPE_CHECKING:
    from asyncio import Transport

MAX_HEAD_BYTES: Final = 64 * 1024
_PHRASES: Final = {400: b"Bad Request", 431: b"Request Header Fields Too Large"}


class Protocol(HttpToolsProtocol):
    """Uvicorn's protocol over httptools, which bounds nothing and speaks plain text where it refuses."""

    transport: Transport

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*arguments, **options)
        self._head_bytes = 0
        self._in_head = True

    def data_received(self, data: bytes) -> None:
        """Take what has come, unless a head grows past its bound."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                detail = f"The head of the request has more than {MAX_HEAD_BYTES} bytes, the most that is taken."
                self._refuse(431, Code.HEAD_TOO_LARGE, detail)

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """End it."""
        self._in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words say less
        """Answer what cannot be read as HTTP."""
        self._refuse(400, Code.INVALID_HTTP, "This is not a request of HTTP/1.1 or HTTP/1.0 that can be read.")

    def _refuse(self, status: int, code: Code, detail: str) -> None:
        body = json_bytes(body_of(status, code, detail))
        head = (
            b"HTTP/1.1 %d %s\r\n" % (status, _PHRASES[status])
            + b"content-type: %s\r\n" % MEDIA_TYPE.encode()
            + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        )
        self.transport.write(head + body)
        self.transport.close()
