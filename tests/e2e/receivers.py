"""Run in a pod: receivers that misbehave as their paths say, one with TLS and one without, told of on stdout.

SIGUSR1 mends them. Beside this file is `misbehaving.py` of tests/support.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from misbehaving import Misbehaving

if TYPE_CHECKING:
    from misbehaving import Received

CERTIFICATE = Path("/etc/receivers/certificate.pem")


class Telling(list["Received"]):
    """Tells of each request as a line of JSON."""

    def append(self, one: Received) -> None:
        told = json.dumps({"headers": one.headers, "body": base64.b64encode(one.body).decode()}) + "\n"
        os.write(1, told.encode())  # in one piece: two threads tell


def main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    plain = Misbehaving(host="0.0.0.0", port=8080, received=Telling())
    secure = Misbehaving(host="0.0.0.0", port=8443, received=Telling(), tls=context)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # before there are threads
    with plain, secure:
        signal.sigwait({signal.SIGUSR1})
        plain.mended = secure.mended = True
        signal.pause()


if __name__ == "__main__":
    main()
