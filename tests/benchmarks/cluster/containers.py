"""How fast container types come and go: two containers for each task."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.benchmarks.cluster.bare import bare_pair
from tests.benchmarks.cluster.place import place
from tests.benchmarks.cluster.turns import rate_row, template_of

if TYPE_CHECKING:
    from tests.benchmarks.cluster.place import Place
    from tests.benchmarks.measure import Row

TASKS, AT_A_TIME = 100, 8
TYPE = {"image": "localhost/taskpost-program:latest", "command": ["/program"], "input_schema": {"type": "object"}}


def rows() -> list[Row]:
    """As many tasks at a time as bare Jobs of the same two containers, the sidecar doing `import redis`."""
    with place(settings={"concurrency": AT_A_TIME}, taskTypes={"program": TYPE}) as here:
        return asyncio.run(_rows(here))


async def _rows(here: Place) -> list[Row]:
    template = await template_of(here, "program", {"do": [["sleep", 2]]})
    task = ("program", {"do": [["write", "result.json", "1"]]})
    counts = (TASKS, AT_A_TIME)
    return [
        await rate_row(
            here, "container tasks", counts, lambda run_id: bare_pair(template, run_id, ["/program", "nothing"]), task
        )
    ]
