"""Addresses of Redis."""

from __future__ import annotations

import pytest

from runner.connect import COMMAND_TIMEOUT_SECONDS, RedisUrlError, connect, connect_async, parse_sentinel


@pytest.mark.parametrize("make", [connect, connect_async])
@pytest.mark.parametrize(
    "url", ["redis://localhost:7000/5", "rediss://user:p%40ss@localhost/1", "unix:///tmp/x.sock?db=2"]
)
def test_dead_connections_are_noticed_and_nothing_is_repeated(make, url):
    options = make(url).connection_pool.connection_kwargs
    assert options["socket_timeout"] == COMMAND_TIMEOUT_SECONDS
    assert options["retry"]._retries == 0
    assert options["health_check_interval"] > 0
    assert options.get("socket_keepalive", False) == (not url.startswith("unix"))


@pytest.mark.parametrize("make", [connect, connect_async])
def test_a_sentinel_address(make):
    client = make("redis+sentinel://user:p%40ss@one:1,two/main/3")
    pool = client.connection_pool
    assert pool.service_name == "main"
    assert (pool.connection_kwargs["db"], pool.connection_kwargs["password"]) == (3, "p@ss")


def test_sentinels_have_a_default_port():
    address = parse_sentinel("redis+sentinel://one:1,two/main")
    assert address.sentinels == (("one", 1), ("two", 26379))
    assert (address.username, address.password, address.database) == (None, None, 0)


@pytest.mark.parametrize("make", [connect, connect_async])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://localhost", "the scheme is not one of redis, rediss, unix"),
        ("redis+sentinel://one", "service-name"),
        ("redis://localhost/abc", "the number of a database"),
        ("redis+sentinel://one:x/main", "numbers for ports"),
    ],
)
def test_a_wrong_address_says_what_is_wanted(make, url, words):
    with pytest.raises(RedisUrlError, match=words):
        make(url)
