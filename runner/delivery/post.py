"""One delivery try: an HTTP POST of the stored bytes over a connection of its own, within one total deadline."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import httpcore

from runner.delivery.answer import MAX_READ_BYTES, retry_after_seconds, shown
from runner.delivery.guard import Blocked
from runner.delivery.network import JudgedNetwork, resolve
from runner.delivery.sign import signature_headers
from runner.delivery.target import DEFAULT_PORTS, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.delivery.guard import Policy
    from runner.delivery.network import Resolve
    from runner.delivery.target import Target
    from runner.delivery.tls import Tls

USER_AGENT: Final = "Taskpost"
MAX_ERROR_CHARACTERS: Final = 300
_FAULTS: Final = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.ProxyError)
ANSWER_SECONDS: Final = 1.0
"""How long the answer's body is waited for: its status has said all that counts."""
MARGIN_SECONDS: Final = 0.05
"""How long before the try's own end that ends: an answer that has come is an answer."""


@dataclass(frozen=True, slots=True)
class Try:
    """How a try ended.

    `error` is None if the receiver answered 2xx; `blocked` says that nothing may be sent there. `status` is the
    answer's, None if there was none, and `answer` the beginning of its body. `retry_after_seconds` is what the receiver
    asked for.
    """

    error: str | None
    blocked: bool = False
    status: int | None = None
    answer: str = ""
    retry_after_seconds: float | None = None
    duration_seconds: float = 0.0

    @property
    def delivered(self) -> bool:
        """Whether the receiver has accepted the outcome."""
        return self.error is None


class Sender:
    """Posts outcomes. One sender serves many tries, at the same time too.

    `keys` returns those that sign at the moment; `proxy` is the URL of one that everything goes through, if any.
    """

    def __init__(
        self,
        keys: Callable[[], Sequence[bytes]],
        policy: Policy,
        tls: Tls,
        *,
        proxy: str = "",
        resolve: Resolve = resolve,
    ) -> None:
        self._keys = keys
        self._tls = tls
        self._proxy = proxy
        self._network = JudgedNetwork(policy, resolve)

    async def post(self, url: str, delivery_id: str, body: bytes, *, now_seconds: float, timeout_seconds: float) -> Try:
        """Make one try. Never raises for what the receiver, the network or the URL do. `now_seconds` is Unix time."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(timeout_seconds):
                read_until = began + timeout_seconds - MARGIN_SECONDS
                ended = await self._post(url, delivery_id, body, now_seconds, read_until)
        except Blocked as verdict:
            ended = Try(str(verdict), blocked=True)
        except TimeoutError:
            ended = Try(f"no answer within {timeout_seconds:g} seconds")
        except (*_FAULTS, OSError, ValueError) as fault:
            ended = Try(_words(fault)[:MAX_ERROR_CHARACTERS])
        return replace(ended, duration_seconds=loop.time() - began)

    async def _post(self, url: str, delivery_id: str, body: bytes, now_seconds: float, until: float) -> Try:
        target = parse(url)
        connection = await self._connection(target)
        signature = signature_headers(self._keys(), delivery_id, int(now_seconds), body)
        request = httpcore.Request(
            "POST",
            httpcore.URL(
                scheme=target.scheme.encode(),
                host=target.host.encode(),
                port=None if target.port == DEFAULT_PORTS[target.scheme] else target.port,
                target=target.path.encode(),
            ),
            headers=[*_headers(target, body).items(), *signature.items()],
            content=body,
            extensions={"sni_hostname": target.host.removesuffix(".")},
        )
        try:
            response = await connection.handle_async_request(request)
            return await _judged(response, now_seconds, until)
        finally:
            with suppress(httpcore.NetworkError, OSError):
                await connection.aclose()

    async def _connection(self, target: Target) -> httpcore.AsyncHTTPConnection | httpcore.AsyncHTTPProxy:
        context = self._tls.context() if target.scheme == "https" else None
        if self._proxy:
            await self._network.judge(target.host, target.port)
            to_proxy = self._tls.context() if self._proxy.lower().startswith("https:") else None
            return httpcore.AsyncHTTPProxy(self._proxy, ssl_context=context, proxy_ssl_context=to_proxy)
        origin = httpcore.Origin(target.scheme.encode(), target.host.encode(), target.port)
        return httpcore.AsyncHTTPConnection(origin, ssl_context=context, network_backend=self._network)


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


async def _judged(response: httpcore.Response, now_seconds: float, until: float) -> Try:
    """Read what is worth reading of an answer: its status counts, whatever becomes of its body.

    `until`, of the event loop's clock, is when the try must be over.
    """
    status = response.status
    headers = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in response.headers}
    body = bytearray()
    with suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError):
        async with asyncio.timeout_at(min(asyncio.get_running_loop().time() + ANSWER_SECONDS, until)):
            async for chunk in response.aiter_stream():
                body += chunk[: MAX_READ_BYTES - len(body)]
                if len(body) >= MAX_READ_BYTES:
                    break
    error = None if status // 100 == 2 else f"the receiver answered {status}{_NOTES.get(status // 100, '')}"  # noqa: PLR2004
    return Try(
        error,
        status=status,
        answer=shown(bytes(body), headers.get("content-encoding", "")),
        retry_after_seconds=retry_after_seconds(headers.get("retry-after", ""), now_seconds),
    )


_NOTES: Final = {3: ", and redirects are not followed"}


def _words(fault: BaseException) -> str:
    """Say what was wrong: what lies below an exception of the HTTP library says more than it does."""
    below: BaseException | None = fault
    while below is not None:
        named = _named(below)
        if named is not None:
            return named
        below = below.__cause__ or below.__context__
    if isinstance(fault, httpcore.RemoteProtocolError) and "disconnected" in str(fault):
        return "the connection was closed without an answer"
    if isinstance(fault, httpcore.RemoteProtocolError):
        return f"the answer is no HTTP, or was cut off: {fault}"
    if isinstance(fault, httpcore.ProxyError):
        return f"the proxy did not let it through: {fault}"
    if isinstance(fault, httpcore.NetworkError):
        return f"the connection broke: {str(fault) or type(fault).__name__}"
    return f"{type(fault).__name__}: {fault}"


def _named(fault: BaseException) -> str | None:
    match fault:
        case ssl.SSLCertVerificationError():
            return f"TLS: the certificate is not accepted: {fault.verify_message}"
        case ssl.SSLError():
            return f"TLS: {fault.reason or fault}"
        case socket.gaierror():
            return f"the host name cannot be resolved: {fault.strerror}"
        case ConnectionRefusedError():
            return "the connection was refused"
        case _:
            return None
