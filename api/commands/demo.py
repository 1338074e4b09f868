"""`taskpost demo`: a service of its own, a task of each type, and their signed callbacks, in a few seconds."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from taskpost import Client
from taskpost.cli.progress import Terminal, follow
from taskpost.receiver import Received, Receiver, SignatureInvalid, verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from taskpost import Task

TASKS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("fibonacci", {"n": 1_000_000}),
    ("prime_numbers", {"limit": 1_000_000_000}),
    ("sleep", {"seconds": 3}),
)
START_SECONDS: Final = 30.0
TASKS_SECONDS: Final = 120.0
CALLBACK_SECONDS: Final = 15.0
STOP_SECONDS: Final = 30.0
SHOWN_CHARACTERS: Final = 180


class DemoFailed(Exception):  # noqa: N818 - reads as what it says
    """The demo did not go as it should; the message says where it stopped."""


@click.command()
def demo() -> None:
    """Run one task of each type, and show the signed callbacks.

    The service is a new one on a free port, and is gone afterwards.
    """
    console = Terminal(highlight=False)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        with (
            tempfile.TemporaryDirectory(prefix="taskpost-demo-") as directory,
            Receiver() as receiver,
            _service(Path(directory), console) as url,
            Client(url) as client,
        ):
            _show(client, receiver, _key(Path(directory)), console)
    except DemoFailed as fault:
        console.print(f"The demo failed: {fault}", style="red")
        sys.exit(1)
    console.print(
        "\nAll of it was real: the queue in Valkey, a runner process for each task, the callbacks over HTTP.\n"
        f"Next: [bold]{sys.argv[0]} serve[/bold], then http://127.0.0.1:8000/docs, "
        f"or [bold]{sys.argv[0]} submit fibonacci n=100 --wait[/bold]",
        soft_wrap=True,
    )


@contextmanager
def _service(directory: Path, console: Console) -> Iterator[str]:
    """Run `taskpost serve` on a free port; give its URL."""
    options = ["--bind", "127.0.0.1:0", "--data-dir", str(directory), "--concurrency", str(len(TASKS))]
    log_path = directory / "service.log"
    with log_path.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-m", "api", *options], stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        first_line = _first_line(process)
        if first_line is None:
            raise DemoFailed(f"the service did not start:\n{log_path.read_text(encoding='utf-8')}")
        url = first_line.split()[3].rstrip(",")
        console.print(f"1. A service listens on {url}, with its data in {directory}", markup=False, soft_wrap=True)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _first_line(process: subprocess.Popen[str]) -> str | None:
    """Return what a service says first, or None if it ends or is silent for too long."""
    lines: queue.Queue[str] = queue.Queue()
    if process.stdout is not None:
        threading.Thread(target=lambda out: lines.put(out.readline()), args=(process.stdout,), daemon=True).start()
    try:
        return lines.get(timeout=START_SECONDS).strip() or None
    except queue.Empty:
        return None


def _key(directory: Path) -> str:
    return (directory / "signing-keys").read_text(encoding="ascii").strip()


def _show(client: Client, receiver: Receiver, key: str, console: Console) -> None:
    console.print(f"2. A receiver listens on {receiver.url}; one task of each type is submitted", soft_wrap=True)
    tasks = [client.submit(name, task_input, result_url=receiver.url).task for name, task_input in TASKS]
    for task in tasks:
        console.print(f"   {task.task_type}: {task.task_id}")
    console.print("3. Their progress, and each callback as it arrives")
    faults: list[str] = []
    printer = threading.Thread(target=_print_callbacks, args=(receiver, tasks, key, console, faults), daemon=True)
    printer.start()
    ended = follow(client, tasks, console, timeout_seconds=TASKS_SECONDS)
    printer.join(CALLBACK_SECONDS)
    faults += [f"{task.task_type} is {task.task_status}" for task in ended.values() if task.task_status != "done"]
    if printer.is_alive() or faults:
        raise DemoFailed("; ".join(faults) or f"not every callback arrived within {CALLBACK_SECONDS:g} seconds")


def _print_callbacks(receiver: Receiver, tasks: list[Task], key: str, console: Console, faults: list[str]) -> None:
    missing = {task.task_id for task in tasks}
    while missing:
        received = receiver.next()
        body = received.json()
        missing.discard(body["task_id"])
        verdict = _verdict(received, key, faults)
        text = received.body.decode()
        shown = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}... ({len(text):,} characters)"
        console.print(f"   POST {received.headers['webhook-id']}: {verdict}\n   {shown}", markup=False, soft_wrap=True)


def _verdict(received: Received, key: str, faults: list[str]) -> str:
    try:
        verify(received.headers, received.body, [key], now=received.received_at)
    except SignatureInvalid as fault:
        faults.append(f"a signature is invalid: {fault}")
        return f"signature INVALID ({fault})"
    return "signature valid"
