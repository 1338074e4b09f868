"""The places whose executors keep the interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance import kubernetes_place
from tests.conformance.kubernetes_place import KubernetesPlace
from tests.conformance.local_place import LocalPlace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(params=["local", "kubernetes"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LocalPlace | KubernetesPlace]:
    if request.param == "kubernetes":
        reason = kubernetes_place.why_not()
        if reason:
            pytest.skip(reason)
        place: LocalPlace | KubernetesPlace = KubernetesPlace()
        await place.prepare()
    else:
        place = LocalPlace(tmp_path)
    await place.executor.open()
    yield place
    await place.close()
