"""Refusals by TLS, by a proxy, and by who speaks another protocol: each is reported with its cause and what to set."""

from __future__ import annotations

import asyncio
import base64
import re
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from ipaddress import ip_address

import pytest
import trustme

from runner.delivery import deadline
from runner.delivery.guard import Policy
from runner.delivery.post import Sender
from runner.delivery.tls import Tls, TlsFiles
from tests.support.misbehaving import Misbehaving
from tests.support.serving import serving

END = b"\r\n\r\n"


async def here(_name):
    return [ip_address("127.0.0.1")]


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return TlsFiles(ca=path)


def context_of(authority, *, wants=None, version=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "receiver.example").configure_cert(context)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if wants is not None:
        wants.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextmanager
def listening(context):
    """A receiver on blocking sockets: asyncio's does not send the alert by which OpenSSL says why it refuses."""

    def serve():
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            with suppress(OSError), context.wrap_socket(accepted, server_side=True) as secured:
                secured.recv(65536)
                secured.sendall(b"HTTP/1.1 204 Thanks" + END)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


async def post(url, files, body=b"{}", *, timeout_seconds=5.0, grows=False, **more):
    sender = Sender(lambda: (), Policy(allow_loopback=True), Tls(files), resolve=here, **more)
    now = time.time()
    return await sender.post(url, "msg_1", body, now_seconds=now, timeout_seconds=timeout_seconds, grows=grows)


# TLS.


@pytest.mark.parametrize("body", [b"{}", bytes(8 * 2**20)])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_receiver_that_wants_a_certificate_and_sees_none_is_reported(authority, files, version, body):
    context = context_of(authority, wants=authority, version=version)
    with listening(context) as url:
        for _ in range(5):
            result = await post(url, files, body)
            assert not result.delivered
            assert "refused our certificate, or that none was shown" in result.error
            assert "TASKPOST_CALLBACK_CERTIFICATE_FILE and TASKPOST_CALLBACK_KEY_FILE" in result.error
            if version is ssl.TLSVersion.TLSv1_3:
                assert "certificate required" in result.error


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_certificate_of_another_authority_is_reported(authority, files, tmp_path, version):
    trustme.CA().issue_cert("client.example").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    shown = TlsFiles(ca=files.ca, certificate=tmp_path / "client.pem")
    with listening(context_of(authority, wants=authority, version=version)) as url:
        result = await post(url, shown)
    assert "unknown ca" in result.error
    assert "TASKPOST_CALLBACK_CERTIFICATE_FILE" in result.error


async def test_a_receiver_that_says_nothing_when_it_refuses_a_certificate(authority, files):
    with Misbehaving(tls=context_of(authority, wants=authority)) as receiver:
        result = await post(receiver.url("/status/204"), files)
    assert "TASKPOST_CALLBACK_CERTIFICATE_FILE" in result.error


async def test_a_certificate_that_is_wanted_and_shown_is_good(authority, files, tmp_path):
    authority.issue_cert("client.example").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    shown = TlsFiles(ca=files.ca, certificate=tmp_path / "client.pem")
    with Misbehaving(tls=context_of(authority, wants=authority)) as receiver:
        result = await post(receiver.url("/status/204"), shown, bytes(2**20))
        assert (result.error, len(receiver.received[0].body)) == (None, 2**20)


async def test_what_a_receiver_in_tls_answers_is_read_as_any_other(authority, files):
    async def rude(reader, writer):
        await reader.read(1000)
        writer.write(b"HTTP/1.1 200 OK\r\nX Y: z" + END)
        await writer.drain()
        writer.transport.abort()  # no close_notify

    async with serving(rude, ssl=context_of(authority)) as address:
        for body in (b"{}", bytes(8 * 2**20)):
            assert (await post(f"https://{address}/", files, body)).delivered
    with Misbehaving(tls=context_of(authority)) as receiver:
        assert (await post(receiver.url("/status/413?body=large"), files, bytes(2**20))).status == 413
        assert (await post(receiver.url("/hang"), files, timeout_seconds=0.5)).error == "no answer within 0.5 seconds"


@pytest.mark.parametrize(
    "said",
    [b"HTTP/1.1 400 Bad Request" + END, b"HTTP/1.1 200 OK" + END, b"<!DOCTYPE html>", b"SSH-2.0-OpenSSH_9.2\r\n"],
)
async def test_https_to_a_port_that_speaks_http(files, said):
    async def plain(reader, writer):
        await reader.read(100)
        writer.write(said)
        writer.close()

    async with serving(plain) as address:
        result = await post(f"https://{address}/", files)
    assert result.status is None
    assert "does not speak TLS at this port" in result.error
    assert repr(said[:10].decode())[1:-1] in result.error
    assert "write http:// in the result_url" in result.error


async def test_https_to_a_port_that_closes_says_what_may_be_wrong(files):
    async def closes(reader, writer):
        await reader.read(100)
        writer.close()

    async with serving(closes) as address:
        result = await post(f"https://{address}/", files)
    assert result.error.startswith("TLS: the receiver closed the connection during the handshake")
    assert "If it speaks plain http, write http:// in the result_url" in result.error


async def test_http_to_a_port_that_speaks_https(authority, files):
    with Misbehaving(tls=context_of(authority)) as receiver:
        result = await post(receiver.url("/").replace("https:", "http:"), files)
    assert "https" in result.error


@pytest.mark.parametrize(
    "body",
    [
        b"<center>The plain HTTP request was sent to HTTPS port</center>",
        b"Client sent an HTTP request to an HTTPS server.\n",
        b"Reason: You're speaking plain HTTP to an SSL-enabled server port.",
    ],
)
async def test_an_https_port_that_answers_in_http_is_told_from_another_400(files, body):
    async def tells(reader, writer):
        await reader.read(1000)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close" + END + body)
        writer.close()

    async with serving(tells) as address:
        result = await post(f"http://{address}/", files)
    assert (result.status, result.answer) == (400, body.decode())
    assert "write https:// in the result_url" in result.error


# Proxies.


class Proxy:
    """Answers each request as told, and remembers its head. A tunnel leads to a port of this machine."""

    def __init__(self, answer=b"", login=None):
        self.heads = []
        self._answer = answer
        self._login = login

    async def __call__(self, reader, writer):
        head = (await reader.readuntil(END)).decode()
        self.heads.append(head)
        if self._login and f"Basic {base64.b64encode(self._login).decode()}" not in head:
            writer.write(b'HTTP/1.1 407 Authenticate\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0' + END)
        elif self._answer or not head.startswith("CONNECT"):
            writer.write(self._answer or b"HTTP/1.1 204 No Content" + END)
        else:
            port = int(head.split(" ")[1].rpartition(":")[2])
            there, back = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"HTTP/1.1 200 Connection established\r\nX Y: z" + END)
            try:
                await asyncio.gather(self._pipe(reader, back), self._pipe(there, writer))
            finally:
                back.transport.abort()
                with suppress(ConnectionError):
                    await back.wait_closed()
        writer.close()

    @staticmethod
    async def _pipe(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except ConnectionError:
            pass
        writer.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_wants_a_password_is_told_from_the_receiver(files, scheme):
    proxy = Proxy(login=b"user:s3cret")
    async with serving(proxy) as address:
        result = await post(f"{scheme}://far.example/x", files, proxy=f"http://user:wr0ng@{address}")
    assert result.status is None
    assert "the proxy" in result.error
    assert "407" in result.error
    assert "TASKPOST_CALLBACK_PROXY" in result.error
    assert "wr0ng" not in result.error
    assert base64.b64encode(b"user:wr0ng").decode() not in result.error


async def test_a_proxy_with_a_password_lets_http_and_https_through(authority, files):
    proxy = Proxy(login=b"us:er:s3:cret/"[3:])
    async with serving(proxy) as address:
        through = f"http://er:s3%3Acret%2f@{address}"
        assert (await post("http://far.example/x", files, proxy=through)).delivered
        with Misbehaving(tls=context_of(authority)) as receiver:
            url = receiver.url("/status/204", "receiver.example")
            assert (await post(url, files, bytes(2**20), proxy=through)).delivered
            assert "proxy-authorization" not in receiver.received[0].headers


async def test_a_proxy_in_tls_is_used_for_http_and_https(authority, files):
    proxy = Proxy()
    async with serving(proxy, ssl=context_of(authority)) as address:
        through = f"https://{address}"
        assert (await post("http://far.example/x", files, proxy=through)).delivered
        with Misbehaving(tls=context_of(authority)) as receiver:
            assert (await post(receiver.url("/status/204"), files, proxy=through)).delivered
    assert [head.split(" ")[0] for head in proxy.heads] == ["POST", "CONNECT"]


@pytest.mark.parametrize(
    ("raw", "words", "status"),
    [
        (b"HTTP/1.1 407 No" + END, "the proxy .* answered 407", None),
        (
            b"HTTP/1.1 503 No\r\nX-Squid-Error: ERR_CONNECT_FAIL 111" + END,
            "the proxy .* answered 503 .*CONNECT_FAIL",
            None,
        ),
        (b"HTTP/1.1 502 No\r\nProxy-Status: p; error=dns_error" + END, "the proxy .* answered 502 .*dns_error", None),
        (b"HTTP/1.1 502 No\r\nProxy-Status: \x1b[31m; error=x" + END, r"answered 502 \('\\x1b\[31m", None),
        (b"HTTP/1.1 502 No" + END, "the receiver, or the proxy .* before it, answered 502", 502),
        (b"HTTP/1.1 404 No" + END, "the receiver answered 404", 404),
        (b"HTTP/1.1 410 No\r\nX-Squid-Error: x" + END, "the proxy .* answered 410", None),
    ],
)
async def test_whose_answer_it_is_through_a_proxy_for_plain_http(files, raw, words, status):
    async with serving(Proxy(raw)) as address:
        result = await post("http://far.example/x", files, proxy=f"http://{address}")
    assert re.search(words, result.error)
    assert result.status == status


@pytest.mark.parametrize(
    "raw", [b"HTTP/1.1 403 No\r\nVia Squid: x" + END, b"HTTP/1.0 502 No" + END, b"HTTP/1.1 410 G" + END]
)
async def test_a_tunnel_that_is_refused_is_the_proxy_s(files, raw):
    async with serving(Proxy(raw)) as address:
        result = await post("https://far.example/x", files, proxy=f"http://{address}")
    assert result.status is None
    assert f"the proxy did not let it through: {raw[9:12].decode()}" in result.error


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_not_there_is_named(files, scheme):
    result = await post(f"{scheme}://far.example/x", files, proxy="http://u:s3cret@127.0.0.1:1")
    assert result.error == "the proxy 127.0.0.1:1 of TASKPOST_CALLBACK_PROXY: the connection was refused"


# Time that grows with the body.


def slow(rate, *, taken):
    """A receiver that reads so many bytes a second, and answers at the end."""

    async def serve(reader, writer):
        head = await reader.readuntil(END)
        left = int(re.search(rb"content-length: (\d+)", head)[1])
        while left:
            read = len(await reader.read(min(left, rate // 20)))
            if not read or writer.is_closing():
                return
            left -= read
            taken.append(read)
            await asyncio.sleep(0.05)  # slowness is what is tested
        writer.write(b"HTTP/1.1 204 Thanks" + END)
        writer.close()

    return serve


async def test_a_large_body_on_a_slow_line_arrives_at_the_first_attempt(files):
    """As 8 MB at 400 KB/s in 15 seconds, with all times a tenth."""
    taken = []
    async with serving(slow(400_000, taken=taken), limit=10_000) as address:
        result = await post(f"http://{address}/", files, bytes(1_600_000), timeout_seconds=1.5, grows=True)
    assert (result.error, sum(taken)) == (None, 1_600_000)
    assert result.duration_seconds > 2


async def test_a_receiver_that_trickles_its_reading_is_given_up_soon(files, monkeypatch):
    monkeypatch.setattr(deadline, "MIN_BYTES_PER_SECOND", 2**20)
    taken = []
    async with serving(slow(400, taken=taken), limit=1000) as address:
        result = await post(f"http://{address}/", files, bytes(8_000_000), timeout_seconds=0.5, grows=True)
    assert re.fullmatch(r"no answer within [\d.]+ seconds: \d+ of 8000000 bytes were sent", result.error)
    assert result.duration_seconds < 5


async def test_without_growth_the_time_is_what_was_asked_for(files):
    async with serving(slow(400_000, taken=[]), limit=10_000) as address:
        result = await post(f"http://{address}/", files, bytes(8_000_000), timeout_seconds=0.5)
    assert re.fullmatch(r"no answer within 0.5 seconds: \d+ of 8000000 bytes were sent", result.error)
    assert result.duration_seconds < 1


async def test_a_connection_that_breaks_says_how_much_was_sent(files):
    async def breaks(reader, writer):
        await reader.read(1000)
        writer.transport.abort()

    async with serving(breaks) as address:
        result = await post(f"http://{address}/", files, bytes(8_000_000), grows=True)
    assert re.search(r"\(\d+ of 8000000 bytes were sent\)$", result.error)
