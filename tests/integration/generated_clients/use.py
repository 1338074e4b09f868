"""What a program does with the client that openapi-python-client generates; mypy checks it strictly."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from taskpost_api import Client
from taskpost_api.api.deliveries import list_deliveries, redeliver_dead
from taskpost_api.api.tasks import list_tasks, read_result, read_task, submit_task
from taskpost_api.models import (
    ListDeliveriesStatus,
    Outcome,
    Problem,
    Redelivered,
    Redelivery,
    State,
    TaskAccepted,
    TaskSubmission,
)

if TYPE_CHECKING:
    from uuid import UUID


def ended(client: Client, task_id: UUID) -> Outcome:
    for _ in range(600):
        outcome = read_result.sync(task_id, client=client)
        if isinstance(outcome, Outcome):
            return outcome
        assert isinstance(outcome, Problem) and outcome.code == "not_ended", outcome
        time.sleep(0.05)
    raise TimeoutError(task_id)


def main(url: str) -> None:
    with Client(base_url=url, raise_on_unexpected_status=True) as client:
        shortest = TaskSubmission(result_url=None, task_type="fibonacci")
        accepted = submit_task.sync(client=client, body=shortest)
        assert isinstance(accepted, TaskAccepted)
        outcome = ended(client, accepted.task.task_id)
        assert outcome.task_id == accepted.task.task_id
        assert outcome.error is None
        task = read_task.sync(accepted.task.task_id, client=client)
        assert not isinstance(task, Problem) and task is not None and task.task_status is State.DONE
        listed = list_tasks.sync(client=client, status=[State.DONE, State.FAILED], limit=1)
        assert isinstance(listed, list) and listed[0].task_id == accepted.task.task_id
        refused = submit_task.sync(client=client, body=TaskSubmission(result_url=None, task_type="no-such-type"))
        assert isinstance(refused, Problem) and refused.errors and refused.errors[0].pointer == "/task_type"
        redelivered = redeliver_dead.sync(client=client, body=Redelivery(host="example.com"))
        assert isinstance(redelivered, Redelivered) and redelivered.redelivered == 0
        assert list_deliveries.sync(client=client, status=ListDeliveriesStatus.DEAD) == []


if __name__ == "__main__":
    main(sys.argv[1])
