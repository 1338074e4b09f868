"""What the tests of the controller share: a scripted executor, the state of starts, a reconciler, background tasks."""

from __future__ import annotations

import asyncio

import pytest

from api.controller.settle import Settler
from api.controller.starts import StartBook
from api.controller.supervise import cancel
from api.core.decisions import Limits
from tests.support.executors import ScriptedExecutor


@pytest.fixture
def executor():
    return ScriptedExecutor()


@pytest.fixture
def book():
    return StartBook()


@pytest.fixture
def settler(queue, executor, book):
    return Settler(queue, executor, book, Limits(3, 600, 3600))


@pytest.fixture
async def background():
    """Runs coroutines beside the test, and cancels them after it."""
    running = []

    def start(coroutine):
        running.append(asyncio.create_task(coroutine))
        return running[-1]

    yield start
    await cancel(*running)
