"""What a request says of deliveries: which are to be listed, and which are to be made again. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlencode

from pydantic import ValidationError

from api.expected import expected
from api.queue.shapes import DeadOnes
from api.web.faults import Fault, bounded, pointer
from api.web.list_query import DEFAULT_LIMIT, LIMIT, MAX_LIMIT, is_task_id, single_values
from api.web.problems import Code, Problem
from api.web.result_url import refusal
from api.web.schemas import NewUrl, Redelivery
from api.web.strict_json import InvalidJson, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from runner.delivery.guard import Policy

PARAMETERS: Final = ("status", "host", "limit", "cursor")
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """What part of the list of deliveries is wanted."""

    status: Literal["pending", "dead"]
    host: str = ""
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None

    def link_to(self, cursor: str) -> str:
        """Return the `Link` header's value for the page at `cursor`: relative, so that it holds behind any prefix."""
        host = {"host": self.host} if self.host else {}
        query = urlencode({"status": self.status, **host, "limit": self.limit, "cursor": cursor})
        return f'<?{query}>; rel="next"'


def read_delivery_query(parameters: Sequence[tuple[str, str]]) -> DeliveryQuery:
    """Read the query's parameters.

    Raises:
        Problem: 400 that names every parameter that is wrong.
    """
    given, faults = single_values(parameters, PARAMETERS)
    status, limit, cursor = given.get("status"), given.get("limit", str(DEFAULT_LIMIT)), given.get("cursor")
    if status not in {"pending", "dead"}:
        faults.append(Fault(pointer("status"), "is required, and is pending or dead"))
    if not (LIMIT.fullmatch(limit) and int(limit) <= MAX_LIMIT):
        faults.append(Fault(pointer("limit"), f"is not an integer from 1 to {MAX_LIMIT}"))
    if cursor is not None and not is_task_id(cursor):
        faults.append(Fault(pointer("cursor"), "is not a cursor that this service gave out"))
    if faults or status is None:
        raise Problem(400, Code.INVALID_QUERY, "The query is not valid.", bounded(faults))
    return DeliveryQuery("dead" if status == "dead" else "pending", given.get("host", "").lower(), int(limit), cursor)


def read_redelivery(raw: bytes) -> tuple[DeadOnes, str]:
    """Read the body of a request to make dead deliveries again: which ones, and where to go on.

    Raises:
        Problem: 400 that names everything that is wrong.
    """
    try:
        wanted = Redelivery.model_validate(parse(raw))
    except InvalidJson as error:
        raise Problem(400, Code.INVALID_JSON, error.detail, error.faults) from None
    except ValidationError as error:
        raise _invalid(error, Redelivery) from None
    if wanted.cursor is not None and not is_task_id(wanted.cursor):
        fault = Fault("/cursor", "is not a cursor that this service gave out")
        raise Problem(400, Code.INVALID_REQUEST, "The request is not valid.", (fault,))
    which = DeadOnes((wanted.host or "").lower(), _ms(wanted.finished_from), _ms(wanted.finished_before))
    return which, wanted.cursor or ""


def read_new_url(raw: bytes, policy: Policy) -> str | None:
    """Read the body of a request to repeat a delivery: its new URL, or None.

    Raises:
        Problem: 400 that names everything that is wrong.
    """
    if not raw:
        return None
    try:
        result_url = NewUrl.model_validate(parse(raw)).result_url
    except InvalidJson as error:
        raise Problem(400, Code.INVALID_JSON, error.detail, error.faults) from None
    except ValidationError as error:
        raise _invalid(error, NewUrl) from None
    if result_url is not None and (why := refusal(result_url, policy)):
        raise Problem(400, Code.INVALID_REQUEST, "The request is not valid.", (Fault("/result_url", why),))
    return result_url


def _invalid(error: ValidationError, model: type[BaseModel]) -> Problem:
    """Describe what is wrong with a body; of a member that does not exist, which ones do."""
    known = ", ".join(model.model_fields)
    unknown = f"Unknown member; allowed: {known}"
    faults = (
        Fault(pointer(*detail["loc"]), unknown if detail["type"] == "extra_forbidden" else expected(detail))
        for detail in error.errors(include_url=False, include_input=False)
    )
    return Problem(400, Code.INVALID_REQUEST, "The request is not valid.", bounded(faults))


def _ms(time: datetime | None) -> int | None:
    return None if time is None else (time - EPOCH) // timedelta(milliseconds=1)
