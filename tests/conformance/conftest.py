"""The places whose executors keep the interface. Kubernetes gets a place of its own here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.local_place import LocalPlace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(params=["local"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LocalPlace]:
    place = {"local": LocalPlace}[request.param](tmp_path)
    await place.executor.open()
    yield place
    await place.close()
