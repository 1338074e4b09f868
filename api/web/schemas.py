"""The shapes of requests and answers, for OpenAPI; a submission is validated by its model too.

Answers are built by `representation.py`, which costs a tenth of what building them by these models would. A test
holds the two together.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - pydantic reads annotations at run time
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from runner.contract import DeliveryStatus, State  # noqa: TC001 - as above

EXAMPLE_ID: Final = "0198c0de-7e57-7000-8abc-0123456789ab"
ID_FORMAT: Final = {"format": "uuid"}
TaskId = Annotated[str, Field(json_schema_extra={**ID_FORMAT})]
"""A task's id has the same type wherever it is."""


def _integral(value: object) -> object:
    """JSON knows one kind of number: `1.0` is the integer 1."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class TaskSubmission(BaseModel):
    """A task to be run."""

    model_config = ConfigDict(strict=True, extra="forbid")

    result_url: str | None = Field(
        description="Where the outcome is POSTed, as the webhook `taskEnded` describes: an absolute http or https URL "
        "of at most 2048 characters. `null` means no callback; read the result by GET then."
    )
    task_type: str = Field(description="Name of a task type; `GET /api/task-types` lists them.")
    task_input: Any = Field(
        default_factory=dict,
        description="Input that fits the type's `input_schema`. If left out, the `default` of that schema, else `{}`.",
    )
    priority: Annotated[int, Field(ge=-100, le=100), BeforeValidator(_integral)] = Field(
        default=0, description="Higher is first; first in, first out within one. 0 if left out."
    )
    # 0, which nobody can send, stands for the type's own.
    timeout_seconds: float = Field(
        default_factory=float,
        ge=1,
        description="Run time of one attempt, at most the type's `max_timeout_seconds`. The type's own if left out.",
    )


class Reason(BaseModel):
    """A stable code for programs, and a sentence for people."""

    code: str
    message: str


class Delivery(BaseModel):
    """How far the callback is."""

    status: DeliveryStatus
    attempts: int = Field(ge=0)
    next_at: datetime | None = Field(description="When the next try is due, if one is.")
    last_error: str | None


class DeliveryTry(BaseModel):
    """One try to deliver an outcome."""

    at: datetime
    duration_seconds: float | None = Field(description="How long it took; null if the answer is not shown.")
    by: Literal["runner", "service"]
    http_status: int | None = Field(description="The receiver's answer; null if there was none, or it is not shown.")
    error: str | None = Field(description="Why the try failed; null if it succeeded.")


class Deliveries(Delivery):
    """How far the callback is, and the tries that were made, in order: the newest 20 are kept."""

    last_answer: str | None = Field(description="The beginning of the answer to the last try, if it had a body.")
    tries: list[DeliveryTry]


class DeliverySummary(BaseModel):
    """A task by its delivery."""

    task_id: TaskId
    task_type: str
    task_status: State
    finished_at: datetime | None
    delivery: Delivery
    result_url: str | None = Field(description="As submitted, credentials masked.")


class Redelivery(BaseModel):
    """Which dead deliveries are to be made again: all that match everything given."""

    model_config = ConfigDict(extra="forbid")

    host: str | None = Field(
        default=None, max_length=300, description="Host of their `result_url`, with its port or without."
    )
    finished_from: AwareDatetime | None = Field(default=None, description="Their tasks ended then or later.")
    finished_before: AwareDatetime | None = Field(default=None, description="Their tasks ended before then.")
    cursor: str | None = Field(default=None, description="Where to go on; take it from the last answer.")


class NewUrl(BaseModel):
    """Where a delivery is to go from now on."""

    model_config = ConfigDict(strict=True, extra="forbid")

    result_url: str | None = Field(
        default=None, description="An absolute http or https URL, as at submission; by default the URL stays the same."
    )


class Redelivered(BaseModel):
    """What has been asked for again."""

    redelivered: int = Field(ge=0, description="How many deliveries are due now.")
    no_room: int = Field(
        ge=0, description="How many match and stay dead, because too much waits for their receiver already."
    )
    cursor: str | None = Field(description="Send the same request with it to go on; null when all is done.")


class PastAttempt(BaseModel):
    """An attempt that was followed by another."""

    attempt: int
    ended_at: datetime
    reason: Reason | None = Field(description="Why it was lost, or failed.")


class Task(BaseModel):
    """A task."""

    task_id: TaskId
    task_type: str
    task_status: State
    task_percent_done: float = Field(ge=0, le=100, description="With one decimal; 100 exactly when done.")
    queue_position: int | None = Field(description="Rank in the queue from 1, null when not queued.")
    priority: int
    attempt: int = Field(ge=0, description="Number of the newest attempt, 0 before the first.")
    attempts: list[PastAttempt] = Field(description="The newest attempts that were lost, failed or interrupted.")
    suspensions: int = Field(ge=0, description="How often it was interrupted: its Job was suspended while it ran.")
    progress_message: str | None = Field(description="The last message that the task has reported with its progress.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    waiting_reason: Reason | None = Field(description="Why the task waits, if it does; null in the answer to POST.")
    error: Reason | None = Field(description="Why it failed or was cancelled.")
    delivery: Delivery
    result_url: str | None = Field(description="As submitted, credentials masked.")


class TaskAccepted(BaseModel):
    """The answer to a submission."""

    task: Task
    queue_position: int | None


class TaskSummary(BaseModel):
    """A task in a list."""

    task_id: TaskId
    task_type: str
    percent_done: float = Field(ge=0, le=100)
    task_status: State
    created_at: datetime
    finished_at: datetime | None
    queue_position: int | None


class TaskType(BaseModel):
    """A computation that can be asked for."""

    name: str
    description: str
    input_schema: dict[str, Any] = Field(description="JSON Schema (2020-12) of `task_input`.")
    example: dict[str, Any]
    concurrency: int | None = Field(description="Attempts of this type at a time; null: only the limit over all.")
    max_timeout_seconds: float


class Outcome(BaseModel):
    """The body of the callback: the very bytes that are signed and sent."""

    task_id: TaskId
    task_type: str
    status: Literal["done", "failed", "cancelled"]
    result: Any
    error: Reason | None
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime


class AttemptLog(BaseModel):
    """What one attempt has written to its standard output and standard error: the last 64 KiB."""

    attempt: int = Field(ge=1)
    output: str = Field(description="As it was written: it may contain control characters. Invalid UTF-8 is U+FFFD.")
    truncated: bool = Field(description="Whether more was written before it.")
    complete: bool = Field(description="False while the attempt may write more, or its end is not settled yet.")
    note: str | None = Field(description="Why the output is missing, or not whole.")


class TaskLog(BaseModel):
    """What the attempts of a task have written, the newest last. Earlier ones that wrote nothing are left out."""

    task_id: TaskId
    task_type: str
    task_status: State
    attempts: list[AttemptLog]


class FaultyMember(BaseModel):
    """One thing that is wrong in a request."""

    pointer: str = Field(
        description="JSON pointer (RFC 6901) into the request's body, or to the name of a query parameter (`/limit`)."
    )
    detail: str


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; programs may rely on it.")
    errors: list[FaultyMember] | None = Field(default=None, description="All that is wrong, 50 at most.")


class Index(BaseModel):
    """What is here, as relative references."""

    name: str
    version: str
    documentation: str
    tasks: str


class Health(BaseModel):
    """All is well."""

    status: Literal["ok"]


class Check(BaseModel):
    """A check of something that a task needs."""

    name: str = Field(description="`redis`, `leader`, and `jobs` or `processes`: what attempts are.")
    ok: bool
    message: str = Field(description="What was found, for people.")


class CheckReport(BaseModel):
    """Checks, in the order in which a task needs what they check.

    It is not named `Checks`: in the Python that clients generate it would hide its member.
    """

    checks: list[Check]


ALL: Final[tuple[type[BaseModel], ...]] = (
    TaskSubmission, Task, TaskAccepted, TaskSummary, TaskType, Outcome, Problem, Index, Health,
    TaskLog, Deliveries, DeliverySummary, Redelivery, Redelivered, NewUrl, CheckReport,
)  # fmt: skip
