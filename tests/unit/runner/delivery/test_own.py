"""Our own addresses: the service's, those of its Redis and of the API server, remembered when names do not resolve."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address

import pytest

from runner.delivery import own as module
from runner.delivery.guard import Blocked, Policy, judge_name
from runner.delivery.network import Network
from runner.delivery.own import OwnAddresses, OwnUnknownError, is_of_this_machine
from runner.delivery.post import Sender
from runner.delivery.tls import Tls, TlsFiles
from tests.support.misbehaving import Misbehaving


class Names:
    """A resolver whose table can be changed; what is not in it does not resolve."""

    def __init__(self, **table):
        self.table = {name.replace("_", "."): addresses for name, addresses in table.items()}
        self.asked = []

    async def __call__(self, name):
        self.asked.append(name)
        if name not in self.table:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [ip_address(address) for address in self.table[name]]


@pytest.fixture(autouse=True)
def _each_call_resolves(monkeypatch):
    monkeypatch.setattr(module, "FRESH_SECONDS", 0)
    monkeypatch.setattr(module, "FRESH_SECONDS_AFTER_FAILURE", 0)


REDIS = Policy(own=(("redis.example", 6379),))


async def test_an_address_of_redis_that_was_seen_is_refused_when_its_name_does_not_resolve():
    names = Names(redis_example=["10.0.0.5"], alias_example=["10.0.0.5"])
    network = Network(REDIS, names)
    with pytest.raises(Blocked, match="own Redis"):
        await network.judged_addresses("alias.example", 6379)
    del names.table["redis.example"]
    with pytest.raises(Blocked, match="own Redis"):
        await network.judged_addresses("alias.example", 6379)
    with pytest.raises(Blocked, match="own Redis"):
        await network.judged_addresses("10.0.0.5", 6379)


async def test_an_address_of_redis_that_was_seen_is_refused_when_its_name_leads_elsewhere():
    names = Names(redis_example=["10.0.0.5"])
    network = Network(REDIS, names)
    for number in range(6, 30):
        await network.judged_addresses("10.1.1.1", 6379)
        names.table["redis.example"] = [f"10.0.0.{number}"]
    await network.judged_addresses("10.1.1.1", 6379)
    for number in range(5, 30):
        with pytest.raises(Blocked, match="own Redis"):
            await network.judged_addresses(f"10.0.0.{number}", 6379)


async def test_what_is_remembered_of_a_name_is_bounded():
    names = Names()
    own = OwnAddresses([("redis.example", 6379)], names)
    for number in range(500):
        names.table["redis.example"] = [str(ip_address(0x0A000000 + number))]
        found = await own.at_port(6379)
    assert len(found) == module.REMEMBERED
    assert found[-1] == (ip_address(0x0A000000 + 499), 6379)


async def test_while_nothing_is_known_of_our_own_name_its_port_is_not_called_and_others_are():
    names = Names(far_example=["10.9.9.9"])
    sender = Sender(lambda: (), REDIS, Tls(TlsFiles()), resolve=names)
    result = await sender.post("http://far.example:6379/", "msg_1", b"{}", now_seconds=0, timeout_seconds=2)
    assert not result.blocked, "it is made again: the name may resolve then"
    assert result.error.startswith("nothing is sent to port 6379 now: redis.example")
    network = Network(REDIS, names)
    assert await network.judged_addresses("far.example", 80) == [ip_address("10.9.9.9")]
    assert "redis.example" not in names.asked[-1:]


async def test_an_address_that_is_known_stands_in_for_a_name_that_does_not_resolve():
    """Outside of the cluster kubernetes.default.svc is no name, and https callbacks go out all the same."""
    policy = Policy(own=(("10.96.0.1", 443), ("kubernetes.default.svc", 443)))
    network = Network(policy, Names(far_example=["10.9.9.9"], api_example=["10.96.0.1"]))
    assert await network.judged_addresses("far.example", 443) == [ip_address("10.9.9.9")]
    with pytest.raises(Blocked, match="API server"):
        await network.judged_addresses("api.example", 443)


async def test_what_is_learned_is_told_to_runners():
    names = Names(redis_example=["10.0.0.5", "fd00::5"])
    own = OwnAddresses([("redis.example", 6379), ("10.0.0.9", 80), ("tasks.example", 0)], names)
    assert await own.learn() == [("10.0.0.5", 6379), ("fd00::5", 6379)]
    del names.table["redis.example"]
    assert await own.learn() == [("10.0.0.5", 6379), ("fd00::5", 6379)]
    assert set(names.asked) == {"redis.example"}


async def test_where_our_connections_lead_is_ours_whatever_names_say():
    policy = Policy(own=(("redis.example", 6379),))
    network = Network(policy, Names(far_example=["10.9.9.9"]))
    assert await network.own.learn([("10.0.0.7", 6379), ("fd00::7", 6380), ("/run/socket", 0)]) == [
        ("10.0.0.7", 6379),
        ("fd00::7", 6380),
    ]
    for address, port in (("10.0.0.7", 6379), ("::ffff:10.0.0.7", 6379), ("fd00::7", 6380)):
        with pytest.raises(Blocked, match="own Redis"):
            await network.judged_addresses(address, port)
    assert await network.judged_addresses("far.example", 6379), (
        "the address of Redis is known, so others are told from it"
    )
    for number in range(500):
        await network.own.learn([(str(ip_address(0x0A000000 + number)), 6379)])
    assert len(await network.own.at_port(6379)) == module.REMEMBERED


async def test_a_name_without_a_port_is_refused_at_every_port_and_not_resolved():
    policy = Policy(own=(("tasks.example.com", 0), ("*.tasks.example.com", 0), ("203.0.113.7", 0)))
    names = Names(other_example=["203.0.113.8"])
    network = Network(policy, names)
    for name in ("tasks.example.com", "TASKS.example.com.", "a.tasks.example.com"):
        for port in (80, 443, 8080):
            with pytest.raises(Blocked, match="Taskpost itself"):
                judge_name(name, port, policy)
    with pytest.raises(Blocked, match="Taskpost itself"):
        await network.judged_addresses("203.0.113.7", 8443)
    assert await network.judged_addresses("other.example", 443) == [ip_address("203.0.113.8")]
    assert names.asked == ["other.example"]


async def test_a_service_on_all_addresses_is_refused_at_each_of_this_machine():
    policy = Policy(allow_loopback=True, own=(("0.0.0.0", 8000),))
    network = Network(policy, Names(me_example=["127.0.0.9"], far_example=["192.0.2.1"]))
    for host in ("127.0.0.1", "127.1", "me.example", "::1", "::ffff:127.0.0.1", "2130706433"):
        with pytest.raises(Blocked, match="Taskpost itself"):
            await network.judged_addresses(host, 8000)
        assert await network.judged_addresses(host, 8001)
    assert await network.judged_addresses("far.example", 8000)


async def test_a_name_server_that_is_silent_is_asked_once_at_a_time(monkeypatch):
    monkeypatch.setattr(module, "RESOLVE_SECONDS", 0.2)
    asked = []

    async def silent(name):
        asked.append(name)
        await asyncio.Event().wait()

    own = OwnAddresses([("redis.example", 6379)], silent)
    found = await asyncio.gather(*(own.at_port(6379) for _ in range(400)), return_exceptions=True)
    assert all(isinstance(one, OwnUnknownError) for one in found)
    assert asked == ["redis.example"]


def test_whether_an_address_is_of_this_machine():
    assert is_of_this_machine(ip_address("127.0.0.1"))
    assert not is_of_this_machine(ip_address("192.0.2.1"))
    assert not is_of_this_machine(ip_address("2001:db8::1"))


async def test_the_service_itself_is_not_connected_to():
    with Misbehaving() as service:
        policy = Policy(allow_loopback=True, own=(("127.0.0.1", service.port),))
        sender = Sender(lambda: (), policy, Tls(TlsFiles()))
        for host in ("127.0.0.1", "127.1", "localhost", "0x7f000001", "[::ffff:127.0.0.1]"):
            url = service.url("/status/204", host)
            result = await sender.post(url, "msg_1", b"{}", now_seconds=0, timeout_seconds=5)
            assert result.blocked, url
        assert service.connections == 0
