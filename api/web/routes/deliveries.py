"""Callbacks, to see and to steer: the tries of one, those that are open or given up, and making them again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from api.web import descriptions
from api.web.answers import json_answer
from api.web.delivery_query import read_delivery_query, read_redelivery
from api.web.list_query import is_task_id
from api.web.operation import Operation
from api.web.problems import Code, Problem, no_such_task
from api.web.representation import deliveries_view, delivery_summary_view, task_view
from api.web.request_body import check_no_body, read_json_body

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from api.queue.deliveries import Deliveries

REDELIVER_SECONDS: Final = 1.0
"""How long one request makes deliveries again, step by step; whoever asked goes on from its cursor."""


async def read_deliveries(request: Request, task_id: str) -> Response:
    """Answer GET of one task's tries."""
    found = await _deliveries(request).tries(task_id) if is_task_id(task_id) else None
    if found is None:
        raise no_such_task(task_id)
    return json_answer(deliveries_view(found))


async def redeliver_task(request: Request, task_id: str) -> Response:
    """Answer POST for one task."""
    await check_no_body(request)
    if not is_task_id(task_id):
        raise no_such_task(task_id)
    redelivered = await _deliveries(request).redeliver(task_id)
    if redelivered.task is None:
        raise no_such_task(task_id)
    match redelivered.code:
        case "no_callback":
            raise Problem(409, Code.NO_CALLBACK, "The task has no result_url; read its outcome by GET.")
        case "not_ended":
            detail = f"The task is {redelivered.task.state}; its callback leaves when it has ended."
            raise Problem(409, Code.NOT_ENDED, detail)
        case "gone":
            raise Problem(410, Code.RESULT_GONE, "The result is no longer kept.")
    return json_answer(task_view(redelivered.task), 202)


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
    made_due, following = await deliveries.redeliver_dead(which, cursor)
    while following is not None and time.monotonic() < until:
        more, following = await deliveries.redeliver_dead(which, following)
        made_due += more
    answer: dict[str, Any] = {"redelivered": made_due, "cursor": following}
    return json_answer(answer, 202)


def _deliveries(request: Request) -> Deliveries:
    deliveries: Deliveries = request.app.state.services.queue.deliveries
    return deliveries


ROUTES: Final = (
    Operation("GET", "/api/tasks/{task_id}/deliveries", read_deliveries, descriptions.DELIVERIES),
    Operation("POST", "/api/tasks/{task_id}/redeliver", redeliver_task, descriptions.REDELIVER),
    Operation("GET", "/api/deliveries", list_deliveries, descriptions.LIST_DELIVERIES),
    Operation("POST", "/api/deliveries/redeliver", redeliver_dead, descriptions.REDELIVER_DEAD),
)
