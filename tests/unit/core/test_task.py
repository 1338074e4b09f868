"""A record of Redis as a task."""

from __future__ import annotations

from api.core.observation import AttemptId
from api.core.task import Reason, task_from_record
from runner.contract import DeliveryStatus, State

FRESH = {"version": "1", "type": "sleep", "state": "queued", "priority": "-5", "created": "1", "timeout": "60000"}


def test_a_fresh_record():
    task = task_from_record("id", FRESH, 3, None)
    assert (task.state, task.priority, task.attempt, task.queue_position) == (State.QUEUED, -5, 0, 3)
    assert (task.claimed_ms, task.started_ms, task.finished_ms, task.waiting, task.error) == (None,) * 5
    assert task.delivery.status is DeliveryStatus.NONE
    assert not task.ended


def test_an_ended_record_with_its_delivery():
    record = FRESH | {
        "state": "failed",
        "result_url": "http://x/",
        "finished": "9",
        "percent": "425",
        "error_code": "task_error",
        "error_message": "it broke",
        "delivery": "pending",
        "delivery_attempts": "2",
        "delivery_error": "the receiver answered 500",
    }
    task = task_from_record("id", record, None, 77)
    assert task.ended
    assert task.error == Reason("task_error", "it broke")
    assert (task.percent_tenths, task.finished_ms) == (425, 9)
    delivery = task.delivery
    assert (delivery.status, delivery.attempts, delivery.next_ms) == (DeliveryStatus.PENDING, 2, 77)
    assert delivery.last_error == "the receiver answered 500"


def test_before_its_end_a_callback_waits():
    record = FRESH | {"result_url": "http://x/", "waiting_code": "attempt_lost"}
    task = task_from_record("id", record, 1, None)
    assert task.delivery.status is DeliveryStatus.WAITING
    assert task.waiting == Reason("attempt_lost", "")


def test_an_attempt_is_named_by_task_and_number():
    assert str(AttemptId("id", 2)) == "id-2"
