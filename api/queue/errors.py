"""What can go wrong between the service and Redis, in the service's own words."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from redis import exceptions

from runner.redis_errors import is_forbidden, passes

if TYPE_CHECKING:
    from collections.abc import Iterator

RETRY_AFTER_SECONDS: Final = 2

_NOT_LEADING: Final = "NOTLEADING"


class QueueUnavailable(Exception):  # noqa: N818 - a state of things, not a mistake
    """Redis cannot do its work now, and may be able to later."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_seconds = RETRY_AFTER_SECONDS


class QueueFullError(QueueUnavailable):
    """Redis has reached its `maxmemory`: it refuses whatever needs memory."""


class QueueForbiddenError(QueueUnavailable):
    """The user in Redis lacks a permission: at the start that ends the service, later everything waits for it."""

    def __init__(self, answer: str) -> None:
        super().__init__(f"Redis refuses what the service asks: {answer}")
        self.answer = answer


class NotLeading(Exception):  # noqa: N818 - a state of things, not a mistake
    """Another service leads: what was asked for is the leader's business, and nothing of it was done."""


class QueueUnusable(Exception):  # noqa: N818
    """This Redis is set up in a way that Taskpost cannot work with; the message says what to change."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn faults of Redis that may pass into `QueueUnavailable`, a refusal of the leader's verbs into `NotLeading`."""
    try:
        yield
    except exceptions.OutOfMemoryError:
        raise QueueFullError("Redis has reached its maxmemory and takes no new tasks") from None
    except exceptions.ReadOnlyError:
        raise QueueUnavailable("Redis is read-only: a replica, or a failover is under way") from None
    except exceptions.AuthenticationError as error:
        raise QueueUnavailable(f"Redis refuses our login: {error}") from None
    except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
        raise QueueUnavailable(f"Redis does not answer: {error}") from None
    except exceptions.ResponseError as error:
        if str(error).startswith(_NOT_LEADING):
            raise NotLeading(str(error)) from None
        if is_forbidden(error):  # it affects every call, so all loops wait as in an outage, with this reason
            raise QueueForbiddenError(str(error)) from None
        if passes(error):
            raise QueueUnavailable(f"Redis cannot write now: {error}") from None
        raise
