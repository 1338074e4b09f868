"""The OpenAPI description of each operation: the arguments of the routes' decorators, kept apart from the code."""

from __future__ import annotations

from typing import Any, Final

from api.web import schemas
from api.web.openapi import (
    answer,
    examples_of,
    header,
    header_parameter,
    path_parameter,
    problem_answers,
    query_parameters,
    schema_of,
)
from api.web.problems import Code
from api.web.request_body import CONTENT_TYPE_RULE
from runner.contract import State

_TASK_ID: Final = [
    path_parameter("task_id", "Id of a task.", {"type": "string", **schemas.ID_FORMAT}, schemas.EXAMPLE_ID)
]
_NEXT_PAGE: Final = header('The next page (`rel="next"`), if any.')


def _operation(
    summary: str,
    description: str,
    responses: dict[int | str, dict[str, Any]],
    **extra: Any,  # noqa: ANN401 - JSON
) -> dict[str, Any]:
    return {
        "summary": summary,
        "description": description,
        "responses": responses,
        "openapi_extra": extra,
    }


SUBMIT: Final = _operation(
    "Submit a task",
    f"Puts a task in the queue. {CONTENT_TYPE_RULE}\n\nWith an `Idempotency-Key` a repeat is safe for 24 hours: the "
    "same body (compared as parsed JSON) is answered with the first task as it is now, another body with 409.",
    {
        202: answer(
            "The task is in the queue.",
            schema_of(schemas.TaskAccepted),
            "accepted",
            {
                "Location": header("The task, as a relative reference."),
                "Idempotent-Replayed": header("`true` if an earlier request with this key made the task."),
            },
        ),
        **problem_answers(
            Code.INVALID_REQUEST,
            Code.INVALID_JSON,
            Code.INVALID_IDEMPOTENCY_KEY,
            Code.IDEMPOTENCY_CONFLICT,
            Code.TASK_EXPIRED,
            Code.BODY_TOO_LARGE,
            Code.UNSUPPORTED_MEDIA_TYPE,
            Code.QUEUE_FULL,
            Code.UNDELIVERED_FULL,
            Code.IDEMPOTENCY_FULL,
            Code.UNAVAILABLE,
        ),
    },
    requestBody={
        "required": True,
        "content": {
            "application/json": {
                "schema": schema_of(schemas.TaskSubmission),
                "examples": examples_of("submission", "shortest"),
            }
        },
    },
    parameters=[
        header_parameter(
            "Idempotency-Key",
            "Makes a repeat of this request safe: 1 to 255 visible ASCII characters.",
            {"type": "string", "pattern": "^[!-~]{1,255}$"},
            "order-4711",
        )
    ],
)
LIST: Final = _operation(
    "List tasks",
    "Newest first. Follow `Link` to the next page: none is skipped or repeated while tasks arrive.",
    {
        200: answer(
            "A page of tasks.",
            {"type": "array", "items": schema_of(schemas.TaskSummary)},
            "list",
            {"Link": _NEXT_PAGE, "X-Total-Count": header("How many tasks match in all.", "integer")},
        ),
        **problem_answers(Code.INVALID_QUERY, Code.UNAVAILABLE),
    },
    parameters=query_parameters(
        (
            "status",
            "Only tasks in these states: repeat the parameter, or separate them by commas.",
            {"type": "array", "items": schema_of(State), "minItems": 1},
            ["queued", "running"],
        ),
        ("task_type", "Only tasks of this type.", {"type": "string", "minLength": 1}, "fibonacci"),
        ("limit", "Size of a page.", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}, 10),
        ("cursor", "Where the page begins; take it from `Link`.", {"type": "string"}, schemas.EXAMPLE_ID),
    ),
)
READ: Final = _operation(
    "Read a task",
    "The task as it is now. While it is queued, `queue_position` and `waiting_reason` say what it waits for.",
    {
        200: answer("The task.", schema_of(schemas.Task), "waiting"),
        **problem_answers(Code.TASK_NOT_FOUND, Code.UNAVAILABLE),
    },
    parameters=_TASK_ID,
)
CANCEL: Final = _operation(
    "Cancel a task",
    "Ends the task wherever it is; its outcome is POSTed like any other. Repeating it changes nothing.",
    {
        200: answer("The task is cancelled.", schema_of(schemas.Task), "cancelled"),
        **problem_answers(Code.TASK_NOT_FOUND, Code.TASK_ENDED, Code.UNAVAILABLE),
    },
    parameters=_TASK_ID,
)
RESULT: Final = _operation(
    "Read a task's outcome",
    "The exact bytes of the callback's body, whether or not there is a callback.",
    {
        200: answer("The outcome.", schema_of(schemas.Outcome), "outcome"),
        **problem_answers(Code.TASK_NOT_FOUND, Code.NOT_ENDED, Code.RESULT_GONE, Code.RESULT_DROPPED, Code.UNAVAILABLE),
    },
    parameters=_TASK_ID,
)
LOG: Final = _operation(
    "Read a task's log",
    "The last 64 KiB of what each attempt has written to its standard output and standard error: what the task "
    "printed, and the traceback of its exception. For an attempt that runs, its output so far.",
    {
        200: answer("The log.", schema_of(schemas.TaskLog), "log"),
        **problem_answers(Code.TASK_NOT_FOUND, Code.UNAVAILABLE),
    },
    parameters=_TASK_ID,
)
DELIVERIES: Final = _operation(
    "Read the tries of a task's callback",
    "The status of the callback, and each try: when, how long, by whom, and how it ended.",
    {
        200: answer("The tries.", schema_of(schemas.Deliveries), "deliveries"),
        **problem_answers(Code.TASK_NOT_FOUND, Code.UNAVAILABLE),
    },
    parameters=_TASK_ID,
)
REDELIVER: Final = _operation(
    "Send a task's outcome again",
    "Makes its callback due at once, whatever its status, and restarts its schedule of tries. With a `result_url` in "
    "the body it goes there from now on; a try to the old URL in progress is ignored. The body may be left out.",
    {
        202: answer("The callback is due.", schema_of(schemas.Task), "redelivered"),
        **problem_answers(
            Code.INVALID_REQUEST,
            Code.INVALID_JSON,
            Code.TASK_NOT_FOUND,
            Code.NOT_ENDED,
            Code.NO_CALLBACK,
            Code.RESULT_GONE,
            Code.RESULT_DROPPED,
            Code.BODY_TOO_LARGE,
            Code.UNSUPPORTED_MEDIA_TYPE,
            Code.UNDELIVERED_FULL,
            Code.UNAVAILABLE,
        ),
    },
    parameters=_TASK_ID,
    requestBody={
        "required": False,
        "content": {"application/json": {"schema": schema_of(schemas.NewUrl), "examples": examples_of("new_url")}},
    },
)
GIVE_UP: Final = _operation(
    "Give a task's callback up",
    "Its delivery is `dead` from now on, and can be sent again. Repeating the call changes nothing. A try in progress "
    "that succeeds still makes it `delivered`.",
    {
        200: answer("It is given up.", schema_of(schemas.Task), "given_up"),
        **problem_answers(
            Code.TASK_NOT_FOUND, Code.NOT_ENDED, Code.NO_CALLBACK, Code.ALREADY_DELIVERED, Code.UNAVAILABLE
        ),
    },
    parameters=_TASK_ID,
)
LIST_DELIVERIES: Final = _operation(
    "List deliveries",
    "Tasks whose callback is not delivered yet (`pending`), or was given up or blocked (`dead`), newest first. With "
    "`host` a page may hold fewer than `limit`: follow `Link` to the end.",
    {
        200: answer(
            "A page of deliveries.",
            {"type": "array", "items": schema_of(schemas.DeliverySummary)},
            "delivery_list",
            {"Link": _NEXT_PAGE, "X-Total-Count": header("How many there are of all hosts.", "integer")},
        ),
        **problem_answers(Code.INVALID_QUERY, Code.UNAVAILABLE),
    },
    parameters=query_parameters(
        ("status", "Which deliveries.", {"type": "string", "enum": ["pending", "dead"]}, "dead"),
        ("host", "Only of this host, with its port or without.", {"type": "string"}, "example.com"),
        ("limit", "Size of a page.", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}, 10),
        ("cursor", "Where the page begins; take it from `Link`.", {"type": "string"}, schemas.EXAMPLE_ID),
        required=("status",),
    ),
)
REDELIVER_DEAD: Final = _operation(
    "Send dead deliveries again",
    "Makes all dead deliveries due that match: by host, by the time at which their tasks ended, or by both. One "
    f"request takes a second at most; send it again with `cursor` until that is null. {CONTENT_TYPE_RULE}",
    {
        202: answer("The number of deliveries that are due now.", schema_of(schemas.Redelivered), "redelivered_dead"),
        **problem_answers(
            Code.INVALID_REQUEST, Code.INVALID_JSON, Code.BODY_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE, Code.UNAVAILABLE
        ),
    },
    requestBody={
        "required": True,
        "content": {
            "application/json": {"schema": schema_of(schemas.Redelivery), "examples": examples_of("redelivery")}
        },
    },
)
TASK_TYPES: Final = _operation(
    "List task types",
    "The computations that can be submitted, by name.",
    {
        200: answer("All task types.", {"type": "array", "items": schema_of(schemas.TaskType)}, "task_types"),
        **problem_answers(),
    },
)
LIVE: Final = _operation(
    "Whether the process lives",
    "Does not depend on Redis: restarting the service would not end an outage of Redis.",
    {200: answer("It does.", schema_of(schemas.Health), "healthy"), **problem_answers()},
)
READY: Final = _operation(
    "Whether the service can do its work",
    "For load balancers and readiness probes.",
    {200: answer("It can.", schema_of(schemas.Health), "healthy"), **problem_answers(Code.NOT_READY)},
)
CHECKS: Final = _operation(
    "Check what a task needs",
    "Whether Redis takes writes, a service leads, and an attempt can be started (in Kubernetes: the API server accepts "
    "a Job, as a dry run). `taskpost check` asks for this, and runs a task.",
    {200: answer("What was found.", schema_of(schemas.CheckReport), "checks"), **problem_answers()},
)
METRICS: Final = _operation(
    "Metrics for Prometheus",
    "What the queue holds, in Prometheus' text format.",
    {
        200: answer("The metrics.", {"type": "string"}, "metrics", media_type="text/plain"),
        **problem_answers(Code.UNAVAILABLE),
    },
)
_HERE: Final = answer(
    "The index.", schema_of(schemas.Index), "here", {"Vary": header("`Accept`: it decides between JSON and a page.")}
)
_HERE["content"]["text/html"] = {"schema": {"type": "string"}, "examples": examples_of("page")}
INDEX: Final = _operation(
    "What is here",
    "Relative references to the documentation and to the tasks; a page for a browser (`Accept: text/html`).",
    {200: _HERE, **problem_answers()},
)
