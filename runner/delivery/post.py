"""One delivery try: an HTTP POST of the stored bytes, within one total deadline."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

import httpx

from runner.delivery import guard
from runner.delivery.sign import signature_headers

if TYPE_CHECKING:
    from collections.abc import Sequence

USER_AGENT: Final = "Taskpost"
MAX_ERROR_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class Try:
    """How a try ended: `error` is None if the receiver answered 2xx, `blocked` says that nothing may be sent there."""

    error: str | None
    blocked: bool = False

    @property
    def delivered(self) -> bool:
        """Whether the receiver has accepted the outcome."""
        return self.error is None


class Sender:
    """Posts outcomes. One sender serves many tries, at the same time too."""

    def __init__(self, keys: Sequence[bytes], policy: guard.Policy, *, only_plain_http: bool = False) -> None:
        self._keys = tuple(keys)
        self._policy = policy
        # Loading the public CAs costs a runner more than its whole delivery; a context without any trusts nobody.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if only_plain_http else httpx.create_ssl_context()
        self._client = httpx.AsyncClient(verify=context, trust_env=False, follow_redirects=False, timeout=None)  # noqa: S113 - one total deadline, in `post`

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def post(self, url: str, delivery_id: str, body: bytes, *, now_seconds: float, timeout_seconds: float) -> Try:
        """Make one try. Never raises for what the receiver, the network or the URL do."""
        headers = signature_headers(self._keys, delivery_id, int(now_seconds), body)
        headers |= {"content-type": "application/json", "user-agent": USER_AGENT}
        try:
            async with asyncio.timeout(timeout_seconds):
                target = urlsplit(url)
                await guard.judge_host(target.hostname or "", target.port or 0, self._policy)
                async with self._client.stream("POST", url, content=body, headers=headers) as response:
                    status = response.status_code
        except guard.Blocked as verdict:
            return Try(str(verdict), blocked=True)
        except TimeoutError:
            return Try(f"no answer within {timeout_seconds:g} seconds")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as fault:
            return Try(f"{type(fault).__name__}: {fault}"[:MAX_ERROR_CHARACTERS])
        return Try(None) if httpx.codes.is_success(status) else Try(f"the receiver answered {status}")
