"""One delivery attempt: an HTTP POST of the stored bytes over a connection of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from runner.delivery.answer_reader import AnswerReader
from runner.delivery.causes import cause
from runner.delivery.exchange import Limit, exchange
from runner.delivery.guard import Blocked
from runner.delivery.network import resolve
from runner.delivery.own import OwnUnknownError
from runner.delivery.proxy import ProxyError
from runner.delivery.route import Route, Way
from runner.delivery.sign import signature_headers
from runner.delivery.stream import HandshakeClosedError, NotTlsError
from runner.delivery.target import parse
from runner.delivery.verdict import MAX_ERROR_CHARACTERS, Try, is_to_be_omitted, of_answer, too_long

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.delivery.guard import Policy
    from runner.delivery.network import Resolve
    from runner.delivery.target import Target
    from runner.delivery.tls import Tls

__all__ = ["Sender", "Try"]

USER_AGENT: Final = "Taskpost"
_FAULTS: Final = (OSError, ValueError, ProxyError, OwnUnknownError, NotTlsError, HandshakeClosedError)


@dataclass(frozen=True, slots=True)
class _Request:
    url: str
    delivery_id: str
    body: bytes
    now_seconds: int


class Sender:
    """Posts outcomes. One sender serves many delivery attempts, at the same time too.

    `keys` returns those that sign at the moment; `proxy` is the URL of one that everything goes through, if any.
    `keep_answers` says which answers may be shown: `all`, `public` (those from public addresses), or `none`.
    """

    def __init__(
        self,
        keys: Callable[[], Sequence[bytes]],
        policy: Policy,
        tls: Tls,
        *,
        proxy: str = "",
        keep_answers: str = "all",
        resolve: Resolve = resolve,
    ) -> None:
        self._keys = keys
        self._keep_answers = keep_answers
        self._route = Route(policy, tls, proxy=parse(proxy) if proxy else None, resolve=resolve)
        self.own = self._route.own
        self.omits = keep_answers != "all"

    async def post(
        self,
        url: str,
        delivery_id: str,
        body: bytes,
        *,
        now_seconds: float,
        timeout_seconds: float,
        grows: bool = True,
    ) -> Try:
        """Make one delivery attempt. Never raises for what the receiver, the network or the URL do.

        `now_seconds` is Unix time. The attempt takes `timeout_seconds` at most; if it `grows` the bytes of the body buy
        more time as they move, see `deadline.longest_seconds`.
        """
        limit, way, answer = Limit(timeout_seconds, grows, len(body)), Way(), AnswerReader()
        try:
            async with limit.timeout:
                request = _Request(url, delivery_id, body, int(now_seconds))
                await self._exchange(request, limit, way, answer)
            ended = of_answer(answer, way, now_seconds)
        except Blocked as verdict:
            ended = Try(str(verdict), blocked=True)
        except TimeoutError:
            answer.feed(b"")
            words = too_long(limit.allowed_seconds, limit.sent_bytes, len(body), way)
            ended = Try(words) if answer.status is None else of_answer(answer, way, now_seconds)
        except _FAULTS as fault:
            ended = Try(cause(fault)[:MAX_ERROR_CHARACTERS])
        if ended.status is None and limit.is_cut and not limit.timeout.expired():
            ended = replace(ended, error=f"{ended.error} ({limit.sent_bytes} of {len(body)} bytes were sent)")
        omitted = not ended.blocked and is_to_be_omitted(self._keep_answers, way)
        return replace(ended, duration_seconds=limit.passed_seconds, omitted=omitted)

    async def _exchange(self, request: _Request, limit: Limit, way: Way, answer: AnswerReader) -> None:
        target = parse(request.url)
        signature = signature_headers(self._keys(), request.delivery_id, request.now_seconds, request.body)
        place, for_proxy = self._route.request_target(target)
        head = _head(place, _headers(target, request.body) | for_proxy | signature)
        stream = await self._route.open(target, way)
        try:
            await exchange(stream, head, request.body, limit, answer)
        finally:
            stream.close()


def _headers(target: Target, body: bytes) -> dict[str, str]:
    headers: dict[str, str] = {
        "host": target.authority,
        "content-type": "application/json",
        "content-length": str(len(body)),
        "user-agent": USER_AGENT,
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "close",
    }
    return headers if target.authorization is None else headers | {"authorization": target.authorization}


def _head(place: str, headers: dict[str, str]) -> bytes:
    """Return the head of a request. What would break its lines is refused: a URL was checked when it was submitted.

    Raises:
        ValueError: if a character of it is a space or a control character, or not ASCII.
    """
    if not place.isascii() or any(character <= " " or character == "\x7f" for character in place):
        raise ValueError("the URL has characters that must be percent-encoded")
    lines = [f"POST {place} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("the URL has characters that must be percent-encoded")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
