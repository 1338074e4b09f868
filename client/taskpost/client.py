"""The client: one method for each call of the service, and `run` and `wait` for what takes several."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from taskpost.arguments import checked_ids, checked_key, checked_seconds, checked_states, checked_text, json_body
from taskpost.calls import JSON_HEADERS, each, path_of
from taskpost.delivery_calls import DeliveryCalls
from taskpost.errors import TaskFailedError, TaskpostError
from taskpost.logs import TaskLog
from taskpost.models import Result, Submitted, Task, TaskSummary, TaskType
from taskpost.waiting import wait_for_ends

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterable, Iterator

    from taskpost.codes import TaskStatus


class Client(DeliveryCalls):
    """A connection to a Taskpost service; a context manager, and threads may share one.

    Every method raises `Unreachable` if nothing answers, an `ApiError` if the service refuses, and `UnexpectedAnswer`
    if what answers is not a Taskpost service. An argument of a wrong kind is a `ValueError`, and nothing is sent.

    Args:
        url: where the service is, with its path prefix if it has one; by default the environment variable
            `TASKPOST_URL`, else `http://127.0.0.1:8000`.
        timeout_seconds: how long each request may take to connect, and to answer.

    Raises:
        InvalidUrl: the URL is not an absolute http or https URL.
        EnvironmentInvalidError: a proxy or a certificate that the environment names cannot be used.
        ValueError: the timeout is not a number above 0.
    """

    def run(
        self,
        task_type: str,
        task_input: Any = None,  # noqa: ANN401 - any JSON value
        *,
        wait_timeout_seconds: float | None = None,
        on_change: Callable[[Task], object] | None = None,
        result_url: str | None = None,
        priority: int = 0,
        timeout_seconds: float | None = None,
        idempotency_key: str | None = None,
    ) -> Result:
        """Submit a task, wait until it is done, and return its result.

        If this call ends early, by an exception or Ctrl-C, the task goes on. Called again with the same
        `idempotency_key` it waits for the same task.

        Args:
            task_type: the name of the computation; `task_types` lists them.
            task_input: its input, any JSON value; by default the type's own.
            wait_timeout_seconds: how long to wait, as in `wait`; None for no limit.
            on_change: is called with the task when first seen, and at every change.
            result_url: where the result is POSTed as well; None for no callback.
            priority: -100 to 100, higher first.
            timeout_seconds: the run time allowed for one attempt, if not the type's own.
            idempotency_key: makes a repeat of this call, also by another process, give the same task.

        Raises:
            TaskFailedError: the task failed or was cancelled; `outcome` says why.
            WaitTimeout: the task has not ended in time. It goes on; `waiting` has its id.
            InvalidTask: the service refuses the task; `errors` says what is wrong, and where.
            ValueError: the input is not JSON, the key has another form, or the time is not a number.
        """
        seconds = checked_seconds("wait_timeout_seconds", wait_timeout_seconds)
        task_id = self.submit(
            task_type,
            task_input,
            result_url=result_url,
            priority=priority,
            timeout_seconds=timeout_seconds,
            idempotency_key=idempotency_key,
        ).task.task_id
        try:
            self.wait(task_id, timeout_seconds=seconds, on_change=on_change)
            outcome = self.result(task_id)
        except TaskpostError as error:
            error.add_note(f"The task is {task_id}.")
            raise
        if outcome.status != "done":
            raise TaskFailedError(outcome)
        return outcome

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
        """Submit a task, and repeat that safely if the connection breaks or the service is away for a moment.

        Args:
            task_type: the name of the computation; `task_types` lists them.
            task_input: its input, any JSON value; by default the type's own.
            result_url: where the result is POSTed; None for no callback.
            priority: -100 to 100, higher first.
            timeout_seconds: the run time allowed for one attempt, if not the type's own.
            idempotency_key: makes a repeat of this call, also by another process, give the same task.

        Raises:
            InvalidTask: the service refuses the task; `errors` says what is wrong, and where.
            Conflict: another task was submitted with this key.
            ValueError: the input is not JSON, or the key has another form.
        """
        key = str(uuid.uuid4()) if idempotency_key is None else checked_key(idempotency_key)
        body = {"result_url": result_url, "task_type": task_type}
        rank = None if priority == 0 else priority
        optional = {"task_input": task_input, "priority": rank, "timeout_seconds": timeout_seconds}
        content = json_body(body | {name: value for name, value in optional.items() if value is not None})
        response = self._transport.post_again("/api/tasks", content, {**JSON_HEADERS, "Idempotency-Key": key})
        return self._read(response, Submitted.from_json)

    def get(self, task_id: str) -> Task:
        """Return a task as it is now.

        Raises:
            NotFound: there is no such task.
        """
        return self._get(task_id, None)

    def list(
        self,
        *,
        status: TaskStatus | Iterable[TaskStatus] | None = None,
        task_type: str | None = None,
        limit: int | None = None,
    ) -> Iterator[TaskSummary]:
        """Iterate over the tasks, newest first, reading page after page as they are asked for.

        Args:
            status: only tasks in this state, or in one of these.
            task_type: only tasks of this type.
            limit: at most so many; None for all.

        Raises:
            ValueError: the limit is negative, or not an integer.
            InvalidTask: there is no such state. This comes with the first task that is asked for.
        """
        filters = {"status": checked_states(status), "task_type": checked_text("task_type", task_type)}
        return self._listed("/api/tasks", filters, limit, TaskSummary.from_json)

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
            NotFound: there is no such task.
            ValueError: the time is not a number.
        """
        return self.wait_all([task_id], timeout_seconds=timeout_seconds, on_change=on_change)[task_id]

    def wait_all(
        self,
        task_ids: Iterable[str],
        *,
        timeout_seconds: float | None = None,
        on_change: Callable[[Task], object] | None = None,
    ) -> dict[str, Task]:
        """Wait until all the tasks have ended, like `wait`, and return them by id.

        Raises:
            WaitTimeout: a task has not ended in time; `waiting` has those that go on.
            NotFound: one of the tasks does not exist.
            ValueError: the time is not a number.
        """
        seconds = checked_seconds("timeout_seconds", timeout_seconds)
        return wait_for_ends(self._get, checked_ids(task_ids), timeout_seconds=seconds, on_change=on_change)

    def cancel(self, task_id: str) -> Task:
        """Cancel a task; repeating it changes nothing.

        Raises:
            NotFound: there is no such task.
            Conflict: the task is done or has failed.
        """
        return self._read(self._transport.request("DELETE", path_of(task_id)), Task.from_json)

    def result(self, task_id: str) -> Result:
        """Return how a task ended.

        Raises:
            NotFound: there is no such task.
            Conflict: it has not ended yet.
            ApiError: with status 410, the result is no longer kept.
        """
        return self._read_bytes(self._transport.request("GET", path_of(task_id) + "/result"), Result.from_body)

    def log(self, task_id: str) -> TaskLog:
        """Return what a task's attempts have written: the last 64 KiB of each, also of one that still runs.

        Raises:
            NotFound: there is no such task.
        """
        return self._read(self._transport.request("GET", path_of(task_id) + "/log"), TaskLog.from_json)

    def task_types(self) -> builtins.list[TaskType]:
        """Return the computations that the service offers."""
        response = self._transport.request("GET", "/api/task-types")
        return self._read(response, lambda documents: each(documents, TaskType.from_json))

    def _get(self, task_id: str, timeout_seconds: float | None) -> Task:
        response = self._transport.request("GET", path_of(task_id), timeout_seconds=timeout_seconds)
        return self._read(response, Task.from_json)
