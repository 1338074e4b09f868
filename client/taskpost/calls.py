"""What all calls of the service need: the connection, one page after another, paths."""

from __future__ import annotations

import os
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from taskpost.arguments import LONGEST_PLACE, checked_id, checked_limit, checked_seconds
from taskpost.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

DEFAULT_URL: Final = "http://127.0.0.1:8000"
LONGEST_PAGE: Final = 1000
LONGEST_REQUEST_SECONDS: Final = 1_000_000.0
"""Sockets count milliseconds in 32 bits."""
JSON_HEADERS: Final = {"Content-Type": "application/json"}
T = TypeVar("T")

_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,200}")


class Calls:
    """A connection to a service, which the classes below make their calls over."""

    def __init__(self, url: str | None = None, timeout_seconds: float = 10) -> None:
        # httpx takes longer to import than all the rest, and not everyone who imports us calls a service.
        from taskpost import transport  # noqa: PLC0415

        seconds = checked_seconds("timeout_seconds", timeout_seconds)
        if seconds is None or seconds <= 0:
            raise ValueError(f"timeout_seconds is {timeout_seconds!r}: expected a number of seconds above 0")
        self.url = url or os.environ.get("TASKPOST_URL") or DEFAULT_URL
        self._read, self._read_bytes, self._next_page = transport.read, transport.read_bytes, transport.next_page
        self._transport = transport.Transport(self.url, min(seconds, LONGEST_REQUEST_SECONDS))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _listed(
        self, path: str, filters: Mapping[str, str | None], limit: int | None, build: Callable[[Any], T]
    ) -> Iterator[T]:
        most = checked_limit(limit)
        page = None if most is None else min(most, LONGEST_PAGE)
        return islice(self._pages(path, {**filters, "limit": page}, build), most)

    def _pages(self, path: str, filters: Mapping[str, str | int | None], build: Callable[[Any], T]) -> Iterator[T]:
        params = {name: value for name, value in filters.items() if value is not None}
        response = self._transport.request("GET", path, params=params)
        while True:
            yield from self._read(response, lambda documents: each(documents, build))
            following = self._next_page(response)
            if following is None:
                return
            response = self._transport.request("GET", following)


def each(documents: Any, build: Callable[[Any], T]) -> list[T]:  # noqa: ANN401 - any JSON value
    """Build something from each document of a list.

    Raises:
        TypeError: it is not a list.
    """
    if not isinstance(documents, list):
        raise TypeError(type(documents).__name__)
    return [build(document) for document in documents]


def path_of(task_id: str) -> str:
    """Return the path of a task.

    An id with other characters would lead elsewhere: `..` is part of a path, and servers read `%2F` as a slash.

    Raises:
        ValueError: the id is not a string.
        NotFound: no task can have this id.
    """
    if not _ID.fullmatch(checked_id(task_id)):
        raise NotFound(404, "task_not_found", f"There is no task {task_id[:LONGEST_PLACE]!r}.")
    return f"/api/tasks/{task_id}"
