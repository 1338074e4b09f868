"""HTTP to one service: requests, repeats, and problems as errors. Only this module and `http_client` know httpx."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import httpx

from taskpost.arguments import HIGHEST_PORT
from taskpost.errors import (
    ApiError,
    Conflict,
    FieldError,
    InvalidTask,
    InvalidUrl,
    NotFound,
    UnexpectedAnswer,
    Unreachable,
)
from taskpost.http_client import open_client

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskpost.codes import ErrorCode

T = TypeVar("T")

PASSING_STATUSES: Final = frozenset({502, 503, 504})
"""Answers of a service, or of a proxy before it, that is away for a moment."""
TRIES: Final = 3
LONGEST_LOCATION: Final = 200
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 5.0
"""A `Retry-After` beyond this is the caller's business."""
_PASSWORD: Final = re.compile(r"(?<=://)([^/?#@:]*):[^/?#]*@")

_ERRORS: Final = {400: InvalidTask, 404: NotFound, 409: Conflict}


class Transport:
    """One connection pool to one service, whose URL may have a path prefix."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, TypeError) as error:
            raise InvalidUrl(f"The service's URL {shown(str(url))!r} is not a URL: {error}.") from error
        if (
            parsed.scheme not in {"http", "https"}
            or not parsed.host
            or (parsed.port or 0) > HIGHEST_PORT
            or parsed.query
        ):
            raise InvalidUrl(f"The service's URL {shown(url)!r} must look like http://host:port.")
        self._shown_url = shown(url)
        self._timeout_seconds = timeout_seconds
        self._http = open_client(parsed, timeout_seconds)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(
        self,
        method: str,
        target: str | httpx.URL,
        *,
        params: Mapping[str, str | int] | None = None,
        timeout_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """Send one request; anything but a 2xx is raised. `timeout_seconds` can only shorten the client's own."""
        if self._http.is_closed:
            raise ValueError("this Client is closed: make another one")
        try:
            response = self._http.request(
                method,
                target,
                params=params,
                headers=headers,
                content=content,
                timeout=min(self._timeout_seconds, timeout_seconds or self._timeout_seconds),
            )
        except httpx.InvalidURL as error:  # an argument has thousands of characters
            raise ApiError(431, "head_too_large", f"The request is too long to be sent: {error}.") from error
        except httpx.DecodingError as error:
            raise UnexpectedAnswer(f"{self._shown_url} answered with a body that cannot be decoded: {error}") from error
        except httpx.TransportError as error:
            raise Unreachable(self._shown_url, str(error) or type(error).__name__) from error
        if response.is_success:
            return response
        raise _problem(response)

    def post_again(self, target: str, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """POST, and repeat after connection faults and 503: only for what an idempotency key makes safe to repeat."""
        pause_seconds = FIRST_PAUSE_SECONDS
        for _ in range(TRIES - 1):
            try:
                return self.request("POST", target, content=content, headers=headers)
            except Unreachable:
                time.sleep(pause_seconds)
            except ApiError as error:
                asked_seconds = error.retry_after_seconds or pause_seconds
                if error.status not in PASSING_STATUSES or asked_seconds > LONGEST_PAUSE_SECONDS:
                    raise
                time.sleep(asked_seconds)
            pause_seconds *= 2
        return self.request("POST", target, content=content, headers=headers)


def shown(url: str) -> str:
    """Return a URL without the password that it may contain."""
    return _PASSWORD.sub(r"\1:***@", url)


def read(response: httpx.Response, build: Callable[[Any], T]) -> T:
    """Build an object from the JSON of an answer, or raise `UnexpectedAnswer`."""
    return _expect(response, lambda: build(response.json()))


def read_bytes(response: httpx.Response, build: Callable[[bytes], T]) -> T:
    """The same from the bytes of an answer."""
    return _expect(response, lambda: build(response.content))


def next_page(response: httpx.Response) -> httpx.URL | None:
    """Return the address of the next page, if there is one; it is relative to the page, so that path prefixes hold."""
    following = response.links.get("next")
    return None if following is None else _expect(response, lambda: response.url.join(following["url"]))


def _expect(response: httpx.Response, build: Callable[[], T]) -> T:
    try:
        return build()
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, httpx.InvalidURL) as error:
        url, status = shown(str(response.url)), response.status_code
        raise UnexpectedAnswer(
            f"{url} answered {status}, but not as a Taskpost service does. Is the URL right?"
        ) from error


def _problem(response: httpx.Response) -> ApiError:
    status = response.status_code
    try:
        problem = response.json()
    except (ValueError, RecursionError):
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    detail, listed = problem.get("detail") or problem.get("title"), problem.get("errors")
    errors = tuple(
        FieldError(str(error.get("pointer", "")), str(error.get("detail", "")))
        for error in (listed if isinstance(listed, list) else ())
        if isinstance(error, dict)
    )
    return _ERRORS.get(status, ApiError)(
        status,
        cast("ErrorCode", str(problem.get("code") or f"http_{status}")),
        str(detail) if detail else _answered(response),
        errors,
        _retry_after_seconds(response.headers.get("Retry-After")),
    )


def _answered(response: httpx.Response) -> str:
    location = response.headers.get("Location") if response.is_redirect else None
    leads = f" and leads to {shown(location[:LONGEST_LOCATION])}, which is not followed" if location else ""
    return (
        f"{shown(str(response.url))} answered {response.status_code} {response.reason_phrase}{leads}. Is the URL right?"
    )


def _retry_after_seconds(value: str | None) -> float | None:
    # The other form, a date, is never sent by the service, and a proxy's may be taken as absent.
    return float(value) if value is not None and value.isascii() and value.isdigit() else None
