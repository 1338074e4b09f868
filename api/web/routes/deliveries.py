"""Callbacks, to see and to steer: the tries of one, those that are open or given up, and making them again."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from api.web import descriptions
from api.web.answers import json_answer
from api.web.delivery_query import read_delivery_query, read_new_url, read_redelivery
from api.web.list_query import is_task_id
from api.web.operation import Operation
from api.web.problems import Code, Problem, no_such_task
from api.web.refusals import undelivered_full
from api.web.representation import deliveries_view, delivery_summary_view, task_view
from api.web.request_body import read_json_body, read_optional_json_body

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from api.core.task import Task
    from api.queue.deliveries import Deliveries

logger = logging.getLogger(__name__)

GIVEN_UP: Final = "given up by request"
REDELIVER_SECONDS: Final = 1.0
"""How long one request makes deliveries again, step by step; whoever asked goes on from its cursor."""


async def read_deliveries(request: Request, task_id: str) -> Response:
    """Answer GET of one task's tries."""
    found = await _deliveries(request).tries(task_id) if is_task_id(task_id) else None
    if found is None:
        raise no_such_task(task_id)
    return json_answer(deliveries_view(found))


async def redeliver_task(request: Request, task_id: str) -> Response:
    """Answer POST for one task: to where it was submitted with, or to the URL in the body if there is one."""
    settings = request.app.state.services.settings
    result_url = read_new_url(await read_optional_json_body(request), settings.callback_policy)
    if not is_task_id(task_id):
        raise no_such_task(task_id)
    redelivered = await _deliveries(request).redeliver(task_id, result_url)
    if redelivered.task is None:
        raise no_such_task(task_id)
    _check(redelivered.code, redelivered.task)
    match redelivered.code:
        case "gone" if redelivered.detail:
            raise Problem(410, Code.RESULT_DROPPED, f"The result is gone: {redelivered.detail}.")
        case "gone":
            raise Problem(410, Code.RESULT_GONE, "The result is no longer kept.")
        case "full_receiver" | "full_undelivered":
            raise undelivered_full(redelivered.code, redelivered.detail, settings.queue_limits)
    return json_answer(task_view(redelivered.task), 202)


async def give_up_task(request: Request, task_id: str) -> Response:
    """Answer DELETE for one task's delivery."""
    given_up = await _deliveries(request).give_up(task_id, GIVEN_UP) if is_task_id(task_id) else None
    if given_up is None or given_up.task is None:
        raise no_such_task(task_id)
    _check(given_up.code, given_up.task)
    if given_up.code == "delivered":
        raise Problem(409, Code.ALREADY_DELIVERED, "The callback is delivered: nothing is left to give up.")
    logger.info("delivery_given_up", extra={"task_id": task_id})
    return json_answer(task_view(given_up.task))


async def list_deliveries(request: Request) -> Response:
    """Answer GET of the list."""
    query = read_delivery_query(request.query_params.multi_items())
    page = await _deliveries(request).list(query.status, host=query.host, cursor=query.cursor, limit=query.limit)
    headers = {"X-Total-Count": str(page.total)}
    if page.next_cursor is not None:
        headers["Link"] = query.link_to(page.next_cursor)
    return json_answer([delivery_summary_view(task) for task in page.tasks], 200, headers)


async def redeliver_dead(request: Request) -> Response:
    """Answer POST for all dead deliveries of a host or a span of time: as many as a moment allows."""
    which, cursor = read_redelivery(await read_json_body(request))
    deliveries, until = _deliveries(request), time.monotonic() + REDELIVER_SECONDS
    made_due, no_room, following = 0, 0, cursor or None
    while True:
        step = await deliveries.redeliver_dead(which, following or "")
        made_due, no_room, following = made_due + step.made_due, no_room + step.no_room, step.next_cursor
        if following is None or time.monotonic() >= until:
            break
    answer: dict[str, Any] = {"redelivered": made_due, "no_room": no_room, "cursor": following}
    return json_answer(answer, 202)


def _check(code: str, task: Task) -> None:
    """Raise what both calls for one delivery answer to a task that has none, or not yet."""
    match code:
        case "no_callback":
            raise Problem(409, Code.NO_CALLBACK, "The task has no result_url; read its outcome by GET.")
        case "not_ended":
            raise Problem(409, Code.NOT_ENDED, f"The task is {task.state}; its callback leaves when it has ended.")


def _deliveries(request: Request) -> Deliveries:
    deliveries: Deliveries = request.app.state.services.queue.deliveries
    return deliveries


ROUTES: Final = (
    Operation("GET", "/api/tasks/{task_id}/deliveries", read_deliveries, descriptions.DELIVERIES),
    Operation("POST", "/api/tasks/{task_id}/redeliver", redeliver_task, descriptions.REDELIVER),
    Operation("DELETE", "/api/tasks/{task_id}/delivery", give_up_task, descriptions.GIVE_UP),
    Operation("GET", "/api/deliveries", list_deliveries, descriptions.LIST_DELIVERIES),
    Operation("POST", "/api/deliveries/redeliver", redeliver_dead, descriptions.REDELIVER_DEAD),
)
