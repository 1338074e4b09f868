"""Redis with a replica: what was answered is in both."""

from __future__ import annotations

import socket

import pytest
from taskpost import ApiError

from runner.connect import connect
from tests.support.service import ServiceProcess, eventually
from tests.support.valkey import ValkeyServer


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_task_and_its_outcome_are_on_the_replica_too(data_directory, receiver):
    port = free_port()
    settings = {"redis_min_replicas": 1, "callback_allow_loopback": "true", "concurrency": 1}
    with (
        ValkeyServer("--port", str(port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0") as primary,
        ServiceProcess(data_directory, redis_url=primary.url, **settings) as service,
        service.client() as client,
    ):
        with pytest.raises(ApiError) as refusal:
            client.submit("sleep", {"seconds": 0}, idempotency_key="once")
        assert refusal.value.status == 503
        with ValkeyServer("--replicaof", f"127.0.0.1 {port}") as replica:
            admin = connect(replica.url)
            eventually(lambda: admin.info("replication")["master_link_status"] == "up")
            task = client.submit("sleep", {"seconds": 0}, result_url=receiver.url, idempotency_key="twice").task
            assert admin.exists(f"{{taskpost:default}}:task:{task.task_id}")
            assert receiver.next(30).json()["task_id"] == task.task_id
            assert admin.exists(f"{{taskpost:default}}:body:{task.task_id}")
            admin.close()
