"""A service that answers on loopback what a test has written down, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

TASK_ID = "0190f3a1-0000-7000-8000-0000000000aa"


def task(status: str = "queued", **changes: Any) -> dict[str, Any]:
    """A task as the service shows it."""
    return {
        "task_id": TASK_ID,
        "task_type": "fibonacci",
        "task_status": status,
        "task_percent_done": 100.0 if status == "done" else 0.0,
        "queue_position": 1 if status == "queued" else None,
        "priority": 0,
        "attempt": 0 if status == "queued" else 1,
        "created_at": "2026-01-02T03:04:05.678Z",
        "started_at": None,
        "finished_at": None,
        "waiting_reason": None,
        "error": None,
        "delivery": {"status": "none", "attempts": 0, "next_at": None, "last_error": None},
        "result_url": None,
        **changes,
    }


def summary(number: int = 0, status: str = "done") -> dict[str, Any]:
    """A task in a list."""
    return {
        "task_id": f"{TASK_ID[:-4]}{number:04}",
        "task_type": "sleep",
        "percent_done": 42.5,
        "task_status": status,
        "created_at": "2026-01-02T03:04:05.678Z",
        "finished_at": None,
        "queue_position": None,
    }


def outcome(status: str = "done", result: Any = None, error: Any = None) -> bytes:
    """The body of a callback, with spaces that no encoder of ours would write."""
    document = {"task_id": TASK_ID, "task_type": "fibonacci", "status": status, "result": result, "error": error}
    times = {"created_at": "2026-01-02T03:04:05.678Z", "started_at": None, "finished_at": "2026-01-02T03:04:06.000Z"}
    return json.dumps({**document, "attempt": 1, **times}, separators=(" , ", " : ")).encode()


@dataclass(frozen=True)
class Reply:
    """One answer; with `drop` the connection is closed instead."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False


def problem(status: int, code: str, detail: str, headers: dict[str, str] | None = None, **more: Any) -> Reply:
    """An answer by RFC 9457."""
    document = {"type": "about:blank", "title": code, "status": status, "detail": detail, "code": code, **more}
    return Reply(status, document, {"Content-Type": "application/problem+json", **(headers or {})})


@dataclass(frozen=True)
class Asked:
    """A request that came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """Answers each call with its replies in turn, the last one again and again."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.called = threading.Event()
        """Set at every request."""
        self._replies: dict[tuple[str, str], list[Reply]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def on(self, method: str, target: str, *replies: Reply) -> None:
        self._replies[method, target] = list(replies)

    def answered(self) -> list[tuple[str, str]]:
        """Every method and target that has a reply."""
        return list(self._replies)

    def targets(self) -> list[str]:
        return [f"{asked.method} {asked.target}" for asked in self.asked]

    def answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        self.called.set()
        replies = self._replies.get((asked.method, asked.target))
        if not replies:
            return problem(404, "not_found", f"Nothing is scripted for {asked.method} {asked.target}.")
        return replies.pop(0) if len(replies) > 1 else replies[0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                reply = service.answer(Asked(self.command, self.path, dict(self.headers), body))
                if reply.drop:
                    return
                content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(content)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the names that http.server calls

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
                """Keep quiet."""

        return Handler
