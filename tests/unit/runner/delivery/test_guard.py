"""U01, U03: where a callback may go, in every spelling of an address, and when names change their addresses."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.delivery.address import embedded_addresses, literal_address
from runner.delivery.guard import Blocked, Policy, judge, judge_name, parse_rule
from runner.delivery.network import Network
from runner.delivery.post import Sender
from runner.delivery.tls import Tls, TlsFiles
from tests.support.misbehaving import Misbehaving

OPEN, CLOSED = Policy(allow_loopback=True), Policy()
NEVER = [
    "169.254.169.254", "169.254.0.1", "fe80::1", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16",
    "192.0.0.192", "0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "239.255.255.250", "ff02::1", "255.255.255.255",
    "240.0.0.1", "fec0::1", "4000::1", "::169.254.169.254", "::ffff:169.254.169.254", "::ffff:0:169.254.169.254",
    "64:ff9b::169.254.169.254", "64:ff9b:1::a9fe:a9fe", "64:ff9b:1::808:808", "64:ff9b:1:a9fe:a9:fe00::",
    "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "2002:a9fe:a9fe::1", "2001:0:a9fe:a9fe::1",
    "2001:0:1:1::5601:5601", "fe80::5efe:169.254.169.254", "2001:db8::5efe:a9fe:a9fe", "::ffff:0.0.0.0",
]  # fmt: skip
LOOPBACK = ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"]


def is_blocked(address, policy, **more):
    try:
        judge(ip_address(address), policy, **more)
    except Blocked:
        return True
    return False


@pytest.mark.parametrize("address", NEVER)
def test_what_is_never_allowed(address):
    for policy in (OPEN, CLOSED, Policy(allow=(f"{ip_address(address)}",))):
        with pytest.raises(Blocked, match="never allowed"):
            judge(ip_address(address), policy)


@pytest.mark.parametrize("address", LOOPBACK)
def test_this_machine_is_refused_unless_allowed(address):
    assert is_blocked(address, CLOSED)
    assert not is_blocked(address, OPEN)


@pytest.mark.parametrize("address", ["10.1.2.3", "192.168.0.1", "172.16.0.1", "fd12::1", "8.8.8.8", "2001:db8::1"])
def test_private_and_public_addresses_are_allowed(address):
    assert not is_blocked(address, CLOSED)


def spellings(number: int):
    """Every way in which `getaddrinfo` takes an IPv4 address: one to four parts, each in three bases."""
    parts = [number >> 24, (number >> 16) & 255, (number >> 8) & 255, number & 255]
    for count in range(1, 5):
        last = 0
        for part in parts[count - 1 :]:
            last = last << 8 | part
        for form in ("{}", "{:#x}", "0{:o}", "0x{:X}", "0x000{:x}"):
            yield ".".join(form.format(part) for part in [*parts[: count - 1], last])


@given(st.integers(0, 2**32 - 1))
def test_a_spelling_of_an_address_is_that_address_to_us_and_to_the_resolver(number):
    for spelling in spellings(number):
        assert literal_address(spelling) == IPv4Address(number)
        assert literal_address(spelling + ".") == IPv4Address(number)
        found = socket.getaddrinfo(spelling, 80, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        assert found[0][4][0] == str(IPv4Address(number))


@given(st.ip_addresses(v=4))
def test_what_is_embedded_is_judged_as_what_it_is(address):
    number = int(address)
    wrapped = [
        IPv6Address(0xFFFF << 32 | number),
        IPv6Address(0xFFFF << 48 | number),
        IPv6Address((0x64FF9B << 96) | number),
        IPv6Address(0x2002 << 112 | number << 80 | 1),
        IPv6Address(0x20010000 << 96 | 0x08080808 << 64 | (~number & 0xFFFFFFFF)),
        IPv6Address(0x20010DB8 << 96 | 0x5EFE << 32 | number),
    ]
    for one in wrapped:
        assert address in embedded_addresses(one)
        if is_blocked(address, CLOSED):
            assert is_blocked(one, CLOSED)


@given(st.ip_addresses())
def test_no_address_that_is_special_to_the_standard_library_is_let_through(address):
    special = (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_loopback
        or (address.is_reserved and not embedded_addresses(address))
        or getattr(address, "is_site_local", False)
    )
    assert is_blocked(address, CLOSED) or not special


def test_allow_and_deny():
    inside = Policy(allow=("10.0.0.0/8", "*.svc.cluster.local"), deny=("10.96.0.0/12", "secret.svc.cluster.local"))
    assert not is_blocked("10.1.2.3", inside)
    assert is_blocked("10.96.0.1", inside)
    assert is_blocked("192.168.0.1", inside)
    assert is_blocked("::ffff:10.96.0.1", inside)
    assert not is_blocked("192.168.0.1", inside, host="a.svc.cluster.local")
    with pytest.raises(Blocked, match="denied"):
        judge_name("Secret.svc.cluster.local.", 80, inside)
    judge_name("elsewhere.example", 80, inside)  # its addresses may be inside
    only_names = Policy(allow=("*.example.com",))
    judge_name("a.example.com", 80, only_names)
    with pytest.raises(Blocked, match="not in TASKPOST_CALLBACK_ALLOW"):
        judge_name("example.org", 80, only_names)


def test_a_refusal_names_the_setting_that_decides():
    with pytest.raises(Blocked, match=r"this machine \(localhost\).*TASKPOST_CALLBACK_ALLOW_LOOPBACK"):
        judge_name("localhost", 80, CLOSED)
    with pytest.raises(Blocked, match=r"this machine \(127\.0\.0\.1\).*TASKPOST_CALLBACK_ALLOW_LOOPBACK"):
        judge(ip_address("127.0.0.1"), CLOSED)
    with pytest.raises(Blocked, match="denied by TASKPOST_CALLBACK_DENY"):
        judge(ip_address("10.0.0.1"), Policy(deny=("10.0.0.0/8",)))


def test_our_own_redis_and_the_api_server_are_refused():
    own = Policy(own=(("10.0.0.5", 6379), ("redis.example", 6379), ("kubernetes.default.svc", 443)))
    assert is_blocked("10.0.0.5", own, port=6379)
    assert is_blocked("::ffff:10.0.0.5", own, port=6379)
    assert not is_blocked("10.0.0.5", own, port=80)
    assert is_blocked("10.0.0.9", own, port=6379, own=[(ip_address("10.0.0.9"), 6379)])
    for name, port in (("Redis.example.", 6379), ("kubernetes.default.svc", 443)):
        with pytest.raises(Blocked, match="own Redis"):
            judge_name(name, port, own)
    judge_name("redis.example", 80, own)


@pytest.mark.parametrize("rule", ["10.0.0.0/33", "10.0.0.1/8", "a b", "http://x", "", "fe80::/200"])
def test_a_rule_of_another_form_is_refused(rule):
    with pytest.raises(ValueError, match=r"network|netmask|host bits|permitted|neither|does not appear"):
        parse_rule(rule)


@pytest.mark.parametrize("policy", [CLOSED, Policy(True, ("10.0.0.0/8",), ("*.x",), (("redis", 6379),))])
def test_a_policy_is_the_same_to_the_runner(policy):
    assert Policy.from_json(policy.to_json()) == policy


# Names.


class Names:
    """A resolver that answers anew each time, and remembers what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def __call__(self, name):
        self.asked.append(name)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [ip_address(address) for address in answer]


async def test_one_forbidden_address_among_others_blocks_a_name():
    names = Names(["10.0.0.1", "169.254.169.254"])
    with pytest.raises(Blocked, match="never allowed"):
        await Network(CLOSED, names).judged_addresses("mixed.example", 80)


async def test_another_name_of_our_redis_is_found_by_its_address():
    own = Policy(own=(("redis.example", 6379),))
    with pytest.raises(Blocked, match="own Redis"):
        await Network(own, Names(["10.0.0.5"])).judged_addresses("alias.example", 6379)
    assert await Network(own, Names(["10.0.0.5"])).judged_addresses("alias.example", 80) == [ip_address("10.0.0.5")]


async def test_u03_a_connection_goes_to_the_address_that_was_judged():
    with Misbehaving() as allowed, Misbehaving(host="127.0.0.2", port=allowed.port) as forbidden:
        names = Names(["127.0.0.1"], ["127.0.0.2"])
        policy = Policy(allow_loopback=True, deny=("127.0.0.2",))
        sender = Sender(lambda: (), policy, Tls(TlsFiles()), resolve=names)
        url = allowed.url("/status/500", "rebinding.example")
        first = await sender.post(url, "msg_1", b"{}", now_seconds=0, timeout_seconds=5)
        assert (first.status, names.asked) == (500, ["rebinding.example"])
        assert allowed.received[0].headers["host"] == f"rebinding.example:{allowed.port}"
        second = await sender.post(url, "msg_1", b"{}", now_seconds=0, timeout_seconds=5)
        assert second.blocked
        assert forbidden.connections == 0


async def test_an_address_that_is_silent_leaves_the_next_one_time():
    with Misbehaving() as receiver:
        names = Names(["127.0.0.3", "127.0.0.1"])
        sender = Sender(lambda: (), OPEN, Tls(TlsFiles()), resolve=names)
        url = receiver.url("/status/204", "two.example")
        assert (await sender.post(url, "msg_1", b"{}", now_seconds=0, timeout_seconds=5)).delivered


@pytest.mark.parametrize(
    "url", ["http://localhost/", "http://127.1/", "http://[::1]/", "http://169.254.169.254/latest/"]
)
async def test_a_blocked_try_sends_nothing(url):
    sender = Sender(lambda: (), CLOSED, Tls(TlsFiles()))
    result = await sender.post(url, "msg_1", b"{}", now_seconds=0, timeout_seconds=5)
    assert result.blocked
