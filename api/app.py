"""The composition root: makes the parts of the service from its settings, and runs them together."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING

from api import callbacks
from api.cancellation import cancel, is_being_cancelled
from api.catalog import Catalog, pods_of
from api.checks import Checks
from api.controller.controller import Controller, ControllerConfig
from api.controller.supervise import supervise
from api.core.decisions import Limits
from api.embedded.directory import DataDirectory
from api.embedded.valkey import embedded_valkey
from api.executors.kubernetes import KubernetesExecutor
from api.executors.kubernetes.client import Access, Cluster, ClusterUnusable, own_namespace
from api.executors.kubernetes.template import JobSettings
from api.executors.local import LocalExecutor, free_space
from api.outage import Outage
from api.queue.connection import quicken
from api.queue.errors import QueueUnavailable
from api.queue.guard import guard
from api.queue.queue import Queue
from api.queue.server import check_scripts, check_server
from api.queue.shapes import QueueLimits, Retention
from api.queue.wakeups import wakeups
from api.readiness import Readiness
from api.setting_forms import is_bound_to_loopback
from api.setting_rules import check_executor
from api.settings import SettingsError
from api.web.application import create_app
from api.web.origins import HostRule
from api.web.services import Services, WebSettings
from runner.connect import RedisUrlError, connect_async, peer_addresses
from runner.contract import Env
from runner.delivery.guard import is_loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from fastapi import FastAPI
    from redis.asyncio import Redis

    from api.core.task_types import Definitions
    from api.executors.base import Executor
    from api.settings import Settings
    from runner.delivery.guard import Policy

logger = logging.getLogger(__name__)

CHECK_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs. `fault` ends with the error that makes it impossible to go on, if there is one.

    `running` returns how many attempts run now that end with the service.
    """

    application: FastAPI
    fault: asyncio.Task[None]
    running: Callable[[], int]


@asynccontextmanager
async def running_service(settings: Settings, listening: tuple[str, int] | None = None) -> AsyncIterator[Service]:
    """Run all but the HTTP server, which listens on the address `listening`; on leaving, end the attempts and Valkey.

    Raises:
        SettingsError: if settings are wrong together.
        DirectoryInUseError: if another service has the data directory.
        ValkeyError: if the embedded Valkey cannot be started.
    """
    catalog, outage = Catalog(settings), Outage()
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(DataDirectory(settings.data_dir))
        free_space(directory.attempts)
        # All that a setting names is read before a Valkey is started for it.
        keys_file = _signing_keys_file(settings, directory)
        credentials = callbacks.read_credentials(settings, keys_file)
        executor = await _executor(settings, directory)
        if settings.redis_url is None:
            redis_url = await stack.enter_async_context(embedded_valkey(directory))
        else:
            redis_url = settings.redis_url.get_secret_value()
        client = _connect(settings, redis_url)
        stack.push_async_callback(client.aclose)
        policy = callbacks.callback_policy(settings, redis_url, executor.own_addresses, listening)
        sender = callbacks.make_sender(settings, credentials, policy)
        environment = _runner_environment(settings, redis_url, keys_file, policy)
        known = partial(callbacks.keep_known, sender.own, lambda: peer_addresses(client), policy, environment)
        knowing = asyncio.create_task(supervise("known addresses", known))
        stack.push_async_callback(cancel, knowing)
        owner = directory.owner()
        queue = Queue(client, settings.instance, owner=owner, min_replicas=settings.redis_min_replicas)
        controller = Controller(
            queue,
            executor,
            sender,
            lambda: wakeups(client, settings.instance),
            _controller_config(
                settings,
                catalog,
                environment=environment,
                owner=owner,
            ),
            outage=outage,
        )
        guarded = partial(guard, client, exclusive=settings.embedded or settings.redis_exclusive)
        guarding = asyncio.create_task(supervise("guard of Redis", guarded))
        stack.push_async_callback(cancel, guarding)
        checked, stop = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(_run(controller, client, queue, checked, stop, outage=outage))
        stack.push_async_callback(_finish, running, stop)
        services = Services(
            queue=queue,
            types=catalog,
            settings=_web_settings(settings, policy, listening),
            ready=Readiness(queue, executor, checked).why_not,
            checks=Checks(queue, executor, checked, owner).look,
            read_log=executor.read_log,
        )
        yield Service(create_app(services), running, lambda: executor.running)


async def _run(
    controller: Controller, client: Redis, queue: Queue, checked: asyncio.Event, stop: asyncio.Event, *, outage: Outage
) -> None:
    """Run the controller, once Redis is there and is one to rely on."""
    while not stop.is_set():
        try:
            await check_server(client)
            await check_scripts(queue)
        except QueueUnavailable as fault:
            if (facts := outage.failed()) is not None:
                logger.warning("service_waits_for_redis", extra={"reason": fault.reason} | facts)
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            logger.exception("service_waits_for_redis", extra={"reason": "a cancellation that a library leaked"})
        else:
            outage.end()
            checked.set()
            await controller.run(stop)
            return
        await asyncio.sleep(CHECK_PAUSE_SECONDS)


async def _finish(running: asyncio.Task[None], stop: asyncio.Event) -> None:
    stop.set()
    await asyncio.wait([running])


async def _executor(settings: Settings, directory: DataDirectory) -> Executor:
    if settings.executor == "local":
        return LocalExecutor(
            directory.attempts,
            grace_seconds=settings.grace_seconds,
            start_deadline_seconds=settings.start_deadline_seconds,
        )
    try:
        check_executor(settings)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    pods = pods_of(settings)
    cluster = Cluster(Access(settings.namespace or own_namespace(), settings.kubeconfig))
    try:
        await cluster.open()
    except ClusterUnusable as error:
        raise SettingsError(f"{settings.label('executor')} is 'kubernetes': {error}") from None
    return KubernetesExecutor(
        cluster,
        JobSettings(
            instance=settings.instance,
            secret=settings.runner_secret,
            start_deadline_seconds=settings.start_deadline_seconds,
            grace_seconds=settings.grace_seconds,
            result_grace_seconds=settings.result_grace_seconds,
        ),
        lambda definition: pods.of_type(definition, settings.runner_image),
        owner_config_map=settings.owner_config_map,
        sealing_keys=lambda: callbacks.signing_key_texts(settings),
    )


def _connect(settings: Settings, redis_url: str) -> Redis:
    try:
        return quicken(connect_async(redis_url))
    except (RedisUrlError, ValueError) as error:
        raise SettingsError(f"{settings.label('redis_url')} cannot be used: {error}") from None


def _signing_keys_file(settings: Settings, directory: DataDirectory) -> Path | None:
    """An embedded service signs too, with a key of its own; elsewhere keys are the operator's business."""
    if settings.signing_keys or settings.signing_keys_file or not settings.embedded:
        return settings.signing_keys_file
    return directory.signing_keys_file()


def _runner_environment(settings: Settings, redis_url: str, keys_file: Path | None, policy: Policy) -> dict[str, str]:
    environment: dict[str, str] = {
        Env.REDIS_URL: redis_url,
        Env.REDIS_MIN_REPLICAS: str(settings.redis_min_replicas),
        Env.INSTANCE: settings.instance,
        Env.TASK_MODULES: " ".join(settings.task_modules),
        Env.TASK_PATH: os.pathsep.join(settings.task_path),
        Env.RESULT_MAX_BYTES: str(settings.result_max_bytes),
        Env.RESULT_GRACE_SECONDS: str(settings.result_grace_seconds),
    }
    if settings.executor == "kubernetes" and settings.retention_log_max_bytes:
        environment[Env.COPY_OUTPUT] = "1"  # a keeper does that on one machine
    return environment | callbacks.runner_environment(settings, keys_file, policy)


def _controller_config(
    settings: Settings,
    types: Definitions,
    *,
    environment: Mapping[str, str],
    owner: str,
) -> ControllerConfig:
    return ControllerConfig(
        concurrency=settings.concurrency,
        suspended_concurrency=settings.suspended_slots,
        types=types,
        environment=environment,
        owner=owner,
        limits=Limits(settings.max_attempts, settings.start_deadline_seconds, settings.suspended_deadline_seconds),
        retention=Retention(
            settings.retention_seconds,
            settings.retention_max_count,
            settings.retention_max_bytes,
            settings.retention_log_max_bytes,
        ),
        grace_seconds=settings.grace_seconds,
        retry_seconds=settings.callback_retry_seconds,
    )


def _web_settings(settings: Settings, policy: Policy, listening: tuple[str, int] | None) -> WebSettings:
    return WebSettings(
        queue_limits=QueueLimits(
            max_length=settings.queue_max_length,
            max_bytes=settings.queue_max_bytes,
            kept_max_bytes=settings.retention_max_bytes,
            undelivered_max_bytes=settings.undelivered_max_bytes,
            undelivered_max_bytes_per_receiver=settings.undelivered_max_bytes_per_receiver,
            max_keys=settings.idempotency_max_keys,
        ),
        concurrency=settings.concurrency,
        root_path=settings.root_path,
        cors_origins=settings.cors_origins,
        hosts=HostRule(_is_loopback(settings.bind, listening), frozenset(settings.allowed_hosts)),
        callback_policy=policy,
        keeps_logs=settings.retention_log_max_bytes > 0,
    )


def _is_loopback(bind: str, listening: tuple[str, int] | None) -> bool:
    """Whether only this machine can call; a name may be one of /etc/hosts, so what it has led to counts too."""
    return is_bound_to_loopback(bind) or (listening is not None and is_loopback(ip_address(listening[0])))
