"""A service that is there to be killed: starts the attempts `<id>=<program>` of its arguments, and stays."""

import asyncio
import sys
from pathlib import Path

from tests.conformance.local_place import LocalPlace


async def main() -> None:
    place = LocalPlace(Path(sys.argv[1]))
    await place.executor.open()
    for task_id, _, program in (word.partition("=") for word in sys.argv[2:]):
        spec = place.spec(task_id, program)
        await place.executor.start(spec)
        await place.begun(spec)
    print("ready", flush=True)  # noqa: T201 - the test waits for it
    await asyncio.Event().wait()


asyncio.run(main())
