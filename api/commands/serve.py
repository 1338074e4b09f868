"""`taskpost serve`: run the service until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

import click

from api.commands.farewell import farewell, say
from api.commands.setting_options import GroupedCommand, settings_options
from api.embedded.errors import EmbeddedError
from api.logs import set_up_logs
from api.memory import give_large_blocks_back
from api.setting_forms import split_bind
from api.setting_names import variable_of
from api.settings import SettingsError, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.settings import Settings
    from api.web.server import Server

BACKLOG: Final = 2048
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class CannotListen(Exception):  # noqa: N818 - reads as what it says
    """The address cannot be listened on; the message says why and what to do."""


@click.command(cls=GroupedCommand)
@settings_options
def serve(**options: str | None) -> None:
    """Run the service.

    With nothing configured it brings its own Valkey and listens on 127.0.0.1:8000. Each option can be set by the
    environment variable beside it; an option overrides its variable.
    """
    from api.queue.errors import QueueUnusable  # noqa: PLC0415 - `serve --help` need not wait for redis-py

    try:
        settings = read_settings(**options)
        set_up_logs(settings.log_level, settings.log_format)
        give_large_blocks_back()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a script it is ignored
        asyncio.run(run(settings, lambda url: _say_where(settings, url)))
    except KeyboardInterrupt:
        _end(EXIT_INTERRUPTED, "Taskpost stops: it was still starting. Tasks that wait run when Taskpost starts again.")
    except SettingsError as error:
        _end(EXIT_USAGE, str(error))
    except (CannotListen, EmbeddedError, QueueUnusable) as error:
        _end(EXIT_FAILED, str(error))
    except (OSError, UnicodeError) as error:  # a file, a socket, a process: the message names it
        _end(EXIT_FAILED, f"Taskpost cannot run: {error}")


async def run(settings: Settings, on_listening: Callable[[str], None]) -> None:
    """Run the service until SIGTERM or SIGINT; `on_listening` is told its URL as soon as it can be called.

    Raises:
        CannotListen: if the address is taken or not ours.
        SettingsError, EmbeddedError, QueueUnusable: see `running_service`.
    """
    stops = [number for number in STOP_SIGNALS if not _is_of_nohup(number)]
    if callable(interrupt := signal.getsignal(signal.SIGINT)):
        for number in stops:  # until the server listens, each is like Ctrl-C: no Valkey may be left behind
            signal.signal(number, interrupt)
    # Nor for the service itself, which takes more than a second to import.
    from api.app import running_service  # noqa: PLC0415
    from api.web.connections import Limits  # noqa: PLC0415
    from api.web.descriptors import connections_for, raise_descriptors  # noqa: PLC0415
    from api.web.server import Server  # noqa: PLC0415

    processes = settings.concurrency if settings.executor == "local" else 0
    limits = Limits(
        connections=connections_for(raise_descriptors(), processes), idle_seconds=settings.keep_alive_seconds
    )
    with listening_socket(settings.bind) as bound:
        async with running_service(settings, bound.getsockname()[:2]) as service:
            server = Server(service.application, limits)
            service.fault.add_done_callback(lambda _: _stop(server))
            loop, last_words = asyncio.get_running_loop(), lambda: farewell(settings, service.running())
            for number in stops:
                loop.add_signal_handler(number, partial(_stop, server, last_words))
            on_listening(_url(bound))
            gc.freeze()  # What was made until now stays: the collector need not look at it again.
            await server.serve(sockets=[bound])
            if service.fault.done():
                service.fault.result()


def listening_socket(bind: str) -> socket.socket:
    """Return a socket that listens on `host:port`, so that a call made from now on is answered.

    Raises:
        CannotListen: if the address is taken or not ours.
    """
    host, port = split_bind(bind)
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # With the protocol named, asyncio sets TCP_NODELAY; without it every kept-alive answer waits for an ACK.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except UnicodeError:
        raise CannotListen(f"Cannot listen on {bind[:100]}: {host[:100]} cannot be the name of a host.") from None
    except OSError as error:
        what = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise CannotListen(
            f"Cannot listen on {bind}: {what}. Choose another with --bind, --port or {variable_of('bind')}; "
            "port 0 takes a free one."
        ) from None
    return bound


def _is_of_nohup(number: signal.Signals) -> bool:
    """Whether this is the signal of a terminal that closes, and `nohup` has had it ignored."""
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


def _stop(server: Server, last_words: Callable[[], str] | None = None) -> None:
    """Let the server end; the first time, say what happens to what runs."""
    if last_words is not None and not server.should_exit:
        say(last_words())
    server.should_exit = True


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _say_where(settings: Settings, url: str) -> None:
    redis = f"in the Redis of {settings.label('redis_url')}"
    data = f"in {settings.data_dir} (an embedded Valkey)" if settings.embedded else redis
    allowed = "allowed" if settings.loopback_callbacks_allowed else "not allowed"
    say(f"Taskpost listens on {url}, with its documentation at {url}/docs")
    say(f"Its data is {data}")
    say(f"Callbacks to loopback addresses (127.0.0.0/8, ::1) are {allowed}")


def _end(exit_code: int, message: str) -> None:
    click.echo(message, err=True)
    sys.exit(exit_code)
