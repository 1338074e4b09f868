"""How a delivery attempt ended. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runner.delivery.answer import retry_after_seconds, shown
from runner.delivery.causes import SHOW_CERTIFICATE, no_http, wants_https
from runner.delivery.guard import is_public
from runner.delivery.proxy import FROM_EITHER, is_its_own, own_words

if TYPE_CHECKING:
    from runner.delivery.answer_reader import AnswerReader
    from runner.delivery.route import Way

MAX_ERROR_CHARACTERS: Final = 300
NOTES: Final = {3: ", and redirects are not followed"}


@dataclass(frozen=True, slots=True)
class Try:
    """How a delivery attempt ended.

    `error` is None if the receiver answered 2xx; `blocked` says that nothing may be sent there. `status` is the
    answer's, None if there was none, and `answer` the beginning of its body. `retry_after_seconds` is what the receiver
    asked for. With `omitted` none of this may be shown, only whether it was delivered.
    """

    error: str | None
    blocked: bool = False
    status: int | None = None
    answer: str = ""
    retry_after_seconds: float | None = None
    duration_seconds: float = 0.0
    omitted: bool = False

    @property
    def delivered(self) -> bool:
        """Whether the receiver has accepted the outcome."""
        return self.error is None


NOT_SHOWN: Final = "not delivered; the cause is not shown (TASKPOST_CALLBACK_KEEP_ANSWERS)"


def to_be_shown(result: Try) -> Try:
    """Return the parts of a delivery attempt that clients may see."""
    if not result.omitted:
        return result
    return Try(None if result.delivered else NOT_SHOWN, omitted=True)


def of_answer(answer: AnswerReader, way: Way, now_seconds: float) -> Try:
    """Classify an answer. Its status decides, whatever follows. `now_seconds` is Unix time."""
    status = answer.status
    if status is None:
        return Try(_no_status(answer, way))
    if way.is_forwarded and is_its_own(answer):
        return Try(f"the proxy {way.proxy} answered {own_words(answer)}, not the receiver")
    return Try(
        None if status // 100 == 2 else _refusal(status, answer, way),  # noqa: PLR2004 - success
        status=status,
        answer=shown(answer.body, answer.headers.get("content-encoding", "")),
        retry_after_seconds=retry_after_seconds(answer.headers.get("retry-after", ""), now_seconds),
    )


def too_long(allowed_seconds: float, sent_bytes: int, body_bytes: int, way: Way) -> str:
    """Describe a timeout."""
    what = "answer" if way.is_open else "connection"
    sent = f": {sent_bytes} of {body_bytes} bytes were sent" if way.is_open and sent_bytes < body_bytes else ""
    return f"no {what} within {round(allowed_seconds, 1):g} seconds{sent}"


def is_to_be_omitted(keep_answers: str, way: Way) -> bool:
    """Whether an answer must not be shown: one from an address that is not public, or not known."""
    if keep_answers == "public":
        return not way.addresses or not all(map(is_public, way.addresses))
    return keep_answers != "all"


def _no_status(answer: AnswerReader, way: Way) -> str:
    if answer.garbage:
        return no_http(answer.garbage, is_tls=way.is_tls)
    if answer.interim:
        return f"the connection was closed after an interim answer ({answer.interim}), without a final one"
    if way.is_tls:
        return f"the connection was closed without an answer: {SHOW_CERTIFICATE}"
    hint = "" if way.is_forwarded else ": if the receiver expects https at this port, write https:// in the result_url"
    return f"the connection was closed without an answer{hint}"


def _refusal(status: int, answer: AnswerReader, way: Way) -> str:
    if way.is_forwarded and status in FROM_EITHER:
        return f"the receiver, or the proxy {way.proxy} before it, answered {status}"
    note = NOTES.get(status // 100, "")
    if not way.is_tls and wants_https(status, answer.body):
        note = ", and says that this port expects https: write https:// in the result_url"
    return f"the receiver answered {status}{note}"
