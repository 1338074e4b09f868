"""Which attempt this process is: what the executor put into its environment."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from runner.contract import DEFAULT_INSTANCE, DEFAULT_RESULT_GRACE_SECONDS, DEFAULT_RESULT_MAX_BYTES, Env

if TYPE_CHECKING:
    from collections.abc import Mapping


SECRET: Final = (Env.REDIS_URL, Env.TOKEN, Env.SEALED_TOKEN, Env.SIGNING_KEYS, Env.CALLBACK_PROXY)


class EnvironmentInvalid(ValueError):  # noqa: N818 - reads as what it says
    """The environment does not name an attempt; the message says which variable is missing or wrong."""


@dataclass(frozen=True, slots=True)
class Command:
    """The command of a container type where there is no container.

    `environment` is what its definition gives, `directory` where it is run.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str

    def to_json(self) -> str:
        """Return it as `from_json` takes it."""
        return json.dumps([self.arguments, dict(self.environment), self.directory])

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` returned."""
        arguments, environment, directory = json.loads(text)
        return cls(tuple(arguments), environment, directory)


@dataclass(frozen=True, slots=True)
class Attempt:
    """The attempt that a runner process is. `token` is the fence it shows Redis, `holder` is this very process."""

    redis_url: str = field(repr=False)
    redis_url_file: Path | None
    redis_min_replicas: int
    instance: str
    task_id: str
    number: int
    token: str
    holder: str
    task_modules: tuple[str, ...]
    task_path: tuple[str, ...]
    task_python: str
    result_max_bytes: int
    signing_keys: str = field(repr=False)
    signing_keys_file: Path | None
    callback_policy: str
    callback_proxy: str = field(repr=False)
    callback_proxy_file: Path | None
    callback_keep_answers: str
    callback_ca_file: Path | None
    callback_certificate_file: Path | None
    callback_key_file: Path | None
    callback_retry_seconds: tuple[float, ...]
    command: Command | None = None
    result_grace_seconds: float = DEFAULT_RESULT_GRACE_SECONDS

    def redis_url_now(self) -> str:
        """Return the address of Redis as its file has it now, if there is one: it may have changed while we ran."""
        try:
            return self.redis_url if self.redis_url_file is None else _read_line(self.redis_url_file)
        except OSError:
            return self.redis_url

    def signing_key_texts(self) -> list[str]:
        """Return the signing keys as they are written, from the file if there is one. It is read anew each time."""
        if self.signing_keys_file is not None:
            return self.signing_keys_file.read_text(encoding="utf-8").split()
        return self.signing_keys.split()

    def callback_proxy_now(self) -> str:
        """Return the URL of the proxy for callbacks, from its file if there is one.

        Raises:
            OSError: if there is to be one, and is not.
        """
        return self.callback_proxy if self.callback_proxy_file is None else _read_line(self.callback_proxy_file)


def read_attempt(environment: Mapping[str, str] = os.environ) -> Attempt:
    """Read the environment.

    Raises:
        EnvironmentInvalid: if a variable is missing or wrong.
    """
    try:
        url_file = environment.get(Env.REDIS_URL_FILE)
        return Attempt(
            # In a Job the address of Redis, a secret, is in a mounted file and not in the environment.
            redis_url=_read_line(Path(url_file)) if url_file else environment[Env.REDIS_URL],
            redis_url_file=Path(url_file) if url_file else None,
            redis_min_replicas=int(environment.get(Env.REDIS_MIN_REPLICAS, 0)),
            instance=environment.get(Env.INSTANCE, DEFAULT_INSTANCE),
            task_id=environment[Env.TASK_ID],
            number=int(environment[Env.ATTEMPT]),
            token=_token(environment),
            holder=environment.get(Env.HOLDER) or secrets.token_hex(8),
            task_modules=tuple(environment.get(Env.TASK_MODULES, "").split()),
            task_path=tuple(filter(None, environment.get(Env.TASK_PATH, "").split(os.pathsep))),
            task_python=environment.get(Env.TASK_PYTHON, ""),
            result_max_bytes=int(environment.get(Env.RESULT_MAX_BYTES, DEFAULT_RESULT_MAX_BYTES)),
            signing_keys=environment.get(Env.SIGNING_KEYS, ""),
            signing_keys_file=_path(environment, Env.SIGNING_KEYS_FILE),
            callback_policy=environment.get(Env.CALLBACK_POLICY, ""),
            callback_proxy=environment.get(Env.CALLBACK_PROXY, ""),
            callback_proxy_file=_path(environment, Env.CALLBACK_PROXY_FILE),
            callback_keep_answers=environment.get(Env.CALLBACK_KEEP_ANSWERS, "all"),
            callback_ca_file=_path(environment, Env.CALLBACK_CA_FILE),
            callback_certificate_file=_path(environment, Env.CALLBACK_CERTIFICATE_FILE),
            callback_key_file=_path(environment, Env.CALLBACK_KEY_FILE),
            callback_retry_seconds=tuple(map(float, environment.get(Env.CALLBACK_RETRY_SECONDS, "").split())),
            result_grace_seconds=float(environment.get(Env.RESULT_GRACE_SECONDS, DEFAULT_RESULT_GRACE_SECONDS)),
            command=Command.from_json(environment[Env.COMMAND]) if environment.get(Env.COMMAND) else None,
        )
    except KeyError as missing:
        raise EnvironmentInvalid(f"{missing.args[0]} is not set; a runner is started by the service") from None
    except OSError as error:
        raise EnvironmentInvalid(f"{Env.REDIS_URL_FILE} cannot be read: {error}") from None
    except EnvironmentInvalid:
        raise
    except ValueError as error:
        raise EnvironmentInvalid(f"attempt, bytes, replicas and seconds are numbers: {error}") from None


def forget_secrets() -> None:
    """Take what is secret out of this process's environment, which all that a task starts inherits."""
    for name in SECRET:
        os.environ.pop(name, None)


def _token(environment: Mapping[str, str]) -> str:
    if Env.SEALED_TOKEN not in environment:
        return environment[Env.TOKEN]
    from runner.sealed import SealInvalid, unseal  # noqa: PLC0415 - in a pod alone

    keys = environment.get(Env.SIGNING_KEYS, "").split()
    file = _path(environment, Env.SIGNING_KEYS_FILE)
    try:
        if file is not None:
            keys = file.read_text(encoding="utf-8").split()
        return unseal(
            environment[Env.SEALED_TOKEN], keys, f"{environment[Env.TASK_ID]}-{int(environment[Env.ATTEMPT])}"
        )
    except OSError as error:
        raise EnvironmentInvalid(f"{Env.SIGNING_KEYS_FILE} cannot be read: {error}") from None
    except SealInvalid as error:
        raise EnvironmentInvalid(str(error)) from None


def _path(environment: Mapping[str, str], name: Env) -> Path | None:
    return Path(environment[name]) if environment.get(name) else None


def _read_line(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()
