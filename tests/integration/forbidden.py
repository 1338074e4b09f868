"""Run in a network namespace of its own: forbidden URLs of every spelling, a listener on each address, a name server.

It prints one JSON object: for each URL what became of it by the service's word, and the connections that were made.
The namespace has a loopback device only, so that nothing gets out.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import threading
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from dnslib import AAAA, QTYPE, RR, A
from dnslib.server import BaseResolver, DNSLogger, DNSServer
from taskpost import ApiError

from runner.delivery.guard import Policy
from runner.delivery.post import Sender
from runner.delivery.tls import Tls, TlsFiles
from tests.support.service import ServiceProcess, eventually

PORT = 8099
ADDRESSES = [
    "169.254.169.254/32", "169.254.170.2/32", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32",
    "fd00:ec2::254/128", "fd20:ce::254/128", "fec0::1/128", "2002:a9fe:a9fe::1/128", "64:ff9b::a9fe:a9fe/128",
    "64:ff9b:1::a9fe:a9fe/128", "2001:0:a9fe:a9fe::1/128", "::169.254.169.254/128", "4000::1/128", "240.0.0.1/32",
    "10.1.1.1/32",
]  # fmt: skip
NAMES = {
    "metadata.example": ["169.254.169.254"],
    "mixed.example": ["10.1.1.1", "169.254.169.254"],
    "six.example": ["fd00:ec2::254"],
    "mapped.example": ["::ffff:169.254.169.254"],
    "nat64.example": ["64:ff9b::a9fe:a9fe"],
    "loop.example": ["127.0.0.1"],
    "loop6.example": ["::1"],
    "zero.example": ["0.0.0.0"],
    "metadata.google.internal": ["169.254.169.254"],
    "denied.example": ["10.1.1.1"],
}
REBINDING = "rebinding.example"
"""Leads to a good address when it is asked for first, and to a bad one ever after."""
HOSTS = [
    "127.0.0.1", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "017700000001",
    "127.0.0.1.", "127.8.9.10", "localhost", "LOCALHOST", "localhost.", "a.localhost", "[::1]", "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "127。0。0。1",
    "0.0.0.0", "0", "0x0", "[::]", "[::ffff:0.0.0.0]",
    "169.254.169.254", "169.254.43518", "169.16689662", "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE",
    "0251.0376.0251.0376", "025177524776", "169.254.169.254.", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]",
    "[::169.254.169.254]", "[64:ff9b::169.254.169.254]", "[64:ff9b:1::a9fe:a9fe]", "[2002:a9fe:a9fe::1]",
    "[2001:0:a9fe:a9fe::1]", "169.254.170.2", "[fd00:ec2::254]", "[fd20:ce::254]", "168.63.129.16",
    "100.100.100.200", "192.0.0.192", "[fe80::1]", "[fec0::1]", "[4000::1]", "224.0.0.1", "239.255.255.250",
    "[ff02::1]", "255.255.255.255", "240.0.0.1", "[::ffff:0:169.254.169.254]",
    *NAMES, "user:pass@169.254.169.254", "good.example@169.254.169.254", "127.0.0.1%2f@169.254.169.254",
]  # fmt: skip


class Resolver(BaseResolver):
    """Answers by the table; the rebinding name anew each time."""

    def __init__(self) -> None:
        self.rebound = 0

    def resolve(self, request: Any, handler: Any) -> Any:
        reply, question = request.reply(), request.q
        name = str(question.qname).rstrip(".").lower()
        addresses = NAMES.get(name, [])
        if name == REBINDING:
            if question.qtype == QTYPE.A:
                self.rebound += 1
            addresses = ["10.1.1.1"] if self.rebound <= 1 else ["169.254.169.254"]
        for address in map(ip_address, addresses):
            record, kind = (A, QTYPE.A) if address.version == 4 else (AAAA, QTYPE.AAAA)
            if question.qtype == kind:
                reply.add_answer(RR(question.qname, kind, rdata=record(str(address)), ttl=0))
        return reply


class Listeners:
    """Count connections on the ports of URLs, on every address there is."""

    def __init__(self, *ports: int) -> None:
        self.connections: list[str] = []
        for port in ports:
            for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                listener = socket.socket(family, socket.SOCK_STREAM)
                if family is socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind((host, port))
                listener.listen(100)
                threading.Thread(target=self._count, args=(listener,), daemon=True).start()

    def _count(self, listener: socket.socket) -> None:
        while True:
            connection, peer = listener.accept()
            self.connections.append(f"{connection.getsockname()[0]}:{connection.getsockname()[1]} from {peer[0]}")
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")
            connection.close()


def main() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in ADDRESSES:
        subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True, capture_output=True)
    with tempfile.TemporaryDirectory() as directory:
        conf = Path(directory) / "resolv.conf"
        conf.write_text("nameserver 127.0.0.53\noptions timeout:1 attempts:1\n")
        subprocess.run(["mount", "--bind", str(conf), "/etc/resolv.conf"], check=True)
        resolver = Resolver()
        DNSServer(resolver, address="127.0.0.53", logger=DNSLogger(logf=lambda _: None)).start_thread()
        listeners = Listeners(80, 443, PORT)
        settings = {"callback_allow_loopback": "false", "callback_deny": "denied.example", "concurrency": 4}
        with ServiceProcess(Path(directory) / "data", callback_retry_seconds="0.1,0.1", **settings) as service:
            every = [url for host in HOSTS for url in urls(host)]
            found = {url: fate(service, url) for url in every}
            tried = asyncio.run(try_all(every))
            counted = list(listeners.connections)
            rebound = rebinding(service)
    told = {
        "tried": tried,
        "found": found,
        "connections": counted,
        "rebinding": rebound,
        "after": listeners.connections,
    }
    sys.stdout.write(json.dumps(told))


def urls(host: str) -> list[str]:
    return (
        [f"http://{host}:{PORT}/", f"https://{host}/x?y=1"]
        if host in {"127.0.0.1", "mixed.example"}
        else [f"http://{host}/latest/meta-data/"]
    )


def fate(service: ServiceProcess, url: str) -> list[str]:
    """What becomes of a task with this URL: refused, or what its runner's try and the service's say."""
    with service.client() as client:
        try:
            task_id = client.submit("sleep", {"seconds": 0}, result_url=url).task.task_id
        except ApiError as refused:
            return [f"{refused.status} {refused.errors[0].pointer} {refused.errors[0].detail}"]
        client.wait(task_id, timeout_seconds=60)
        eventually(lambda: client.deliveries(task_id).tries, of=url)
        client.redeliver(task_id)
        eventually(lambda: len(client.deliveries(task_id).tries) == 2, of=url)
        made = client.deliveries(task_id)
        return [made.delivery.status, *(f"{one.by}: {one.error}" for one in made.tries)]


async def try_all(every: list[str]) -> dict[str, bool]:
    """Whether a sender blocks each URL, should one have come past the submission all the same."""
    sender = Sender(lambda: (), Policy(deny=("denied.example",)), Tls(TlsFiles()))
    tries = [sender.post(url, "msg_1", b"{}", now_seconds=0, timeout_seconds=15) for url in every]
    return {url: result.blocked for url, result in zip(every, await asyncio.gather(*tries), strict=True)}


def rebinding(service: ServiceProcess) -> list[str]:
    with service.client() as client:
        url = f"http://{REBINDING}:{PORT}/"
        task_id = client.submit("sleep", {"seconds": 0}, result_url=url).task.task_id
        client.wait(task_id, timeout_seconds=60)
        eventually(lambda: client.get(task_id).delivery.status == "blocked", of=str(client.deliveries(task_id)))
        return [str(made.error) for made in client.deliveries(task_id).tries]


if __name__ == "__main__":
    sys.exit(main())
