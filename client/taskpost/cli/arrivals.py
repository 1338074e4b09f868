"""The callbacks that arrive at `taskpost listen`: each is checked, printed, and only then answered."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from taskpost.cli.fields import parse_json
from taskpost.cli.output import LONGEST_SHOWN, escaped, print_json, printable
from taskpost.cli.times import clock
from taskpost.signature import SignatureInvalid, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

REMEMBERED: Final = 10_000
"""Delivery ids that are remembered, to show repeats."""
SHOWN_CHARACTERS: Final = 200
UNREADABLE_SHOWN: Final = 500
GOOD: Final = 204
REFUSED: Final = 400
TOO_LATE: Final = 503


class Arrivals:
    """Prints callbacks one after the other, in the threads of their requests: what is not printed is not answered.

    Args:
        read_keys: returns the keys of now.
        hint: what to say beside a signature that does not fit.
        status: what to answer, whatever arrives; None answers 204, or 400 if a signature is not valid.
        count: how many are printed before the end; None for no end.
        as_json: whether each is a line of JSON.
    """

    def __init__(
        self, read_keys: Callable[[], Sequence[str]], hint: str, *, status: int | None, count: int | None, as_json: bool
    ) -> None:
        self.all_valid = True
        self.fault: OSError | None = None
        """Why no more can be printed."""
        self._read_keys = read_keys
        self._hint = hint
        self._status = status
        self._left = count
        self._as_json = as_json
        self._printing = threading.Lock()
        self._ended = threading.Event()
        self._seen: OrderedDict[str, None] = OrderedDict()

    def wait(self, timeout_seconds: float | None) -> bool:
        """Wait for the end; return whether it came in time."""
        return self._ended.wait(timeout_seconds)

    def take(self, headers: Mapping[str, str], body: bytes, path: str) -> int:
        """Check and print a request; return the status to answer."""
        received_at = datetime.now(UTC)
        verdict, reason = self._check(headers, body, received_at)
        document: dict[str, Any] = {
            "received_at": received_at.isoformat(timespec="milliseconds"),
            "path": path[:SHOWN_CHARACTERS],
            "webhook_id": headers.get("webhook-id", "")[:SHOWN_CHARACTERS] or None,
            "signature": verdict,
            "reason": reason or None,
            "body": _json(body),
        }
        with self._printing:
            if self._ended.is_set():
                return TOO_LATE
            document["repeat"] = self._is_repeat(document["webhook_id"])
            try:
                self._print(document, body, received_at)
            except OSError as error:
                self.fault = error
                self._ended.set()
                return TOO_LATE
            self._count(verdict)
        return self._status or (REFUSED if verdict == "invalid" else GOOD)

    def _check(self, headers: Mapping[str, str], body: bytes, now: datetime) -> tuple[str, str]:
        keys = self._read_keys()
        if not keys:
            return "unchecked", "no key is known: give --key or --key-file"
        try:
            verify(headers, body, keys, now=now)
        except (SignatureInvalid, ValueError) as error:
            return "invalid", f"{error}{self._hint}"
        return "valid", ""

    def _is_repeat(self, delivery_id: str | None) -> bool:
        if delivery_id is None or delivery_id in self._seen:
            return delivery_id is not None
        self._seen[delivery_id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return False

    def _count(self, verdict: str) -> None:
        self.all_valid &= verdict != "invalid"
        if self._left is not None:
            self._left -= 1
            if not self._left:
                self._ended.set()

    def _print(self, document: dict[str, Any], body: bytes, received_at: datetime) -> None:
        if self._as_json:
            print_json(document)
            return
        color = {"valid": "green", "invalid": "red"}.get(document["signature"])
        click.secho(f"{clock(received_at)}  {printable(_summary(document, len(body)))}", fg=color)
        if document["body"] is None:
            click.echo(printable(body[:UNREADABLE_SHOWN].decode("utf-8", "backslashreplace")))
        else:
            text = escaped(json.dumps(document["body"], indent=2, ensure_ascii=False))
            click.echo(text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]} ... ({len(text):,} characters)")


def _summary(document: Mapping[str, Any], size: int) -> str:
    body = document["body"]
    words = [f"POST {document['path']}, {size:,} bytes"]
    if isinstance(body, dict) and {"task_id", "task_type", "status"} <= body.keys():
        named = [body[name] for name in ("task_type", "task_id", "status")]
        words = [" ".join(one[:SHOWN_CHARACTERS] if isinstance(one, str) else "?" for one in named)]
    words.append(f"signature {document['signature']}" + (f" ({document['reason']})" if document["reason"] else ""))
    if document["repeat"]:
        words.append(f"a repeat of {document['webhook_id']}")
    return ", ".join(words)


def _json(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a body, None if it is not JSON as the service writes it, or too deep to be printed."""
    try:
        value = parse_json(body, "the body")
        json.dumps([[value]], indent=2)
    except (click.UsageError, RecursionError):
        return None
    return value
