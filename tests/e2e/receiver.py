"""A receiver of callbacks that pods can reach: keeps what came, by task, and verifies every signature."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

CLUSTER = Path(__file__).parents[1] / "cluster" / "cluster.sh"


class Receiver:
    """Listens where pods reach it. `refuse` is how many tries are answered 500 before they are taken."""

    def __init__(self, refuse: int = 0) -> None:
        self.keys: list[str] = []
        self.received: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
        """For each task the delivery id and the body of every try that was taken."""
        self.at: dict[str, float] = {}
        """When each task's first callback came, in Unix time."""
        self.faults: list[str] = []
        self._refuse = refuse
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("0.0.0.0", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        address = subprocess.run([CLUSTER, "address"], capture_output=True, text=True, check=True).stdout.strip()
        self.url = f"http://{address}:{self._server.server_port}/results"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of(self, task_id: str, seconds: float = 60) -> Any:
        """The outcome of a task, when it has come; all its deliveries have one id and one body."""
        with self._changed:
            assert self._changed.wait_for(lambda: task_id in self.received, seconds), f"no callback of {task_id}"
            tries = set(self.received[task_id])
        assert not self.faults, self.faults
        assert len(tries) == 1, tries
        return json.loads(tries.pop()[1])

    def wait_for(self, tasks: int, seconds: float) -> None:
        """Wait until this many tasks have had a callback."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.received) >= tasks, seconds)
        assert came, f"{len(self.received)} of {tasks} tasks have had a callback"

    def _take(self, headers: dict[str, str], body: bytes) -> int:
        with self._changed:
            if self._refuse > 0:
                self._refuse -= 1
                return 500
            try:
                outcome = _verified(self.keys, headers, body)
                self.at.setdefault(outcome["task_id"], time.time())
                self.received[outcome["task_id"]].append((headers["webhook-id"], body))
            except Exception as fault:  # noqa: BLE001 - told by `of`
                self.faults.append(f"{fault!r}: {headers} {body!r}")
            self._changed.notify_all()
        return 204

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(receiver._take(headers, body))
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _verified(keys: list[str], headers: dict[str, str], body: bytes) -> Any:
    for key in keys:
        try:
            Webhook(key).verify(body, headers)
        except Exception:  # noqa: BLE001 - another key may fit
            continue
        return json.loads(body)
    raise ValueError("no key fits the signature")
