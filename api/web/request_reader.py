"""Reads requests from the bytes of a connection, one after another, each in bounded memory. No I/O."""

from __future__ import annotations

from api.web.message_body import ChunkedBody, InvalidChunksError, MessageBody, SizedBody
from api.web.problems import Code, Problem
from api.web.request_body import MAX_BODY_BYTES, too_large
from api.web.request_head import END_OF_HEAD, MAX_HEAD_BYTES, RequestHead, check_beginning, read_head


class RequestReader:
    """The request that is coming: `head` is None until all of it is there, `body` grows."""

    __slots__ = ("_framing", "_partial_head", "body", "head")

    def __init__(self) -> None:
        self._partial_head = bytearray()
        self.reset()

    def reset(self) -> None:
        """Be ready for another request."""
        self.head: RequestHead | None = None
        self.body = bytearray()
        self._framing: MessageBody | None = None
        self._partial_head.clear()

    @property
    def held(self) -> int:
        """The bytes of the request that are kept."""
        return len(self._partial_head) + len(self.body)

    @property
    def has_begun(self) -> bool:
        """Whether there is anything of a request."""
        return self.head is not None or bool(self._partial_head)

    def take_pending(self) -> bytes:
        """Return data that must be fed again in another turn of the event loop; usually nothing."""
        if self._framing is None or not self._framing.pending:
            return b""
        pending, self._framing.pending = self._framing.pending, b""
        return pending

    def feed(self, data: bytes) -> bytes | None:
        """Read on; return what follows the request once it is complete, None before.

        Raises:
            Problem: if it cannot be read, or is larger than what is taken.
        """
        if self._framing is None:
            split = self._head_and_rest(data)
            if split is None:
                return None
            raw, data = split
            self.head = read_head(raw)
            length = self.head.length
            if length == 0:
                return data
            if length is not None and length > MAX_BODY_BYTES:
                raise too_large()
            self._framing = ChunkedBody() if length is None else SizedBody(length)
        try:
            rest = self._framing.feed(data, self.body)
        except InvalidChunksError as error:
            raise Problem(400, Code.INVALID_HTTP, f"The body of the request cannot be read: {error}.") from None
        if len(self.body) > MAX_BODY_BYTES:
            raise too_large()
        return rest

    def _head_and_rest(self, data: bytes) -> tuple[bytes, bytes] | None:
        looked_at = max(0, len(self._partial_head) - len(END_OF_HEAD) + 1)
        if self._partial_head:
            self._partial_head += data
            end = self._partial_head.find(END_OF_HEAD, looked_at)
            if end >= 0:
                data = bytes(self._partial_head)
                self._partial_head.clear()
        else:
            data = data.lstrip(b"\r\n")  # Empty lines before a request are skipped (RFC 9112, 2.2).
            end = data.find(END_OF_HEAD)
            if end < 0:
                self._partial_head += data
        size = len(self._partial_head) if end < 0 else end + len(END_OF_HEAD)
        if size > MAX_HEAD_BYTES:
            detail = f"The head of the request has more than {MAX_HEAD_BYTES} bytes, which is the limit."
            raise Problem(431, Code.HEAD_TOO_LARGE, detail)
        if end >= 0:
            return data[:size], data[size:]
        if self._partial_head:
            check_beginning(self._partial_head, looked_at)
        return None
