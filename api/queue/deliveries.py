"""The deliveries in Redis: one typed method for each Lua verb."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, Literal

from api.queue.shapes import DeliveryPage, DueDelivery, GivenUp, Lane, Redelivered, RedeliveredDead, Tries
from api.queue.views import task_from_view
from runner.contract import DeliveryStatus
from runner.delivery.tries import decode, report_arguments

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from api.queue.shapes import DeadOnes, Room
    from runner.delivery.receiver import Standing
    from runner.delivery.tries import Sent

    Call = Callable[..., Awaitable[Any]]

STEP: Final = 100
"""How many deliveries one call of Redis looks at, so that nobody waits for it."""


class Deliveries:
    """What is done with callbacks. Every method raises `QueueUnavailable` if Redis fails."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def claim(self, room: Room, lease_seconds: float, token: str) -> tuple[float | None, Sequence[DueDelivery]]:
        """Lease due deliveries to a sender.

        Also return the seconds until there may be more to claim, or None if that is when an attempt ends.
        """
        nearest, rows = await self._call(
            "claim_deliveries", int(lease_seconds * 1000), token, json.dumps(asdict(room), ensure_ascii=False)
        )
        due = [
            DueDelivery(
                task_id.decode(),
                url.decode(),
                int(tries),
                Lane(lane.decode()),
                host.decode(),
                account.decode(),
                int(body_bytes),
            )
            for task_id, url, tries, lane, host, account, body_bytes in rows
        ]
        return (None if nearest is None else int(nearest) / 1000), due

    async def extend(self, leases: Iterable[tuple[str, str]], lease_seconds: float) -> None:
        """Keep the leases of deliveries (task id and token) whose attempts are under way."""
        parts = [part for lease in leases for part in lease]
        await self._call("extend_deliveries", int(lease_seconds * 1000), *parts)

    async def note(self, result_url: str, standing: Standing, account: str) -> None:
        """Keep what an attempt to a receiver is like, before it has ended."""
        await self._call("note_receiver", result_url, standing, account)

    async def report(self, task_id: str, token: str, status: str, delay_seconds: float, sent: Sent) -> None:
        """Record how an attempt ended, and when the next one is due if there is to be one."""
        await self._call("report_delivery", *report_arguments(task_id, token, status, delay_seconds, sent))

    async def put_back(
        self, task_id: str, token: str, delay_seconds: float, standing: Standing | None, account: str
    ) -> None:
        """Make a leased delivery due again, for which no attempt was made."""
        what = (DeliveryStatus.PENDING, int(delay_seconds * 1000), "", "", "", standing or "", account, 0)
        await self._call("report_delivery", task_id, token, *what)

    async def tries(self, task_id: str) -> Tries | None:
        """Return a task and the tries of its delivery that are kept, or None if there is no such task."""
        reply = await self._call("tries", task_id)
        if reply is None:
            return None
        view, tries, answer = reply
        return Tries(task_from_view(view), tuple(decode(text) for text in tries), (answer or b"").decode())

    async def redeliver(self, task_id: str, result_url: str | None = None) -> Redelivered:
        """Make the delivery of a task due at once, with its whole schedule before it; to a new URL if one is given."""
        code, view, *detail = await self._call("redeliver", task_id, result_url or "")
        words = detail[0].decode() if detail and detail[0] is not None else ""
        return Redelivered(code.decode(), None if view is None else task_from_view(view), words)

    async def give_up(self, task_id: str, reason: str) -> GivenUp:
        """Make the delivery of a task dead; a try that is under way changes that only if it goes through."""
        code, view = await self._call("give_up", task_id, reason)
        return GivenUp(code.decode(), None if view is None else task_from_view(view))

    async def redeliver_dead(self, which: DeadOnes, cursor: str) -> RedeliveredDead:
        """Make deliveries that were given up due at once: one step."""
        span = ("" if ms is None else ms for ms in (which.finished_from_ms, which.finished_before_ms))
        made_due, following, no_room = await self._call("redeliver_dead", which.host, *span, cursor, STEP)
        return RedeliveredDead(int(made_due), int(no_room), None if following is None else following.decode())

    async def list(
        self, status: Literal["pending", "dead"], *, host: str, cursor: str | None, limit: int
    ) -> DeliveryPage:
        """Return a page of the tasks whose delivery is open, or was given up, newest first.

        With a host a page may hold fewer than there is room for, or none, and still have a next one.
        """
        total, following, views = await self._call("list_deliveries", status, host, cursor or "", limit)
        tasks = tuple(task_from_view(view) for view in views)
        return DeliveryPage(tasks, int(total), None if following is None else following.decode())
