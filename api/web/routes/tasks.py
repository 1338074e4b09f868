"""`/api/tasks`: submit, list, read, cancel, and the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.core.observation import AttemptId
from api.core.task_types import why_unusable
from api.queue.shapes import Refused
from api.web import descriptions
from api.web.answers import bytes_answer, json_answer
from api.web.cancel import cancel
from api.web.check_apart import CostlyInput
from api.web.list_query import is_task_id, read_query
from api.web.log_view import log_view
from api.web.operation import Operation
from api.web.problems import Code, Problem, no_such_task
from api.web.refusals import refusal_of
from api.web.representation import summary_view, task_view, waiting_reason
from api.web.request_body import idempotency_key, read_json_body
from runner.contract import ENDS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from api.web.services import Services
    from api.web.submission import Intake


async def submit_task(request: Request) -> Response:
    """Answer POST. It does no more than it must: see the budget in the design's section 12."""
    state = request.app.state
    services: Services = state.services
    intake: Intake = state.intake
    key = idempotency_key(request.headers)
    raw = await read_json_body(request)
    try:
        submission = intake.read(raw, key)
    except CostlyInput as costly:
        submission = intake.read(raw, key, await state.check_apart.faults(costly))
    outcome = await services.queue.submit(submission, services.settings.queue_limits)
    if isinstance(outcome, Refused):
        raise refusal_of(outcome, services.settings.queue_limits)
    task = outcome.task
    headers = {"Location": f"tasks/{task.task_id}"}
    if outcome.replayed:
        headers["Idempotent-Replayed"] = "true"
    return json_answer({"task": task_view(task), "queue_position": task.queue_position}, 202, headers)


async def list_tasks(request: Request) -> Response:
    """Answer GET of the list."""
    services: Services = request.app.state.services
    query = read_query(request.query_params.multi_items())
    page = await services.queue.list(
        cursor=query.cursor, limit=query.limit, states=query.states, task_type=query.task_type
    )
    headers = {"X-Total-Count": str(page.total)}
    if page.next_cursor is not None:
        headers["Link"] = query.link_to(page.next_cursor)
    return json_answer([summary_view(task) for task in page.tasks], 200, headers)


async def read_task(request: Request, task_id: str) -> Response:
    """Answer GET of one task."""
    services: Services = request.app.state.services
    found = await services.queue.read(task_id) if is_task_id(task_id) else None
    if found is None:
        raise no_such_task(task_id)
    task, use = found
    types = services.types()
    definition, unusable = types.get(task.task_type), why_unusable(types, task.task_type)
    limit = None if definition is None else definition.concurrency
    waiting = waiting_reason(task, use, services.settings.concurrency, limit, unusable)
    return json_answer(task_view(task, waiting))


async def cancel_task(request: Request, task_id: str) -> Response:
    """Answer DELETE."""
    if not is_task_id(task_id):
        raise no_such_task(task_id)
    return json_answer(task_view(await cancel(request.app.state.services.queue, task_id)))


async def read_result(request: Request, task_id: str) -> Response:
    """Answer GET of the outcome."""
    services: Services = request.app.state.services
    if not is_task_id(task_id):
        raise no_such_task(task_id)
    async with request.app.state.result_turns:
        stored = await services.queue.read_body(task_id)
    if stored.state is None and not stored.swept:
        raise no_such_task(task_id)
    if stored.state is not None and stored.state not in ENDS:
        raise Problem(409, Code.NOT_ENDED, f"The task is {stored.state}; read its result when it has ended.")
    if stored.dropped is not None:
        raise Problem(410, Code.RESULT_DROPPED, f"The result is gone: {stored.dropped}.")
    if stored.body is None:
        raise Problem(410, Code.RESULT_GONE, "The result is no longer kept.")
    return bytes_answer(stored.body)


async def read_log(request: Request, task_id: str) -> Response:
    """Answer GET of what a task's attempts have written; of one that runs, what there is so far."""
    services: Services = request.app.state.services
    if not is_task_id(task_id):
        raise no_such_task(task_id)
    async with request.app.state.log_turns:
        stored = await services.queue.logs.read(task_id)
        if stored is None:
            raise no_such_task(task_id)
        keeps = services.settings.keeps_logs
        running = await services.read_log(AttemptId(task_id, stored.attempt)) if keeps and stored.unfinished else None
    return json_answer(log_view(task_id, stored, running, keeps_logs=keeps))


ROUTES: Final = (
    Operation("POST", "/api/tasks", submit_task, descriptions.SUBMIT),
    Operation("GET", "/api/tasks", list_tasks, descriptions.LIST),
    Operation("GET", "/api/tasks/{task_id}", read_task, descriptions.READ),
    Operation("DELETE", "/api/tasks/{task_id}", cancel_task, descriptions.CANCEL),
    # These have turns of their own: who waits for one takes none from the others.
    Operation("GET", "/api/tasks/{task_id}/result", read_result, descriptions.RESULT, asks_redis=False),
    Operation("GET", "/api/tasks/{task_id}/log", read_log, descriptions.LOG, asks_redis=False),
)
