"""The token of an attempt, as its Job may show it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from api.executors.base import StartError
from runner.contract import Env
from runner.sealed import seal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from api.executors.base import AttemptSpec


def with_sealed_token(spec: AttemptSpec, read_keys: Callable[[], Sequence[str]]) -> AttemptSpec:
    """Add the token sealed with the first key, which the template shows in its place; without keys it stays as it is.

    Raises:
        StartError: if the keys cannot be read now.
    """
    try:
        keys = read_keys()
    except OSError as error:
        raise StartError(f"the signing keys, which seal the attempt's token, cannot be read: {error}") from None
    if not keys:
        return spec
    sealed: dict[str, str] = {
        Env.SEALED_TOKEN: seal(spec.environment.get(Env.TOKEN, ""), keys[0], str(spec.attempt_id))
    }
    return replace(spec, environment={**spec.environment, **sealed})
