"""How tasks look, and that the models for OpenAPI say the same."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.core.task import Delivery, Reason, Task, TaskSummary
from api.queue.shapes import SlotUse
from api.web import schemas
from api.web.representation import json_bytes, summary_view, task_view, type_view, waiting_reason
from runner.contract import DeliveryStatus, State
from tests.support.web import TYPES

TASK = Task(
    task_id=schemas.EXAMPLE_ID,
    task_type="sleep",
    state=State.QUEUED,
    priority=0,
    attempt=0,
    losses=0,
    percent_tenths=0,
    created_ms=1_755_595_443_415,
    claimed_ms=None,
    started_ms=None,
    finished_ms=None,
    timeout_ms=1000,
    result_url="http://u:p@h/ü",
    waiting=None,
    error=None,
    stop_asked=None,
    delivery=Delivery(DeliveryStatus.WAITING, 0, None, None),
    queue_position=4,
)


def test_a_task_has_the_documented_members_in_their_order() -> None:
    view = task_view(TASK)
    assert list(view) == list(schemas.Task.model_fields)
    assert list(view)[:4] == ["task_id", "task_type", "task_status", "task_percent_done"]
    assert list(view["delivery"]) == list(schemas.Delivery.model_fields)
    schemas.Task.model_validate_json(json_bytes(view))
    assert view["created_at"] == "2025-08-19T09:24:03.415Z"
    assert view["result_url"] == "http://u:***@h/ü"


def test_a_task_with_everything() -> None:
    view = task_view(
        replace(
            TASK,
            state=State.FAILED,
            percent_tenths=333,
            started_ms=0,
            finished_ms=1,
            result_url=None,
            waiting=Reason("x", "y"),
            error=Reason("crashed", "It crashed"),
            delivery=Delivery(DeliveryStatus.PENDING, 2, 1, "500"),
        )
    )
    assert view["task_percent_done"] == 33.3
    assert view["started_at"] == "1970-01-01T00:00:00.000Z"
    assert view["finished_at"] == "1970-01-01T00:00:00.001Z"
    assert view["waiting_reason"] is None
    assert view["error"] == {"code": "crashed", "message": "It crashed"}
    assert view["delivery"] == {
        "status": "pending", "attempts": 2, "next_at": "1970-01-01T00:00:00.001Z", "last_error": "500",
    }  # fmt: skip
    assert view["result_url"] is None


@given(st.integers(0, 1000))
def test_percent_has_one_decimal(tenths: int) -> None:
    text = json.dumps(task_view(replace(TASK, percent_tenths=tenths))["task_percent_done"])
    assert text == f"{tenths // 10}.{tenths % 10}"


def test_other_views_have_the_documented_members() -> None:
    summary = summary_view(TaskSummary(TASK.task_id, "sleep", State.DONE, 1000, 0, 1, None))
    assert list(summary) == list(schemas.TaskSummary.model_fields)
    assert summary["percent_done"] == 100
    schemas.TaskSummary.model_validate_json(json_bytes(summary))
    view = type_view(TYPES["sleep"])
    assert list(view) == list(schemas.TaskType.model_fields)
    schemas.TaskType.model_validate_json(json_bytes(view))


@pytest.mark.parametrize(
    ("use", "position", "code", "message"),
    [
        (SlotUse(4, 0), 4, "no_free_slot", "All 4 slots are taken; 3 tasks are before this one"),
        (SlotUse(4, 2), 2, "no_free_slot", "All 4 slots are taken; 1 task is before this one"),
        (SlotUse(3, 2), 1, "type_at_limit", "All 2 slots for sleep are taken; this task is next"),
        (SlotUse(1, 1), None, "about_to_start", "A slot is free; this task is next"),
    ],
)
def test_why_a_queued_task_waits(use: SlotUse, position: int | None, code: str, message: str) -> None:
    assert waiting_reason(replace(TASK, queue_position=position), use, 4, 2) == Reason(code, message)


def test_one_slot() -> None:
    reason = waiting_reason(replace(TASK, queue_position=1), SlotUse(1, 0), 1, None)
    assert reason == Reason("no_free_slot", "The one slot is taken; this task is next")


def test_a_type_that_cannot_be_used_is_the_reason_before_all_others() -> None:
    reason = waiting_reason(replace(TASK, queue_position=1), SlotUse(4, 0), 4, None, "Its definition has faults")
    assert reason == Reason("type_faulty", "Its definition has faults; the task waits until it is right")
    assert waiting_reason(replace(TASK, state=State.RUNNING), SlotUse(4, 0), 4, None, "Its definition") is None


def test_what_the_record_says_comes_first() -> None:
    view = task_view(replace(TASK, waiting=Reason("quota", "The quota is used up")), Reason("no_free_slot", ""))
    assert view["waiting_reason"]["code"] == "quota"
    assert waiting_reason(replace(TASK, state=State.RUNNING), SlotUse(4, 0), 4, None) is None
