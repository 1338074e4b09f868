"""A try over real sockets: U06, U08, U09, U12, U13 and what else a receiver can do."""

from __future__ import annotations

import asyncio
import base64
import re
import resource
import ssl
import time
from contextlib import suppress
from ipaddress import ip_address

import pytest
import trustme
from standardwebhooks import Webhook

from runner.delivery.guard import Policy
from runner.delivery.post import Sender, Try
from runner.delivery.sign import parse_keys
from runner.delivery.tls import Tls, TlsFiles, TlsFilesInvalid
from tests.support.misbehaving import Misbehaving
from tests.support.serving import serving

KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
BODY = '{"text":"ä","n":18446744073709551616,"f":0.1}'.encode()
OPEN = Policy(allow_loopback=True)


@pytest.fixture
def receiver():
    with Misbehaving() as listening:
        yield listening


def sender_of(policy=OPEN, files=None, **options):
    return Sender(lambda: parse_keys([KEY]), policy, Tls(files or TlsFiles()), **options)


async def post(url, *, sender=None, timeout_seconds=5.0, body=BODY) -> Try:
    sender = sender or sender_of()
    now = time.time()
    return await sender.post(url, "msg_1", body, now_seconds=now, timeout_seconds=timeout_seconds, grows=False)


async def test_what_is_sent(receiver):
    result = await post(receiver.url("/status/204?a=%20b&c=é".replace("é", "%C3%A9"), "user:p%40ss@127.0.0.1") + "#f")
    assert (result.error, result.status, result.answer) == (None, 204, "")
    (received,) = receiver.received
    assert received.line == "POST /status/204?a=%20b&c=%C3%A9 HTTP/1.1"
    assert received.body == BODY
    Webhook(KEY).verify(received.body, received.headers)
    assert received.headers | {"webhook-timestamp": "", "webhook-signature": ""} == {
        "host": f"127.0.0.1:{receiver.port}",
        "content-type": "application/json",
        "content-length": str(len(BODY)),
        "user-agent": "Taskpost",
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "close",
        "authorization": "Basic " + base64.b64encode(b"user:p@ss").decode(),
        "webhook-id": "msg_1",
        "webhook-timestamp": "",
        "webhook-signature": "",
    }


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/status/200?body=ok", 200, None),
        ("/status/204", 204, None),
        ("/status/299", 299, None),
        ("/status/302", 302, "the receiver answered 302, and redirects are not followed"),
        ("/status/304", 304, "the receiver answered 304, and redirects are not followed"),
        ("/status/404?body=no+such+hook", 404, "the receiver answered 404"),
        ("/status/410", 410, "the receiver answered 410"),
        ("/status/500?body=oh", 500, "the receiver answered 500"),
        ("/reset", None, "the connection broke"),
        ("/close", None, "the connection was closed without an answer"),
        ("/garbage", None, "the answer is not HTTP: it begins with 'what is this"),
        ("/headers", 200, None),
        ("/trickle-status", 200, None),
    ],
)
async def test_u06_u09_what_an_answer_means(receiver, path, status, error):
    result = await post(receiver.url(path))
    assert result.status == status
    assert (result.error is None) == (error is None)
    assert (error or "") in (result.error or "")
    assert len(receiver.received) == receiver.connections == 1


async def test_the_beginning_of_an_answer_is_kept(receiver):
    assert (await post(receiver.url("/status/404?body=no+such+hook"))).answer == "no such hook"
    long = await post(receiver.url("/status/500?body=" + "%C3%A9" * 2000))
    assert (len(long.answer.encode()), set(long.answer)) == (1024, {"é"})


@pytest.mark.parametrize("path", ["/hang", "/trickle"])
async def test_whatever_trickles_there_is_one_deadline(receiver, path):
    result = await post(receiver.url(path), timeout_seconds=0.5)
    assert result.error == "no answer within 0.5 seconds"
    assert 0.5 <= result.duration_seconds < 1.5


@pytest.mark.parametrize("path", ["/endless", "/trickle-body"])
async def test_u08_a_body_without_end_costs_a_second_at_most(receiver, path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = await post(receiver.url(path))
    assert (result.error, result.status) == (None, 200)
    assert result.duration_seconds < 2
    assert len(result.answer) <= 1024
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024


async def test_an_answer_that_came_in_time_counts_however_long_its_body_takes(receiver):
    result = await post(receiver.url("/trickle-body"), timeout_seconds=0.5)
    assert (result.error, result.status) == (None, 200)
    assert result.duration_seconds < 0.5


async def test_u08_a_compressed_bomb_stays_compressed(receiver):
    result = await post(receiver.url("/bomb"))
    assert (result.status, result.answer) == (500, "(65192 bytes or more, encoded as gzip)"[:1] + result.answer[1:])
    assert "encoded as gzip" in result.answer


async def test_a_body_that_is_not_taken_costs_the_deadline():
    async def ignore(_reader, _writer):
        return

    async with serving(ignore) as address:
        result = await post(f"http://{address}/", timeout_seconds=0.5, body=bytes(32 * 2**20))
    assert re.fullmatch(r"no answer within 0\.5 seconds: \d{5,7} of 33554432 bytes were sent", result.error or "")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/", "the connection was refused"),
        ("http://no-such-host.invalid/", "the host name cannot be resolved"),
        ("http://a\n/", ""),
        ("ftp://127.0.0.1/", "not of the form"),
        ("http://127.0.0.1:port/", "no number for a port"),
        ("http://....127.0.0.1:8082/", ""),
        (f"http://{'a' * 64}.com/", ""),
        (f"http://{'ü' * 64}.com/", "not a valid international name"),
        ("http://[::1/", "not of the form"),
        ("http:///x", "no host"),
    ],
)
async def test_u12_a_fault_of_any_kind_is_a_failed_try(url, words):
    result = await post(url)
    assert not result.delivered
    assert not result.blocked
    assert words in (result.error or "")


async def test_an_international_name_goes_out_as_punycode(receiver):
    async def resolve(name):
        assert name == "xn--bcher-kva.example"
        return [ip_address("127.0.0.1")]

    result = await post(receiver.url("/status/204", "Bücher.example"), sender=sender_of(resolve=resolve))
    assert result.delivered
    assert receiver.received[0].headers["host"] == f"xn--bcher-kva.example:{receiver.port}"


async def test_the_environment_s_proxy_and_netrc_are_not_for_callbacks(receiver, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await post(receiver.url("/status/204"))).delivered
    assert "authorization" not in receiver.received[0].headers


async def test_each_try_has_a_timestamp_of_its_own_and_the_keys_of_its_time(receiver):
    keys = [KEY]
    sender = Sender(lambda: parse_keys(keys), OPEN, Tls(TlsFiles()))
    url = receiver.url("/status/204")
    await sender.post(url, "msg_1", BODY, now_seconds=time.time() - 100, timeout_seconds=5)
    other = "whsec_" + base64.b64encode(bytes(range(40))).decode()
    keys.append(other)
    await sender.post(url, "msg_1", BODY, now_seconds=time.time(), timeout_seconds=5)
    first, second = receiver.received
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 100
    Webhook(KEY).verify(first.body, first.headers)
    for key in keys:
        Webhook(key).verify(second.body, second.headers)


class Proxy:
    """An HTTP proxy: forwards, or tunnels, and remembers the request lines that it was given."""

    def __init__(self):
        self.asked = []

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.splitlines()[0])
        method, target, _ = head.split(" ", 2)
        if method == "CONNECT":
            there, back = await asyncio.open_connection("127.0.0.1", int(target.rpartition(":")[2]))
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(self.pipe(reader, back), self.pipe(there, writer))
        else:
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            writer.close()

    @staticmethod
    async def pipe(reader, writer):
        with suppress(ConnectionError):
            while chunk := await reader.read(65536):
                writer.write(chunk)
        writer.close()


async def test_a_proxy_that_is_set_for_callbacks_is_used(authority, ca_file):
    proxy = Proxy()

    async def unknown(_name):
        raise OSError("not known here")

    async with serving(proxy.serve) as address:
        through = {"proxy": f"http://{address}", "files": TlsFiles(ca=ca_file), "resolve": unknown}
        assert (await post("http://far.example/x", sender=sender_of(**through))).status == 204
        with Misbehaving(tls=server_context(authority.issue_cert("far.example"))) as receiver:
            result = await post(receiver.url("/status/204", "far.example"), sender=sender_of(**through))
        assert (result.error, receiver.received[0].headers["host"]) == (None, f"far.example:{receiver.port}")
        blocked = await post("http://169.254.169.254/", sender=sender_of(**through))
        assert blocked.blocked
    assert proxy.asked == ["POST http://far.example/x HTTP/1.1", f"CONNECT far.example:{receiver.port} HTTP/1.1"]


async def test_a_proxy_that_refuses_is_named():
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with serving(refuse) as address:
        sender = sender_of(proxy=f"http://{address}", resolve=resolve_here)
        result = await post("https://far.example/", sender=sender)
    assert "the proxy did not let it through: 403" in (result.error or "")


# TLS: U13.


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority, tmp_path_factory):
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def server_context(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


async def resolve_here(_name):
    return [ip_address("127.0.0.1")]


@pytest.mark.parametrize(
    ("names", "host", "trusted", "words"),
    [
        (["receiver.example"], "receiver.example", True, None),
        (["127.0.0.1"], "127.0.0.1", True, None),
        (["receiver.example"], "receiver.example", False, "unable to get local issuer certificate"),
        (["other.example"], "receiver.example", True, "Hostname mismatch"),
        (["receiver.example"], "127.0.0.1", True, "IP address mismatch"),
    ],
)
async def test_u13_certificates_are_verified_against_the_name(authority, ca_file, names, host, trusted, words):
    files = TlsFiles(ca=ca_file) if trusted else TlsFiles()
    with Misbehaving(tls=server_context(authority.issue_cert(*names))) as receiver:
        url = receiver.url("/status/204", host)
        result = await post(url, sender=sender_of(files=files, resolve=resolve_here))
        if words is None:
            assert result.delivered
        else:
            assert (result.error or "").startswith("TLS: the certificate is not accepted: ")
            assert words in (result.error or "")
            assert receiver.received == []


async def test_u13_expired_and_self_signed_certificates_are_refused(authority, ca_file):
    from datetime import UTC, datetime, timedelta

    past = datetime.now(UTC) - timedelta(days=1)
    expired = authority.issue_cert("receiver.example", not_before=past - timedelta(days=1), not_after=past)
    for certificate, words in ((expired, "expired"), (trustme.CA().issue_cert("receiver.example"), "issuer")):
        with Misbehaving(tls=server_context(certificate)) as receiver:
            url = receiver.url("/status/204", "receiver.example")
            result = await post(url, sender=sender_of(files=TlsFiles(ca=ca_file), resolve=resolve_here))
        assert words in (result.error or "")


async def test_what_speaks_no_tls_is_named():
    async def refuse(_reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with serving(refuse) as address:
        result = await post(f"https://{address}/")
    assert (result.error or "").startswith("TLS: ")


async def test_a_client_certificate_is_shown_to_whoever_asks(authority, ca_file, tmp_path):
    mine = authority.issue_cert("taskpost")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    mine.cert_chain_pems[0].write_to_path(str(certificate))
    mine.private_key_pem.write_to_path(str(key))
    context = server_context(authority.issue_cert("receiver.example"))
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with Misbehaving(tls=context) as receiver:
        url = receiver.url("/status/204", "receiver.example")
        without = await post(url, sender=sender_of(files=TlsFiles(ca=ca_file), resolve=resolve_here))
        assert not without.delivered
        files = TlsFiles(ca=ca_file, certificate=certificate, key=key)
        assert (await post(url, sender=sender_of(files=files, resolve=resolve_here))).delivered


def test_public_authorities_stay_trusted_beside_an_own_one(ca_file):
    public = Tls(TlsFiles()).context().cert_store_stats()["x509_ca"]
    assert public > 50
    assert Tls(TlsFiles(ca=ca_file)).context().cert_store_stats()["x509_ca"] == public + 1
    assert Tls(TlsFiles(ca=ca_file)).context().verify_mode is ssl.CERT_REQUIRED


def test_certificates_are_reread_when_they_change_and_kept_when_that_fails(authority, ca_file, tmp_path):
    path = tmp_path / "ca.pem"
    with pytest.raises(TlsFilesInvalid, match=r"ca\.pem cannot be used"):
        Tls(TlsFiles(ca=path)).context()
    path.write_bytes(ca_file.read_bytes())
    tls = Tls(TlsFiles(ca=path))
    first = tls.context()
    assert tls.context() is first
    path.write_text("half a certificate")
    assert tls.context() is first
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    other.replace(path)
    assert tls.context() is not first
