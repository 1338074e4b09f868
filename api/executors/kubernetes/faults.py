"""What it means that the API server does not create a Job: pure. Design section 7."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.core.observation import Obstacle
from api.executors.base import StartError, StartRefused, StartUnknown

if TYPE_CHECKING:
    from api.executors.kubernetes.client import ApiError

NOT_CONNECTED: Final = "NotConnected"
"""The reason of an error of status 0 after which nothing can have been done: no request was sent."""

CLUSTER_REFUSES: Final = "cluster_refuses"
"""The code of the reason why no task at all can be started."""

WEBHOOK_FAILED: Final = "failed calling webhook"
"""The message of an API server whose admission webhook does not answer. Nothing was stored then."""

UNREACHABLE, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT, TOO_MANY, SERVER_ERROR = 0, 401, 403, 404, 409, 429, 500


class StartForbidden(StartError):  # noqa: N818 - an answer, not a mistake
    """No attempt at all can be started here now: we may not, or the namespace is going."""

    def __init__(self, message: str) -> None:
        super().__init__(message, CLUSTER_REFUSES)


def start_fault(error: ApiError) -> StartError:
    """Return what is to become of an attempt whose Job could not be created."""
    message = error.message
    not_stored = error.status == SERVER_ERROR and WEBHOOK_FAILED in message
    if not_stored or error.status == TOO_MANY or error.reason == NOT_CONNECTED:
        return StartUnknown(message, error.retry_after_seconds, may_exist=False)
    if error.status in {UNREACHABLE, CONFLICT} or error.status >= SERVER_ERROR:
        return StartUnknown(message, error.retry_after_seconds)
    if error.status in {UNAUTHORIZED, NOT_FOUND}:
        return StartForbidden(message)
    if error.status == FORBIDDEN and "exceeded quota" in message:
        return StartError(message, Obstacle.QUOTA)
    if error.status == FORBIDDEN and ("cannot create resource" in message or "being terminated" in message):
        return StartForbidden(message)
    return StartRefused(message)
