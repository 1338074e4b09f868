"""The proxy that callbacks go through, if one is set: what it is sent, and which answers are its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runner.contract import Env
from runner.delivery.answer_reader import AnswerReader
from runner.delivery.causes import excerpt

if TYPE_CHECKING:
    from runner.delivery.stream import Stream
    from runner.delivery.target import Target

PROXY_AUTHENTICATION_REQUIRED: Final = 407
FROM_EITHER: Final = frozenset({403, 502, 503, 504})
"""Statuses that a proxy or a receiver may send. Without a mark of the proxy, the message names both."""


class ProxyError(Exception):
    """The proxy itself refused, or could not be used; the message says why and never shows its password."""


async def open_tunnel(stream: Stream, target: Target, proxy: Target) -> Stream:
    """Have the proxy connect to the target, and return the connection through it.

    Raises:
        ProxyError: if it does not.
        OSError: if the connection breaks.
    """
    host = f"[{target.host}]" if ":" in target.host else target.host
    place = f"{host}:{target.port}"
    login = "" if proxy.authorization is None else f"Proxy-Authorization: {proxy.authorization}\r\n"
    await stream.send(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{login}\r\n".encode())
    answer = AnswerReader()
    while not (answer.finished or answer.in_body):
        answer.feed(await stream.receive())
    if answer.status is None:
        raise ProxyError(f"the proxy closed the connection, or did not answer in HTTP, when asked for {place}")
    if answer.status // 100 != 2:  # noqa: PLR2004 - success
        raise ProxyError(f"the proxy did not let it through: {own_words(answer)} to CONNECT {place}")
    return Ahead(stream, answer.rest) if answer.rest else stream


def own_words(answer: AnswerReader) -> str:
    """Describe a proxy's own answer."""
    if answer.status == PROXY_AUTHENTICATION_REQUIRED:
        return f"{answer.status} (it requires a user and a password, or other ones: set them in {Env.CALLBACK_PROXY})"
    details = answer.headers.get("proxy-status") or answer.headers.get("x-squid-error")
    return f"{answer.status} ({excerpt(details.encode('latin-1'))})" if details else str(answer.status)


def is_its_own(answer: AnswerReader) -> bool:
    """Return whether an answer to a forwarded request is marked as the proxy's own."""
    says_so = "x-squid-error" in answer.headers or "error=" in answer.headers.get("proxy-status", "").lower()
    return answer.status == PROXY_AUTHENTICATION_REQUIRED or says_so


class Ahead:
    """A stream whose first bytes have been read already."""

    def __init__(self, below: Stream, read: bytes) -> None:
        self._read = read
        self._below = below
        self.send, self.close, self.send_at_once = below.send, below.close, below.send_at_once

    async def receive(self) -> bytes:
        """Return what has been read, then what comes."""
        if self._read:
            read, self._read = self._read, b""
            return read
        return await self._below.receive()
