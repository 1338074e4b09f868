"""The benchmarks that drive the verbs themselves still know them: a short run of each, without a look at the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks import listing, redis_bytes

if TYPE_CHECKING:
    import pytest

    from tests.support.valkey import ValkeyServer


async def test_pages_of_a_list_are_measured(own_valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "TASKS", 2000)
    monkeypatch.setattr(listing, "PAGES", 2)
    rows = await listing._rows(own_valkey.url)
    assert len(rows) == len(listing.QUERIES)


def test_bytes_of_a_task_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_bytes, "TASKS", 200)
    (row,) = redis_bytes.rows()
    assert row.holds, row
