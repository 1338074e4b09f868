"""What an attempt says of its receiver, and whom it is counted with."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from runner.delivery.post import Try
from runner.delivery.receiver import account_of, account_of_name, standing_of


@pytest.mark.parametrize(
    ("result", "standing"),
    [
        (Try(None, status=204, duration_seconds=0.2), "good"),
        (Try("the receiver answered 404", status=404, duration_seconds=0.2), "good"),
        (Try("the receiver answered 410", status=410, duration_seconds=0.2), "good"),
        (Try("the receiver answered 500", status=500, duration_seconds=0.2), "failed"),
        (Try("the receiver answered 429", status=429, duration_seconds=0.2), "failed"),
        (Try("the connection was refused", duration_seconds=0.2), "failed"),
        (Try(None, status=204, duration_seconds=2), "slow"),
        (Try("no answer within 15 seconds", duration_seconds=15), "slow"),
        (Try("callbacks to 10.0.0.1 are denied", blocked=True, duration_seconds=2), None),
    ],
)
def test_who_answers_soon_is_good(result, standing):
    assert standing_of(result) == standing


@pytest.mark.parametrize(
    ("address", "account"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("64:ff9b::192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
    ],
)
def test_all_spellings_of_an_address_and_all_of_a_network_of_ipv6_are_one_account(address, account):
    assert account_of(ip_address(address)) == account


@pytest.mark.parametrize("host", ["a.b.example.com", "a.b.example.com:80", "example.com", "c.example.com.:443"])
def test_names_that_lead_nowhere_are_counted_by_their_domain(host):
    assert account_of_name(host) == "name example.com"
