"""Keeps Redis usable: ends a script that never ends, and closes connections that do not log in.

It has a connection of its own, opened once and used every few seconds: while all connections are taken it is not locked
out, and a script that holds Redis for ever does not keep it from asking for that script's end.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError, ResponseError

from runner.redis_errors import describe, error_code

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 2.0
LOGIN_SECONDS: Final = 10
"""How long a connection may stay without logging in."""
CLOSE_STRANGERS: Final = ("CLIENT", "KILL", "USER", "default", "MAXAGE", str(LOGIN_SECONDS), "SKIPME", "yes")


async def guard(client: Redis, *, exclusive: bool) -> None:
    """Look after Redis until cancelled. `exclusive` says that no other application uses it."""
    own = Guard(client, exclusive=exclusive)
    try:
        while True:
            try:
                await own.look()
            except (RedisError, OSError):  # logged by every other user of Redis
                await own.close()
            except Exception:
                logger.exception("redis_guard_failed")
                await own.close()
            await asyncio.sleep(INTERVAL_SECONDS)
    finally:
        await own.close()


class Guard:
    """What is done in one step. Redis can be called while a script holds it, but only for the end of the script."""

    def __init__(self, client: Redis, *, exclusive: bool) -> None:
        self._connection: Any = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        self._connection.db = 0  # SELECT is refused while a script holds Redis
        self._exclusive = exclusive
        # A connection that has not logged in counts as the default user's. If we are that user, all connections do.
        self._has_strangers = exclusive and self._connection.username not in {None, "", "default"}
        self._refusal = ""

    async def look(self) -> None:
        """Close the connections of strangers; if Redis is held by a script, end it.

        Raises:
            RedisError, OSError: if Redis does not answer.
        """
        answer = await self._ask(*(CLOSE_STRANGERS if self._has_strangers else ("PING",)))
        if isinstance(answer, int) and answer > 0:
            logger.warning("redis_strangers_closed", extra={"number": answer})
        elif isinstance(answer, ResponseError) and error_code(answer) == "BUSY":
            await self._end_script()
        elif isinstance(answer, ResponseError):
            self._log_once(answer)

    async def close(self) -> None:
        """Close the connection; the next step opens it again."""
        with suppress(RedisError, OSError):
            await self._connection.disconnect()

    async def _end_script(self) -> None:
        for command in ("SCRIPT", "FUNCTION"):
            answer = await self._ask(command, "KILL")
            if not isinstance(answer, ResponseError):
                logger.warning("redis_script_killed", extra={"command": f"{command} KILL"})
                return
            if error_code(answer) == "UNKILLABLE" and self._exclusive:
                # A script that has written can only be ended with Redis. What was answered is on disk; the script was
                # not answered, and nothing of it is kept.
                logger.error("redis_shut_down", extra={"reason": str(answer)})
                await self._ask("SHUTDOWN", "NOSAVE")
                return
            if error_code(answer) not in {"NOTBUSY", "BUSY"}:
                self._log_once(answer)

    def _log_once(self, answer: ResponseError) -> None:
        before, self._refusal = self._refusal, describe(answer)
        if self._refusal != before:
            logger.error("redis_guard_refused", extra={"reason": self._refusal})

    async def _ask(self, *words: str) -> Any:  # noqa: ANN401 - a reply of Redis
        """Return the reply, or the error that is the reply."""
        try:
            await self._connection.connect()
            await self._connection.send_command(*words, check_health=False)
            return await self._connection.read_response()
        except ResponseError as error:
            return error
