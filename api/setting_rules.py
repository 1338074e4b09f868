"""Rules that several settings obey together. Pure: each function raises `ValueError` if its rule is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.setting_forms import is_bound_to_loopback

if TYPE_CHECKING:
    from api.settings import Settings

RESULT_OVERHEAD_BYTES: Final = 64 * 1024
"""Memory that a task takes beside its result, with the longest URL, messages and records of delivery attempts."""


def check_together(settings: Settings) -> None:
    """Check all rules.

    Raises:
        ValueError: for the first rule that is broken; the message names the variables, their values and the remedy.
    """
    _check_callback_files(settings)
    _check_loopback_callbacks(settings)
    _check_replicas(settings)
    _check_undelivered_bytes(settings)


def _check_callback_files(settings: Settings) -> None:
    if settings.signing_keys and settings.signing_keys_file:
        raise ValueError("signing_keys and signing_keys_file are both set; set one of them")
    if settings.callback_key_file and not settings.callback_certificate_file:
        raise ValueError("callback_key_file is set without callback_certificate_file")


def _check_loopback_callbacks(settings: Settings) -> None:
    if settings.callback_allow_loopback and not is_bound_to_loopback(settings.bind):
        raise ValueError(
            f"TASKPOST_CALLBACK_ALLOW_LOOPBACK is true and TASKPOST_BIND is {settings.bind!r}: callbacks to loopback "
            "addresses are allowed only while the service itself listens on one, e.g. 127.0.0.1:8000. "
            "Change one of the two"
        )


def _check_replicas(settings: Settings) -> None:
    if settings.embedded and settings.redis_min_replicas:
        raise ValueError(
            f"TASKPOST_REDIS_MIN_REPLICAS is {settings.redis_min_replicas}; the embedded Valkey has no replicas: "
            "the service would refuse every task. Set it to 0, or set TASKPOST_REDIS_URL to a Redis with replicas"
        )


def _check_undelivered_bytes(settings: Settings) -> None:
    least = settings.result_max_bytes + RESULT_OVERHEAD_BYTES
    per_receiver = settings.undelivered_max_bytes_per_receiver
    if per_receiver < least:
        raise ValueError(
            f"TASKPOST_UNDELIVERED_MAX_BYTES_PER_RECEIVER is {per_receiver}: it must be at least {least}, which one "
            f"result of TASKPOST_RESULT_MAX_BYTES ({settings.result_max_bytes}) takes. "
            "Increase the first or decrease the second"
        )
    if settings.undelivered_max_bytes < per_receiver:
        raise ValueError(
            f"TASKPOST_UNDELIVERED_MAX_BYTES is {settings.undelivered_max_bytes}: it must be at least "
            f"TASKPOST_UNDELIVERED_MAX_BYTES_PER_RECEIVER, {per_receiver}"
        )
