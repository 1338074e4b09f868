"""How fast container types come and go: two containers for each task."""

from __future__ import annotations

import asyncio
from statistics import median
from typing import TYPE_CHECKING

from tests.benchmarks.cluster.bare import bare_pair, new_run, run_bare
from tests.benchmarks.cluster.place import place
from tests.benchmarks.cluster.turns import seconds_of_tasks, template_of
from tests.benchmarks.measure import Row
from tests.e2e.release import until

if TYPE_CHECKING:
    from tests.benchmarks.cluster.place import Place

TASKS, AT_A_TIME = 100, 8
TYPE = {"image": "localhost/taskpost-program:latest", "command": ["/program"], "input_schema": {"type": "object"}}


def rows() -> list[Row]:
    """As many tasks at a time as bare Jobs, in turns; the first of each is for warming up."""
    with place(settings={"concurrency": AT_A_TIME}, taskTypes={"program": TYPE}) as here:
        return asyncio.run(_rows(here))


async def _rows(here: Place) -> list[Row]:
    template = await template_of(here, "program", {"do": [["sleep", 2]]})
    ours, floors = [], []
    for count in (AT_A_TIME, TASKS, TASKS):
        run_id = new_run()
        bare = [bare_pair(template, run_id, ["/program", "nothing"]) for _ in range(count)]
        cluster = here.cluster()
        await cluster.open()
        floors.append(count / await run_bare(cluster, bare, run_id, AT_A_TIME))
        await cluster.close()
        seconds = await seconds_of_tasks(here, count, "program", {"do": [["write", "result.json", "1"]]})
        ours.append(count / seconds)
    until(lambda: not here.release.jobs(), 60, "all Jobs to be gone")
    floor, measured = median(floors[1:]), median(ours[1:])
    return [
        Row(
            f"{TASKS} container tasks, {AT_A_TIME} at a time",
            f"{floor:.2f}/s",
            f"{measured:.2f}/s ({measured / floor:.2f}x)",
            ">= 0.8x",
            measured / floor >= 0.8,
            note="floor: bare Jobs of the same two containers, the sidecar doing `import redis`; medians of two",
        )
    ]
