"""The calls for callbacks: what became of them, and sending them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskpost.arguments import checked_text, checked_time, json_body
from taskpost.calls import JSON_HEADERS, Calls, path_of
from taskpost.deliveries import Deliveries, DeliverySummary
from taskpost.models import Task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from taskpost.codes import ListedDeliveries


class DeliveryCalls(Calls):
    """The calls for callbacks."""

    def deliveries(self, task_id: str) -> Deliveries:
        """Return the status of a task's callback, and the delivery attempts that were made.

        Raises:
            NotFound: there is no such task.
        """
        return self._read(self._transport.request("GET", path_of(task_id) + "/deliveries"), Deliveries.from_json)

    def redeliver(self, task_id: str, result_url: str | None = None) -> Task:
        """Send a task's outcome again, at once, whatever became of its callback.

        Args:
            task_id: the task.
            result_url: the new URL of the callback; by default it stays the same.

        Raises:
            NotFound: there is no such task.
            Conflict: it has not ended yet, or has no callback.
            InvalidTask: the URL is not allowed.
            ApiError: with status 410, the result is no longer kept; with 429, too much waits for that receiver.
        """
        # An empty object rather than nothing: some proxies answer 411 to a POST without a body.
        content = json_body({} if result_url is None else {"result_url": result_url})
        path = path_of(task_id) + "/redeliver"
        return self._read(self._transport.request("POST", path, content=content, headers=JSON_HEADERS), Task.from_json)

    def give_up_delivery(self, task_id: str) -> Task:
        """Give a task's callback up: it is dead, and can be sent again later. Repeating it changes nothing.

        Raises:
            NotFound: there is no such task.
            Conflict: it has not ended yet, has no callback, or the callback is delivered.
        """
        return self._read(self._transport.request("DELETE", path_of(task_id) + "/delivery"), Task.from_json)

    def list_deliveries(
        self, status: ListedDeliveries = "dead", *, host: str | None = None, limit: int | None = None
    ) -> Iterator[DeliverySummary]:
        """Iterate over deliveries, newest task first, reading page after page as they are asked for.

        Args:
            status: `dead` for those that were given up, `pending` for those that are still to be made.
            host: only those to this host, with its port or without.
            limit: at most so many; None for all.

        Raises:
            ValueError: the limit is negative, or not an integer.
            InvalidTask: there is no such status. This comes with the first delivery that is asked for.
        """
        filters = {"status": checked_text("status", status), "host": checked_text("host", host)}
        return self._listed("/api/deliveries", filters, limit, DeliverySummary.from_json)

    def redeliver_dead(
        self,
        *,
        host: str | None = None,
        finished_from: datetime | None = None,
        finished_before: datetime | None = None,
    ) -> int:
        """Have all dead deliveries sent again that match everything given; return how many they are.

        Args:
            host: those to this host, with its port or without.
            finished_from: those of tasks that ended then or later; with a time zone.
            finished_before: those of tasks that ended before then; with a time zone.

        Raises:
            InvalidTask: a time has no zone.
        """
        times = {"finished_from": finished_from, "finished_before": finished_before}
        body: dict[str, Any] = {"host": host} | {name: checked_time(name, time) for name, time in times.items()}
        body = {name: value for name, value in body.items() if value is not None}
        made_due = 0
        while True:
            content, path = json_body(body), "/api/deliveries/redeliver"
            response = self._transport.request("POST", path, content=content, headers=JSON_HEADERS)
            redelivered, cursor = self._read(response, lambda answer: (int(answer["redelivered"]), answer["cursor"]))
            made_due += redelivered
            if cursor is None:
                return made_due
            body["cursor"] = cursor
