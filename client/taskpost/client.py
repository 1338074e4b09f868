"""The client: one method for each call of the service."""

from __future__ import annotations

import json
import os
import re
import uuid
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

from taskpost.deliveries import Deliveries, DeliverySummary
from taskpost.models import Result, Submitted, Task, TaskSummary, TaskType
from taskpost.waiting import wait_for_ends

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime
    from types import TracebackType
    from typing import Self

DEFAULT_URL: Final = "http://127.0.0.1:8000"
LONGEST_PAGE: Final = 1000
T = TypeVar("T")

_KEY: Final = re.compile("[!-~]{1,255}")


class Client:
    """A connection to a Taskpost service; a context manager, and threads may share one.

    Args:
        url: where the service is, with its path prefix if it has one; by default the environment variable
            `TASKPOST_URL`, else `http://127.0.0.1:8000`.
        timeout_seconds: how long each request may take to connect, and to answer.

    Every method raises `Unreachable` if nothing answers, and an `ApiError` if the service refuses.
    """

    def __init__(self, url: str | None = None, timeout_seconds: float = 10) -> None:
        # httpx takes longer to import than all the rest, and not everyone who imports us calls a service.
        from taskpost import transport  # noqa: PLC0415

        self.url = url or os.environ.get("TASKPOST_URL") or DEFAULT_URL
        self._read, self._read_bytes = transport.read, transport.read_bytes
        self._transport = transport.Transport(self.url, timeout_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def submit(
        self,
        task_type: str,
        task_input: Any = None,  # noqa: ANN401 - any JSON value
        *,
        result_url: str | None = None,
        priority: int = 0,
        timeout_seconds: float | None = None,
        idempotency_key: str | None = None,
    ) -> Submitted:
        """Hand in a task, and repeat that safely if the connection breaks or the service is away for a moment.

        Args:
            task_type: the name of the computation; `task_types` lists them.
            task_input: its input.
            result_url: where the result shall be POSTed; None for no callback.
            priority: -100 to 100, higher first.
            timeout_seconds: the run time allowed for one attempt, if not the type's own.
            idempotency_key: makes a repeat of this call, also by another process, give the same task.

        Raises:
            InvalidTask: the service refuses the task; `errors` says what and where.
            ValueError: the input is not JSON, or the key not one.
        """
        if idempotency_key is not None and not _KEY.fullmatch(idempotency_key):
            raise ValueError("An idempotency key is 1 to 255 visible ASCII characters")
        body = {"result_url": result_url, "task_type": task_type}
        optional = {"task_input": task_input, "priority": priority or None, "timeout_seconds": timeout_seconds}
        body |= {name: value for name, value in optional.items() if value is not None}
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        content = json.dumps(body, allow_nan=False).encode()
        return self._read(self._transport.post_again("/api/tasks", content, headers), Submitted.from_json)

    def get(self, task_id: str) -> Task:
        """Return a task as it is now."""
        return self._get(task_id, None)

    def list(
        self, *, status: str | None = None, task_type: str | None = None, limit: int | None = None
    ) -> Iterator[TaskSummary]:
        """Iterate over the tasks, newest first, reading page after page as they are asked for.

        Args:
            status: only tasks in this state.
            task_type: only tasks of this type.
            limit: at most so many.
        """
        filters = {"status": status, "task_type": task_type, "limit": limit and min(limit, LONGEST_PAGE)}
        return islice(self._pages("/api/tasks", filters, TaskSummary.from_json), limit)

    def wait(
        self, task_id: str, *, timeout_seconds: float | None = None, on_change: Callable[[Task], object] | None = None
    ) -> Task:
        """Wait until a task has ended, however it did, and return it.

        Args:
            task_id: the task.
            timeout_seconds: how long to wait. The service may be away meanwhile. With None, the wait ends with the
                task, or when the service has been away for a minute.
            on_change: is called with the task when first seen, and at every change.

        Raises:
            WaitTimeout: the task has not ended in time. It goes on.
        """
        return self.wait_all([task_id], timeout_seconds=timeout_seconds, on_change=on_change)[task_id]

    def wait_all(
        self,
        task_ids: Iterable[str],
        *,
        timeout_seconds: float | None = None,
        on_change: Callable[[Task], object] | None = None,
    ) -> dict[str, Task]:
        """Wait until all the tasks have ended, like `wait`, and return them by id."""
        return wait_for_ends(self._get, task_ids, timeout_seconds=timeout_seconds, on_change=on_change)

    def cancel(self, task_id: str) -> Task:
        """Cancel a task; repeating it changes nothing.

        Raises:
            Conflict: the task is done or has failed.
        """
        return self._read(self._transport.request("DELETE", _path(task_id)), Task.from_json)

    def result(self, task_id: str) -> Result:
        """Return how a task ended.

        Raises:
            Conflict: it has not ended yet.
            ApiError: with status 410, retention has removed the result.
        """
        return self._read_bytes(self._transport.request("GET", _path(task_id) + "/result"), Result.from_body)

    def deliveries(self, task_id: str) -> Deliveries:
        """Return how far a task's callback is, and the tries that were made."""
        return self._read(self._transport.request("GET", _path(task_id) + "/deliveries"), Deliveries.from_json)

    def redeliver(self, task_id: str, result_url: str | None = None) -> Task:
        """Send a task's outcome again, at once, whatever became of its callback.

        Args:
            task_id: the task.
            result_url: the new URL of the callback; by default it stays the same.

        Raises:
            Conflict: it has not ended yet, or has no callback.
            InvalidTask: the URL is not allowed.
            ApiError: with status 410, the result is no longer kept; with 429, too much waits for that receiver.
        """
        # An empty object rather than nothing: some proxies answer 411 to a POST without a body.
        content = json.dumps({} if result_url is None else {"result_url": result_url}).encode()
        path, headers = _path(task_id) + "/redeliver", {"Content-Type": "application/json"}
        return self._read(self._transport.request("POST", path, content=content, headers=headers), Task.from_json)

    def give_up_delivery(self, task_id: str) -> Task:
        """Give a task's callback up: it is dead, and can be sent again later. Repeating it changes nothing.

        Raises:
            Conflict: it has not ended yet, has no callback, or the callback is delivered.
        """
        return self._read(self._transport.request("DELETE", _path(task_id) + "/delivery"), Task.from_json)

    def list_deliveries(
        self, status: str = "dead", *, host: str | None = None, limit: int | None = None
    ) -> Iterator[DeliverySummary]:
        """Iterate over deliveries, newest task first, reading page after page as they are asked for.

        Args:
            status: `dead` for those that were given up, `pending` for those that are still to be made.
            host: only those to this host, with its port or without.
            limit: at most so many.
        """
        filters = {"status": status, "host": host, "limit": limit and min(limit, LONGEST_PAGE)}
        return islice(self._pages("/api/deliveries", filters, DeliverySummary.from_json), limit)

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
        """
        times = {"finished_from": finished_from, "finished_before": finished_before}
        body: dict[str, Any] = {"host": host} | {name: time and time.isoformat() for name, time in times.items()}
        body = {name: value for name, value in body.items() if value is not None}
        made_due: int = 0
        while True:
            content, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
            response = self._transport.request("POST", "/api/deliveries/redeliver", content=content, headers=headers)
            answer: dict[str, Any] = self._read(response, dict)
            made_due += answer["redelivered"]
            if answer["cursor"] is None:
                return made_due
            body["cursor"] = answer["cursor"]

    def task_types(self) -> builtins.list[TaskType]:
        """Return the computations that the service offers."""
        response = self._transport.request("GET", "/api/task-types")
        return self._read(response, lambda documents: [TaskType.from_json(document) for document in documents])

    def _get(self, task_id: str, timeout_seconds: float | None) -> Task:
        response = self._transport.request("GET", _path(task_id), timeout_seconds=timeout_seconds)
        return self._read(response, Task.from_json)

    def _pages(self, path: str, filters: Mapping[str, str | int | None], build: Callable[[Any], T]) -> Iterator[T]:
        params = {name: value for name, value in filters.items() if value is not None}
        response = self._transport.request("GET", path, params=params)
        while True:
            yield from self._read(response, lambda documents: [build(document) for document in documents])
            following = response.links.get("next")
            if following is None:
                return
            # Relative to the page it came with, so that it holds behind any path prefix.
            response = self._transport.request("GET", response.url.join(following["url"]))


def _path(task_id: str) -> str:
    return f"/api/tasks/{quote(task_id, safe='')}"
