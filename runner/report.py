"""What a runner tells Redis: that it begins, how far it is, how it ended, and whether its delivery try went through."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import redis

from runner import scripts
from runner.connect import RedisUrlError, connect
from runner.contract import REPLICA_TIMEOUT_MS, RUNNER_DELIVERY_LEASE_SECONDS, counted_code, key_prefix
from runner.delivery.tries import report_arguments
from runner.redis_errors import describe, passes
from runner.texts import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.attempt import Attempt
    from runner.delivery.tries import Sent
    from runner.outcome import Outcome

START_PATIENCE_SECONDS: Final = 60.0
HELD_PAUSE_SECONDS: Final = 0.2
SAVE_PATIENCE_SECONDS: Final = 30.0
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 2.0
NO_ROOM: Final = 2
MOST_TENTHS: Final = 999
"""A task is at 100 percent when it is done, and that is what `finish` says."""


class Refused(Exception):  # noqa: N818 - an answer, not a mistake
    """This attempt is not the task's current one: whatever it does is not recorded."""


class Unreachable(Exception):  # noqa: N818
    """Redis did not answer, or could not do it, until the deadline; the message has its last answer."""


class RedisRefusalError(Exception):
    """Redis refuses a call of this runner, and would refuse it again; the message has its answer."""


@dataclass(frozen=True, slots=True)
class Started:
    """What a runner gets from Redis when it begins. Times are Unix milliseconds by the clock of Redis.

    `left_ms` is how long the attempt may still run, by a clock that is not set.
    """

    task_type: str
    task_input: bytes
    created_ms: int
    started_ms: int
    now_ms: int
    left_ms: int
    result_url: str | None
    checkpoint: bytes | None
    """What an attempt before this one saved, as JSON."""
    retries: int = 0
    """How often the type allows to retry the task after a failure."""
    retried: int = 0
    """How often that was done."""


@dataclass(frozen=True, slots=True)
class Staged:
    """What a program has left as its result: JSON, or (`code` is set) why that is none."""

    result_json: str
    code: str = ""
    message: str = ""
    percent: float = 0.0
    words: str = ""
    """The progress that it has told last."""


class Report:
    """The Redis side of one attempt. Not for use by several threads, except `progress`."""

    def __init__(self, client: redis.Redis, attempt: Attempt) -> None:
        self._client = client
        self._redis_url = attempt.redis_url
        self._attempt = attempt
        self._keys = [key_prefix(attempt.instance)]
        self._identity = (attempt.task_id, attempt.number, attempt.token)

    def renew(self) -> bool:
        """Reread the address of Redis and use it if it has changed: that may be why Redis failed.

        Returns whether it has.
        """
        url = self._attempt.redis_url_now()
        if url == self._redis_url:
            return False
        with suppress(RedisUrlError):
            self._redis_url, self._client = url, connect(url)
        return True

    def _call(self, verb: str, *arguments: str | bytes | float) -> Any:  # noqa: ANN401 - a reply of Redis
        return self._client.register_script(scripts.load(verb))(keys=self._keys, args=arguments)

    def _call_replicated(self, verb: str, *arguments: str | bytes | float) -> Any:  # noqa: ANN401 - a reply of Redis
        wanted = self._attempt.redis_min_replicas
        if not wanted:
            return self._call(verb, *arguments)
        # WAIT speaks of what its own connection has written.
        with self._client.client() as connection:  # type: ignore[no-untyped-call]
            reply = connection.register_script(scripts.load(verb))(keys=self._keys, args=arguments)
            if connection.wait(wanted, REPLICA_TIMEOUT_MS) < wanted:
                raise redis.ResponseError(f"NOREPLICAS fewer than {wanted} replicas have the outcome")
        return reply

    def start(self) -> Started:
        """Say that the attempt begins.

        Raises:
            Refused: if it may not.
            Unreachable: if Redis does not answer for a minute.
            RedisRefusalError: if it never will.
        """
        task_type, task_input, created, started, now, left, result_url, checkpoint, *retries = self._take_up("start")
        return Started(
            task_type=task_type.decode(),
            task_input=task_input,
            created_ms=int(created),
            started_ms=int(started),
            now_ms=int(now),
            left_ms=int(left),
            result_url=None if result_url is None else result_url.decode(),
            checkpoint=checkpoint,
            retries=int(retries[0]),
            retried=int(retries[1]),
        )

    def prepare(self) -> bytes:
        """Return the input for the program that this runner is beside, which has yet to begin.

        Raises:
            Refused: if another has it.
            Unreachable: if Redis does not answer for a minute.
        """
        (task_input,) = self._take_up("prepare")
        return bytes(task_input)

    def _take_up(self, verb: str) -> list[Any]:
        """Take the attempt up as its holder; return what the verb tells of the task."""
        until = time.monotonic() + START_PATIENCE_SECONDS
        while True:
            reply = self._persist(lambda: self._call(verb, *self._identity, self._attempt.holder), until=until)
            if reply[0] == b"refused":
                raise Refused(f"the task is {reply[1].decode()}")
            if reply[0] != b"held":
                return list(reply[1:])
            # The Job was suspended and released: the service has yet to see that the process before this one is gone.
            if time.monotonic() >= until:
                raise Refused("another process holds this attempt")
            time.sleep(HELD_PAUSE_SECONDS)

    def stage(self, staged: Staged, *, until: float) -> None:
        """Hand over what a program has left, again and again until the deadline (of the monotonic clock).

        Raises:
            Refused: if the task has moved on.
            Unreachable: if Redis did not answer until then.
        """
        what = (staged.code, staged.message, staged.result_json, _tenths(staged.percent), staged.words)
        arguments = (*self._identity, self._attempt.holder, *what)
        if self._persist(lambda: self._call_replicated("stage", *arguments), until=until) != 1:
            raise Refused("the task has ended otherwise, or has another attempt")

    def progress(self, percent: float, message: str = "") -> bool:
        """Report how far the task is; False if this attempt is no longer the current one."""
        return bool(self._call("progress", *self._identity, _tenths(percent), message) == 1)

    def save(self, data: str) -> None:
        """Keep data for the next attempt.

        Raises:
            Unreachable: if Redis does not take them for half a minute.
        """
        until = time.monotonic() + SAVE_PATIENCE_SECONDS
        if self._persist(lambda: self._call("save", *self._identity, data), until=until) == NO_ROOM:
            say("The queue is full: what this attempt saves is not kept, and what was saved before stays.")

    def finish(
        self, outcome: Outcome, body: bytes, finished_ms: int, *, until: float, log: bytes | None = None
    ) -> bool:
        """Record the outcome, again and again until the deadline (`until`, of the monotonic clock) while Redis is away.

        `log` is what the attempt has written, as `contract.log_entry` makes it; without it the service reads the log.

        Returns whether the first delivery attempt is this runner's: not if there is none to make, if the service makes
        it, or if the failure is not an outcome, because the task is retried.

        Raises:
            Refused: if the task has moved on.
            Unreachable: if Redis did not answer until then.
        """
        error = outcome.error
        code, message = ("", "") if error is None else (error["code"], error["message"])
        lease_ms = int(RUNNER_DELIVERY_LEASE_SECONDS * 1000)
        last = (body, finished_ms, lease_ms, _tenths(outcome.percent), outcome.retry, outcome.message, log or b"")
        arguments = (*self._identity, outcome.state.value, code, message, *last, counted_code(code))
        reply = self._persist(lambda: self._call_replicated("finish", *arguments), until=until)
        if reply not in {b"attempt", b"recorded", b"retry"}:
            raise Refused("the task has ended otherwise, or has another attempt")
        return bool(reply == b"attempt")

    def delivery(self, status: str, delay_seconds: float, sent: Sent) -> None:
        """Record how the delivery try ended. If Redis is away the try's lease runs out, and the service tries again."""
        arguments = report_arguments(self._attempt.task_id, self._attempt.token, status, delay_seconds, sent)
        self._call("report_delivery", *arguments)

    def _persist(self, call: Callable[[], Any], *, until: float) -> Any:  # noqa: ANN401 - the call's own result
        """Call until it works or the deadline passes, as long as it may; what is called must bear repeating.

        Raises:
            Unreachable: with the last fault, when the deadline has passed.
            RedisRefusalError: if the fault does not pass by itself.
        """
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return call()
            except redis.RedisError as fault:
                if not passes(fault) and not self.renew():
                    raise RedisRefusalError(describe(fault)) from fault
                left = until - time.monotonic()
                if left <= 0:
                    raise Unreachable(describe(fault)) from fault
                if pause == FIRST_PAUSE_SECONDS:
                    say(f"{describe(fault)}; this is tried again for up to {left:.0f} s")
                time.sleep(min(pause, left))
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                self.renew()


def _tenths(percent: float) -> int:
    return min(int(percent * 10), MOST_TENTHS)
