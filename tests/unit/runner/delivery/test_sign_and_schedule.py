"""Signing and timing of deliveries, and what is kept of a try."""

from __future__ import annotations

import base64
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from runner.contract import DeliveryStatus
from runner.delivery.answer import retry_after_seconds, shown
from runner.delivery.post import Try
from runner.delivery.route import Way
from runner.delivery.schedule import DELAYS_SECONDS, judge, next_delay_seconds
from runner.delivery.sign import KeyInvalid, parse_keys, signature_headers
from runner.delivery.tries import PastTry, Sent, decode, encode, report_arguments
from runner.delivery.verdict import is_to_be_omitted

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
        (Try("410", status=410), 1, (DeliveryStatus.DEAD, 0)),
        (Try("429", status=429, retry_after_seconds=60), 1, (DeliveryStatus.PENDING, 60)),
        (Try("503", status=503, retry_after_seconds=60), 1, (DeliveryStatus.PENDING, 60)),
        (Try("503", status=503, retry_after_seconds=1), 2, (DeliveryStatus.PENDING, 30)),
        (Try("503", status=503, retry_after_seconds=1e9), 2, (DeliveryStatus.PENDING, 3600)),
        (Try("503", status=503, retry_after_seconds=60), 3, (DeliveryStatus.DEAD, 0)),
        (Try("500", status=500, retry_after_seconds=60), 1, (DeliveryStatus.PENDING, 5)),
    ],
)
def test_what_a_try_makes_of_its_delivery(result, attempts, verdict):
    assert judge(result, attempts, 0.5, (5, 30)) == verdict


def test_the_schedule_goes_on_for_three_days():
    assert DELAYS_SECONDS[:3] == (5, 30, 120)
    assert 72 * 3600 <= sum(DELAYS_SECONDS) <= 84 * 3600


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Wed, 25 Nov 2026 08:00:30 GMT", 30),
        ("Wednesday, 25-Nov-26 08:00:30 GMT", 30),
        ("Wed Nov 25 08:00:30 2026", 30),
        ("Wed, 25 Nov 2026 07:00:00 GMT", 0),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("\u0663", None),
        ("9" * 5000, 999999999999),
        ("Wed, 99 Nov 2026 08:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    now = datetime(2026, 11, 25, 8, 0, tzinfo=UTC).timestamp()
    assert retry_after_seconds(value, now) == seconds


@given(st.text())
def test_no_retry_after_raises(value):
    seconds = retry_after_seconds(value, 0)
    assert seconds is None or seconds >= 0


@given(st.binary(max_size=3000), st.sampled_from(["", "identity", "gzip"]))
def test_what_is_shown_of_an_answer_is_text_of_a_kilobyte_at_most(body, encoding):
    text = shown(body, encoding)
    assert len(text.encode()) <= 1024
    assert "\x00" not in text


@pytest.mark.parametrize(
    "result", [Try(None, status=204, duration_seconds=0.0123), Try("no", duration_seconds=15), Try("x", status=500)]
)
def test_a_try_is_kept_and_read_again(result):
    text = encode(Sent("service", 1_700_000_000.5, result))
    assert decode(text) == PastTry(
        1_700_000_000_500, round(result.duration_seconds * 1000), "service", result.status, result.error
    )
    assert result.error or len(text) <= 64


SHOWN_NOTHING = "not delivered; the cause is not shown (TASKPOST_CALLBACK_KEEP_ANSWERS)"


@pytest.mark.parametrize(
    "result",
    [
        Try(None, status=204, duration_seconds=0.0123, answer="hello"),
        Try("the receiver answered 500", status=500, answer="secret", duration_seconds=1.5, retry_after_seconds=7),
        Try("the connection was refused", duration_seconds=0.001),
        Try("no answer within 15 seconds", duration_seconds=15),
    ],
)
def test_of_an_answer_that_is_left_out_only_whether_it_was_delivered_is_told(result):
    sent = Sent("service", 1_700_000_000.5, replace(result, omitted=True))
    error = None if result.delivered else SHOWN_NOTHING
    assert decode(encode(sent)) == PastTry(1_700_000_000_500, None, "service", None, error)
    arguments = report_arguments("x", "t", "pending", 5, sent)
    assert result.answer not in arguments or not result.answer
    assert (arguments[4], arguments[6]) == (error or "", "")
    assert judge(sent.result, 1, 0.5, (5, 30)) == judge(result, 1, 0.5, (5, 30)), "it is heeded all the same"


@pytest.mark.parametrize(
    ("addresses", "omitted"),
    [
        (["8.8.8.8"], False), (["2606:4700::1"], False), (["64:ff9b::808:808"], False),
        (["10.0.0.1"], True), (["192.168.1.1"], True), (["172.16.0.1"], True), (["127.0.0.1"], True), (["::1"], True),
        (["100.64.0.1"], True), (["fd12::1"], True), (["::ffff:10.0.0.1"], True), (["64:ff9b::a00:1"], True),
        (["2002:a00:1::"], True), (["198.18.0.1"], True), (["8.8.8.8", "10.0.0.1"], True), ([], True),
    ],
)  # fmt: skip
def test_which_answers_are_left_out(addresses, omitted):
    way = Way(addresses=[ip_address(address) for address in addresses])
    assert is_to_be_omitted("public", way) == omitted
    assert is_to_be_omitted("none", way)
    assert not is_to_be_omitted("all", way)
