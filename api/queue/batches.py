"""Calls of one script that are made in the same turn of the event loop go to Redis together, in one send.

A POST is little more than such a call; under load, when several are read in a turn, each costs a fifth less.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError

from api.cancellation import is_being_cancelled

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from redis.commands.core import AsyncScript

Argument = str | bytes | int

BATCH_CHARACTERS: Final = 64 * 1024
"""The call that reaches this is the last of its batch, so that small calls do not wait for many large ones."""


@dataclass(frozen=True, slots=True)
class _Call:
    key: str
    arguments: tuple[Argument, ...]
    reply: asyncio.Future[Any]

    @property
    def characters(self) -> int:
        return sum(len(argument) for argument in self.arguments if not isinstance(argument, int))

    def settle(self, reply: Any) -> None:  # noqa: ANN401 - a reply of Redis
        if self.reply.done():
            return  # Its caller has gone.
        if isinstance(reply, Exception):
            self.reply.set_exception(reply)
        else:
            self.reply.set_result(reply)


class Batches:
    """Calls one script."""

    def __init__(self, client: Redis, script: AsyncScript) -> None:
        self._client = client
        self._script = script
        self._next: list[_Call] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def call(self, key: str, *arguments: Argument) -> Any:  # noqa: ANN401 - a reply of Redis
        """Return the reply to one call.

        Raises:
            redis.exceptions.RedisError: as redis-py does.
        """
        loop = asyncio.get_running_loop()
        call = _Call(key, arguments, loop.create_future())
        if not self._next:
            loop.call_soon(self._send_all)
        self._next.append(call)
        return await call.reply

    def _send_all(self) -> None:
        calls, self._next = self._next, []
        while calls:
            size = characters = 0
            while size < len(calls) and characters < BATCH_CHARACTERS:
                characters += calls[size].characters
                size += 1
            task = asyncio.create_task(self._send(calls[:size]))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            calls = calls[size:]

    async def _send(self, calls: list[_Call]) -> None:
        try:
            missed = await self._ask(calls)
            if missed:  # Redis began anew, or its scripts were flushed: these calls have done nothing.
                await self._client.script_load(self._script.script)
                for call in await self._ask(missed):
                    call.settle(NoScriptError("NOSCRIPT Redis forgets its scripts at once"))
        except asyncio.CancelledError:
            if is_being_cancelled():
                raise
            # A library has leaked it. Its callers are not being cancelled: they get an error like any other.
            for call in calls:
                call.settle(RedisConnectionError("The call was cancelled by a library"))
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
            for call in calls:
                call.settle(error)
        finally:
            for call in calls:
                call.reply.cancel()  # It has its reply, unless the service ends.

    async def _ask(self, calls: list[_Call]) -> list[_Call]:
        """Settle calls by their replies; return those whose script Redis does not have.

        A pipeline of redis-py would do, for more CPU time, but it would lose all replies by an error after the first.
        """
        pool: Any = self._client.connection_pool
        connection = await pool.get_connection()
        try:
            await connection.send_packed_command([piece for call in calls for piece in self._packed(call, connection)])
            missed = []
            for call in calls:
                try:
                    call.settle(await connection.read_response())
                except NoScriptError:
                    missed.append(call)
                except ResponseError as error:
                    call.settle(error)
            return missed
        finally:
            await pool.release(connection)

    def _packed(self, call: _Call, connection: Any) -> list[bytes]:  # noqa: ANN401 - any of redis-py's connections
        packed: list[bytes] = connection.pack_command("EVALSHA", self._script.sha, 1, call.key, *call.arguments)
        return packed
