"""Structured logs: an event name, the facts beside it, one line each, in UTC."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from api.text import visible

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def set_up_logs(level: str, log_format: str) -> None:
    """Send the logs of the service to standard error, as `json` or as `text`."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, event, and the facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {"time": _time(record), "level": record.levelname.lower(), "event": record.getMessage()}
        line |= _facts(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str).replace("\x7f", "\\u007f")


class TextFormatter(logging.Formatter):
    """For people: `time LEVEL event fact=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        facts = "".join(f" {name}={value}" for name, value in _facts(record).items() if value is not None)
        line = f"{_time(record)} {record.levelname:<7} {visible(record.getMessage() + facts)}"
        if not record.exc_info:
            return line
        # A message with a newline in it cannot pass for a line of its own: those begin with a time.
        traceback = self.formatException(record.exc_info).split("\n")
        return "\n".join([line, *(f"  {visible(one)}" for one in traceback)])


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}
