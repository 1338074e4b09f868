"""Describes why a delivery attempt failed, from the exception that ended it. Pure."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from typing import Final

from runner.contract import Env
from runner.delivery.stream import HandshakeClosedError, NotTlsError

_OUR_CERTIFICATE: Final = (
    "CERTIFICATE",  # required, bad, unsupported, revoked, expired, unknown, unobtainable
    "UNKNOWN_CA",
    "ACCESS_DENIED",
    "HANDSHAKE_FAILURE",
)
"""Parts of the names of alerts by which a receiver refuses the certificate that it was shown, or the lack of one."""
_PLAIN: Final = "If it speaks plain http, write http:// in the result_url"
SHOW_CERTIFICATE: Final = f"if it requires a certificate, set {Env.CALLBACK_CERTIFICATE_FILE}"
BEGINNING_CHARACTERS: Final = 40


def cause(fault: BaseException) -> str:
    """Return what was wrong, in one line."""
    match fault:
        case NotTlsError() | HandshakeClosedError() | ssl.SSLError():
            return f"TLS: {_tls(fault)}"
        case socket.gaierror():
            return f"the host name cannot be resolved: {fault.strerror}"
        case ConnectionRefusedError():
            return "the connection was refused"
        case OSError() if fault.errno is not None:
            return f"the connection broke: {os.strerror(fault.errno)} ({errno.errorcode.get(fault.errno, fault.errno)})"
        case OSError():
            return f"the connection broke: {fault or type(fault).__name__}"
        case _:
            return str(fault)


def excerpt(beginning: bytes) -> str:
    """Return the beginning of something as text that shows all that is not a plain character as an escape."""
    return ascii(beginning[:BEGINNING_CHARACTERS].decode("latin-1"))


def no_http(garbage: bytes, *, is_tls: bool) -> str:
    """Describe an answer that is not HTTP/1.x."""
    if not is_tls and garbage[:1] in {b"\x15", b"\x16"} and garbage[1:2] == b"\x03":
        return "the receiver speaks TLS at this port: write https:// in the result_url"
    if garbage[3:4] in {b"\x04", b"\x07"} and garbage[:1] == b"\x00":
        return "the receiver speaks HTTP/2 alone, and callbacks are sent by HTTP/1.1"
    return f"the answer is not HTTP: it begins with {excerpt(garbage)}"


def wants_https(status: int, body: bytes) -> bool:
    """Return whether an answer to plain http reports that the port expects https, as nginx, Apache and Go do."""
    text = body.lower()
    return status == 400 and (b"https" in text or b"ssl" in text or b"tls" in text) and b"http" in text  # noqa: PLR2004


def _tls(fault: NotTlsError | HandshakeClosedError | ssl.SSLError) -> str:
    match fault:
        case NotTlsError():
            return f"the receiver does not speak TLS at this port, it sent {excerpt(fault.beginning)}. {_PLAIN}"
        case HandshakeClosedError():
            return f"the receiver closed the connection during the handshake. {_PLAIN}; {SHOW_CERTIFICATE}"
        case ssl.SSLCertVerificationError():
            trusted = f"CAs that are trusted beside the public ones are set by {Env.CALLBACK_CA_FILE}"
            return f"the certificate is not accepted: {fault.verify_message}. {trusted}"
    reason = re.sub("^(SSLV3|TLSV13|TLSV1)_", "", fault.reason or str(fault))
    words = reason.lower().replace("_", " ")
    if "ALERT" not in reason:
        return words
    if not any(part in reason for part in _OUR_CERTIFICATE):
        return f"the receiver ended the connection ({words})"
    which = f"Set {Env.CALLBACK_CERTIFICATE_FILE} and {Env.CALLBACK_KEY_FILE} to one that it accepts"
    return f"the receiver refused our certificate, or that none was shown ({words}). {which}"
