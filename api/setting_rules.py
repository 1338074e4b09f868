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
        ValueError: if rules are broken; for each, a line names the variables, their values and the remedy.
    """
    faults = []
    for check in (_check_callback_files, _check_loopback_callbacks, _check_replicas, _check_undelivered_bytes):
        try:
            check(settings)
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("\n".join(faults))


def check_executor(settings: Settings) -> None:
    """Check that all is set that the executor needs. For the start alone: a check of a file of task types runs none.

    Raises:
        ValueError: if something is missing; the message names it.
    """
    needed = ("redis_url", "runner_image", "runner_secret") if settings.executor == "kubernetes" else ()
    missing = [settings.label(name) for name in needed if not getattr(settings, name)]
    if missing:
        why = ", since a service account's token is mounted (set it to local for processes in this container)"
        why = "" if "executor" in settings.model_fields_set else why
        raise ValueError(f"{settings.label('executor')} is 'kubernetes'{why}: that needs {', '.join(missing)} too")


def _check_callback_files(settings: Settings) -> None:
    label = settings.label
    if settings.signing_keys and settings.signing_keys_file:
        raise ValueError(f"{label('signing_keys')} and {label('signing_keys_file')} are both set; set one of them")
    if settings.callback_key_file and not settings.callback_certificate_file:
        raise ValueError(f"{label('callback_key_file')} is set without {label('callback_certificate_file')}")


def _check_loopback_callbacks(settings: Settings) -> None:
    if settings.callback_allow_loopback and not is_bound_to_loopback(settings.bind):
        raise ValueError(
            f"{settings.label('callback_allow_loopback')} is true and {settings.label('bind')} is {settings.bind!r}: "
            "callbacks to loopback addresses are allowed only while the service itself listens on one, "
            "e.g. 127.0.0.1:8000. Change one of the two"
        )


def _check_replicas(settings: Settings) -> None:
    if settings.embedded and settings.redis_min_replicas:
        raise ValueError(
            f"{settings.label('redis_min_replicas')} is {settings.redis_min_replicas}; the embedded Valkey has no "
            f"replicas: the service would refuse every task. Set it to 0, or set {settings.label('redis_url')} "
            "to a Redis with replicas"
        )


def _check_undelivered_bytes(settings: Settings) -> None:
    least = settings.result_max_bytes + RESULT_OVERHEAD_BYTES
    per_receiver, label = settings.undelivered_max_bytes_per_receiver, settings.label
    if per_receiver < least:
        raise ValueError(
            f"{label('undelivered_max_bytes_per_receiver')} is {per_receiver}: it must be at least {least}, which one "
            f"result of {label('result_max_bytes')} ({settings.result_max_bytes}) takes. "
            "Increase the first or decrease the second"
        )
    if settings.undelivered_max_bytes < per_receiver:
        raise ValueError(
            f"{label('undelivered_max_bytes')} is {settings.undelivered_max_bytes}: it must be at least "
            f"{label('undelivered_max_bytes_per_receiver')}, {per_receiver}"
        )
