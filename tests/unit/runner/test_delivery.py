"""Signing, judging and timing of deliveries."""

from __future__ import annotations

import base64
import subprocess
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from runner.contract import DeliveryStatus
from runner.delivery.guard import Blocked, Policy, judge_host
from runner.delivery.guard import judge as judge_address
from runner.delivery.post import Sender, Try
from runner.delivery.schedule import DELAYS_SECONDS, judge, next_delay_seconds
from runner.delivery.sign import KeyInvalid, parse_keys, signature_headers

KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER_KEY = "whsec_" + base64.b64encode(bytes(range(40))).decode()
BODY = '{"text":"ä","n":18446744073709551616,"f":0.1}'.encode()


def test_the_official_library_verifies_every_key():
    now = int(datetime.now(UTC).timestamp())
    headers = signature_headers(parse_keys([KEY, "", OTHER_KEY]), "msg_1", now, BODY)
    for key in (KEY, OTHER_KEY):
        Webhook(key).verify(BODY, headers)


def test_u10_openssl_computes_the_same_signature():
    headers = signature_headers(parse_keys([KEY]), "msg_1", 1_700_000_000, BODY)
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{bytes(range(32)).hex()}", "-binary"]
    signed = subprocess.run(command, input=b"msg_1.1700000000." + BODY, capture_output=True, check=True).stdout
    assert headers["webhook-signature"] == "v1," + base64.b64encode(signed).decode()
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_1", "1700000000")


def test_without_a_key_there_is_no_signature():
    assert "webhook-signature" not in signature_headers([], "msg_1", 1, BODY)


@pytest.mark.parametrize("text", ["secret", "whsec_!", "whsec_" + base64.b64encode(b"short").decode(), KEY + "A" * 80])
def test_a_key_of_another_form_is_refused_and_not_shown(text):
    with pytest.raises(KeyInvalid) as refusal:
        parse_keys([text])
    assert text not in str(refusal.value)


@given(st.integers(1, len(DELAYS_SECONDS)), st.floats(0, 1))
def test_pauses_are_the_schedule_s_give_or_take_a_tenth(attempts, chance):
    delay = next_delay_seconds(attempts, chance, DELAYS_SECONDS)
    assert delay == pytest.approx(DELAYS_SECONDS[attempts - 1], rel=0.1000001)


@pytest.mark.parametrize(
    ("result", "attempts", "verdict"),
    [
        (Try(None), 1, (DeliveryStatus.DELIVERED, 0)),
        (Try("no", blocked=True), 1, (DeliveryStatus.BLOCKED, 0)),
        (Try("500"), 1, (DeliveryStatus.PENDING, 5)),
        (Try("500"), 2, (DeliveryStatus.PENDING, 30)),
        (Try("500"), 3, (DeliveryStatus.DEAD, 0)),
    ],
)
def test_what_a_try_makes_of_its_delivery(result, attempts, verdict):
    assert judge(result, attempts, 0.5, (5, 30)) == verdict


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::"])
def test_this_machine_is_refused_unless_allowed(address):
    with pytest.raises(Blocked, match="not allowed here"):
        judge_address(ip_address(address), Policy(allow_loopback=False))
    judge_address(ip_address(address), Policy(allow_loopback=True))


async def test_a_name_is_judged_by_its_addresses():
    with pytest.raises(Blocked):
        await judge_host("localhost", 80, Policy(allow_loopback=False))
    await judge_host("localhost", 80, Policy(allow_loopback=True))
    await judge_host("10.1.2.3", 80, Policy(allow_loopback=False))


async def test_a_blocked_try_sends_nothing(receiver_address):
    url, connections = receiver_address
    async with Sender([], Policy(allow_loopback=False)) as sender:
        result = await sender.post(url, "msg_1", BODY, now_seconds=0, timeout_seconds=5)
    assert result.blocked
    assert connections == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/", "ConnectError"),
        ("http://no-such-host.invalid/", ""),
        ("http://a\n/", ""),
        ("ftp://127.0.0.1/", "UnsupportedProtocol"),
    ],
)
async def test_a_fault_of_any_kind_is_a_failed_try(url, words):
    async with Sender([], Policy(allow_loopback=True), only_plain_http=True) as sender:
        result = await sender.post(url, "msg_1", BODY, now_seconds=0, timeout_seconds=5)
    assert not result.delivered
    assert not result.blocked
    assert words in (result.error or "")


async def test_a_receiver_that_does_not_answer_costs_the_deadline_and_no_more(receiver_address):
    url, connections = receiver_address
    async with Sender([], Policy(allow_loopback=True)) as sender:
        result = await sender.post(url, "msg_1", BODY, now_seconds=0, timeout_seconds=0.2)
    assert result.error == "no answer within 0.2 seconds"
    assert len(connections) == 1


@pytest.fixture
async def receiver_address():
    """A listener that takes connections and never answers."""
    import asyncio

    connections = []
    server = await asyncio.start_server(lambda _, writer: connections.append(writer), "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", connections
    for writer in connections:
        writer.close()
        await writer.wait_closed()
    server.close()
    await server.wait_closed()
