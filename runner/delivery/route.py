"""The way to a receiver: directly or through a proxy, plain or in TLS, and never to an address that was not judged."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.contract import Env
from runner.delivery.causes import cause
from runner.delivery.network import Network, connect
from runner.delivery.proxy import ProxyError, open_tunnel
from runner.delivery.receiver import connecting
from runner.delivery.stream import HandshakeClosedError, NotTlsError, TlsStream

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

    from runner.delivery.guard import Policy
    from runner.delivery.network import Resolve
    from runner.delivery.stream import Stream
    from runner.delivery.target import Target
    from runner.delivery.tls import Tls

    Address = IPv4Address | IPv6Address


@dataclass
class Way:
    """How far a delivery attempt got.

    `addresses` are the receiver's, as far as they are known; the one that was connected to, once it is. `is_open` says
    that a request could be sent, `is_tls` in what, and `is_forwarded` that a proxy read it and sent it on.
    """

    addresses: Sequence[Address] = ()
    is_open: bool = False
    is_tls: bool = False
    is_forwarded: bool = False
    proxy: str = ""


class Route:
    """Opens connections to receivers. `proxy` is one that everything goes through, if any."""

    def __init__(self, policy: Policy, tls: Tls, *, proxy: Target | None, resolve: Resolve) -> None:
        self._network = Network(policy, resolve)
        self.own = self._network.own
        self._tls = tls
        self._proxy = proxy

    def request_target(self, target: Target) -> tuple[str, dict[str, str]]:
        """Return what stands in the request line, and the headers that are for the proxy, if it reads the request."""
        if self._proxy is None or target.scheme == "https":
            return target.path, {}
        login = self._proxy.authorization
        whole = f"http://{target.authority}{target.path}"
        return whole, {} if login is None else {"proxy-authorization": login}

    async def open(self, target: Target, way: Way) -> Stream:
        """Connect, and note in `way` how far that got.

        Raises:
            Blocked: if nothing may be sent there.
            ProxyError, OwnUnknownError, NotTlsError, HandshakeClosedError, OSError, ValueError: if it does not work.
        """
        if self._proxy is None:
            way.addresses = await self._network.judged_addresses(target.host, target.port)
            stream, address = await connect(way.addresses, target.port, connecting)
            way.addresses = (address,)
            opened = await self._secured(stream, target) if target.scheme == "https" else stream
        else:
            with suppress(OSError):  # what the proxy alone can resolve is the proxy's to refuse
                way.addresses = await self._network.judged_addresses(target.host, target.port)
                connecting(way.addresses[0])
            opened = await self._through(self._proxy, target, way)
        way.is_open, way.is_tls = True, target.scheme == "https"
        return opened

    async def _through(self, proxy: Target, target: Target, way: Way) -> Stream:
        way.proxy, way.is_forwarded = f"{proxy.host}:{proxy.port}", target.scheme == "http"
        try:
            stream: Stream
            stream, _ = await connect(await self._network.addresses(proxy.host), proxy.port)
            if proxy.scheme == "https":
                stream = await self._secured(stream, proxy)
        except (OSError, NotTlsError, HandshakeClosedError) as fault:
            raise ProxyError(f"the proxy {way.proxy} of {Env.CALLBACK_PROXY}: {cause(fault)}") from fault
        if way.is_forwarded:
            return stream
        try:
            tunnel = await open_tunnel(stream, target, proxy)
        except OSError as fault:
            stream.close()
            raise ProxyError(f"the proxy {way.proxy} of {Env.CALLBACK_PROXY}: {cause(fault)}") from fault
        except BaseException:
            stream.close()
            raise
        return await self._secured(tunnel, target)

    async def _secured(self, stream: Stream, target: Target) -> Stream:
        try:
            secured = TlsStream(stream, self._tls.context(), target.host.removesuffix("."))
            await secured.handshake()
        except BaseException:
            stream.close()
            raise
        return secured
