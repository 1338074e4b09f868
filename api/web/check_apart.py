"""Checks an input in a process of its own, where that may take long: the event loop goes on, and the time has a limit.

The process is started for the first such input and kept. It is asked one thing at a time, a line of JSON each way.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

from api.web.faults import Fault, bounded, pointer
from api.web.problems import Code, Problem
from api.web.representation import json_bytes
from api.web.schema_faults import ROOT, InputSchema, spelled_out_bytes
from api.web.turns import Turns

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Mapping

CHECK_SECONDS: Final = 2
START_SECONDS: Final = 10
MOST_WAITING: Final = 8
"""Inputs that wait for such a check or are being checked: each holds one of the turns of all requests."""
MAX_ANSWER_BYTES: Final = 1024 * 1024
SCHEMAS_KEPT: Final = 20
NICENESS: Final = 10
TOO_SLOW: Final = (
    f"It takes more than {CHECK_SECONDS} seconds to check this input against the input_schema of its task type. "
    "Send less, or ask the author of the type for a simpler schema"
)


class CostlyInput(Exception):  # noqa: N818 - what the input is
    """The input of a submission is to be checked apart: `schema` is its type's, `task_input` is JSON."""

    def __init__(self, schema: Mapping[str, Any], task_input: bytes) -> None:
        super().__init__("The input is to be checked in another process")
        self.schema = schema
        self.task_input = task_input


class CheckApart:
    """The process that checks."""

    def __init__(self) -> None:
        self._turns = Turns(1)
        self._process: Process | None = None
        self._waiting = 0

    async def faults(self, costly: CostlyInput) -> tuple[Fault, ...]:
        """Return what is wrong with an input; one fault says so if the check takes too long.

        Raises:
            Problem: 503 if too many such inputs are being checked, or if the process cannot be started.
        """
        if self._waiting >= MOST_WAITING:
            raise _unavailable()
        self._waiting += 1
        try:
            async with self._turns:
                return await self._check(costly)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def _check(self, costly: CostlyInput) -> tuple[Fault, ...]:
        answered = False
        try:
            process = await self._started()
            async with asyncio.timeout(CHECK_SECONDS):
                answer = await _ask(process, json_bytes(costly.schema) + b"\t" + costly.task_input + b"\n")
            answered = True
        except TimeoutError:
            return (Fault(pointer(ROOT), TOO_SLOW),)
        except (OSError, asyncio.IncompleteReadError):
            raise _unavailable() from None
        finally:
            if not answered:
                await self.close()
        return tuple(Fault(where, detail) for where, detail in json.loads(answer))

    async def _started(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-P", "-m", "api.web.check_apart"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=MAX_ANSWER_BYTES,
                start_new_session=True,  # Ctrl-C is for the service
            )
            try:
                async with asyncio.timeout(START_SECONDS):
                    await _ask(self._process, b"")
            except TimeoutError:
                raise OSError from None
        return self._process


async def _ask(process: Process, line: bytes) -> bytes:
    sent, received = process.stdin, process.stdout
    if sent is None or received is None:
        raise OSError
    sent.write(line)
    await sent.drain()
    return await received.readuntil(b"\n")


def _unavailable() -> Problem:
    detail = "The service already checks its maximum of inputs that take long to check; try again."
    return Problem(503, Code.UNAVAILABLE, detail, headers={"Retry-After": "1"})


def main() -> None:
    """Answer each line with the faults of an input, until there are no more lines. An alarm ends a check that hangs."""
    os.nice(NICENESS)
    schemas: dict[bytes, InputSchema] = {}
    sys.stdout.write("\n")
    sys.stdout.flush()
    for line in sys.stdin.buffer:
        signal.alarm(CHECK_SECONDS + 1)
        document, _, text = line.rstrip(b"\n").partition(b"\t")
        if document not in schemas:
            if len(schemas) >= SCHEMAS_KEPT:
                schemas.clear()
            schemas[document] = InputSchema(json.loads(document))
        found = bounded(schemas[document].faults(json.loads(text), spelled_out_bytes(text)))
        sys.stdout.write(json.dumps([(fault.pointer, fault.detail) for fault in found]) + "\n")
        sys.stdout.flush()
        signal.alarm(0)


if __name__ == "__main__":
    main()
