"""The verb listen: a receiver for development."""

from __future__ import annotations

from typing import Final

import click

from taskpost.cli.arrivals import Arrivals
from taskpost.cli.faults import ExitCode, Failure
from taskpost.cli.keys import find_keys
from taskpost.cli.options import Span, json_option
from taskpost.receiver_server import Server

HIGHEST_PORT: Final = 65_535


@click.command()
@click.option("--bind", default="127.0.0.1:9000", show_default=True, help="Address to listen on; port 0: a free one.")
@click.option("--key", help="Key that signs the callbacks, or several separated by commas (whsec_...).")
@click.option("--key-file", type=click.Path(dir_okay=False), help="File of keys, one a line; read at each callback.")
@click.option("--status", type=click.IntRange(200, 599), help="What to answer. [default: 204, 400 if not signed right]")
@click.option("--count", type=click.IntRange(min=1), help="End after so many callbacks. [default: at Ctrl-C]")
@click.option("--timeout", type=Span(), help="End after this time (90s, 2m), with exit code 5.")
@json_option
def listen(
    *,
    bind: str,
    key: str | None,
    key_file: str | None,
    status: int | None,
    count: int | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Receive callbacks, print them, and check their signatures.

    Give its address as result_url: taskpost submit fibonacci n=100 --result-url http://127.0.0.1:9000/. Without --key
    and --key-file the key is that of the service with this user's settings, where that is installed. With --json each
    callback is a line. Exit code 1 if a signature was not valid.
    """
    keys = find_keys(key, key_file)
    arrivals = Arrivals(keys.read, keys.hint, status=status, count=count, as_json=as_json)
    server = _listen(bind, arrivals)
    try:
        click.echo(f"Listening on {server.url}, until Ctrl-C. {keys.told}", err=True)
        ended = arrivals.wait(timeout)
    except KeyboardInterrupt:
        return
    finally:
        server.close()
    if arrivals.fault is not None:
        raise arrivals.fault
    if not ended:
        raise Failure(f"The time is over: {timeout:g} s.", ExitCode.GAVE_UP_WAITING)
    click.get_current_context().exit(ExitCode.OK if arrivals.all_valid else ExitCode.FAILED)


def _listen(bind: str, arrivals: Arrivals) -> Server:
    host, port = _address(bind)
    try:
        server = Server((host, port), arrivals.take)
    except (OSError, UnicodeError, TypeError) as error:  # TypeError: of a name that cannot be encoded
        reason = getattr(error, "strerror", None) or error
        hint = "Choose another address with --bind; port 0 takes a free one."
        raise Failure(f"Cannot listen on {bind}: {reason}.", ExitCode.FAILED, hint) from error
    return server


def _address(bind: str) -> tuple[str, int]:
    host, _, port = bind.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit() and int(port[:6]) <= HIGHEST_PORT):
        raise click.BadParameter(f"{bind!r} is not host:port, such as 127.0.0.1:9000.", param_hint="--bind")
    return host, int(port)
