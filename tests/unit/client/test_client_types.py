"""States and codes are types: they are those of the service, and a typo in one does not pass mypy."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, get_args

import pytest
from taskpost import DeliveryStatus, EndStatus, ErrorCode, ListedDeliveries, Sender, TaskErrorCode, TaskStatus
from taskpost.models import ENDS

from api.web.problems import Code
from api.web.schemas import DeliveryTry
from runner import contract

if TYPE_CHECKING:
    from pathlib import Path

SNIPPET = """
from datetime import datetime
from typing import assert_type
from taskpost import ApiError, Client, Result, TaskErrorCode, TaskFailedError, TaskStatus

def right(client: Client, wanted: TaskStatus = "queued") -> str:
    task = client.submit("fibonacci", {"n": 1}).task
    if task.task_status == "done" or task.delivery.status == "dead":
        assert_type(client.run("fibonacci", {"n": 1}, wait_timeout_seconds=5), Result)
    for summary in client.list(status=wanted, limit=5):
        assert_type(summary.created_at, datetime | None)
    for made in client.deliveries(task.task_id).tries:
        if made.by == "runner":
            return summary.task_status
    list(client.list_deliveries("pending"))
    list(client.list(status=["done", "failed"]))
    try:
        client.run("sleep")
    except TaskFailedError as error:
        if error.outcome.status == "cancelled" or error.outcome.error is None:
            return ""
        if error.outcome.error.code in (TaskErrorCode.TIMED_OUT, "a_code_of_my_own"):
            return error.outcome.error.code
    except ApiError as error:
        if error.code == "queue_full":
            return error.code
    return task.task_status

def wrong(client: Client) -> None:
    task = client.get("x")
    client.list(status="runing")  # an argument
    client.list(status=["done", "failled"])  # an argument
    client.list_deliveries("alive")  # an argument
    wanted: TaskStatus = "finished"  # an assignment
    if task.task_status == "finnished":  # a comparison
        pass
    if task.delivery.status == "undelivered":  # a comparison
        pass
    if client.result("x").status == "running":  # a comparison
        pass
    if client.deliveries("x").tries[0].by == "servise":  # a comparison
        pass
    if client.log("x").task_status == "finished":  # a comparison
        pass
    try:
        client.run("sleep", timeout=3)  # an argument
    except ApiError as error:
        if error.code == "queue_ful":  # a comparison
            pass
    except TaskFailedError as error:
        if error.outcome.error and error.outcome.error.code == TaskErrorCode.TIMEOUT:  # a member
            pass
"""


def test_the_words_are_those_of_the_service() -> None:
    assert set(get_args(ErrorCode)) == set(Code)
    assert set(get_args(TaskStatus)) == set(contract.State)
    assert set(get_args(EndStatus)) == contract.ENDS == ENDS
    assert set(get_args(DeliveryStatus)) == set(contract.DeliveryStatus)
    assert set(get_args(ListedDeliveries)) < set(get_args(DeliveryStatus))
    assert get_args(Sender) == get_args(DeliveryTry.model_fields["by"].annotation)
    assert {code.name: code.value for code in TaskErrorCode} == {code.name: code.value for code in contract.ErrorCode}


@pytest.mark.timeout(300)
def test_a_typo_does_not_pass_mypy(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(SNIPPET)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary", "program.py"]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280)
    found = {int(number) for number in re.findall(r"^program\.py:(\d+): error:", checked.stdout, re.MULTILINE)}
    lines = SNIPPET.splitlines()
    marked = {number for number, line in enumerate(lines, 1) if re.search(r"# an? \w+$", line)}
    assert found == marked, checked.stdout + checked.stderr
    assert len(marked) == 12
