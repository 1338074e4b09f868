"""The settings of the service: one class, each setting with its unit in its name. Read once, in the composition root.

The same names serve as environment variables (`TASKPOST_BIND`) and as options (`taskpost serve --bind`).
`setting_forms` checks single values, `setting_rules` checks values against each other, `setting_names` knows the names,
and `setting_faults` makes the messages.
"""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003 - pydantic reads annotations at run time
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from api import setting_forms as forms
from api.defaults import default_concurrency, default_data_directory, default_executor
from api.setting_faults import explain
from api.setting_names import ENV_PREFIX, option_of, unknown_variables, value_of, variable_of
from api.setting_rules import check_together
from runner.contract import DEFAULT_INSTANCE, DEFAULT_RESULT_GRACE_SECONDS, DEFAULT_RESULT_MAX_BYTES
from runner.delivery.schedule import DELAYS_SECONDS

if TYPE_CHECKING:
    from collections.abc import Collection

LONGEST_SECONDS = 10 * 365 * 24 * 3600


class SettingsError(ValueError):
    """A setting is wrong; the message has a line for each, with its name, its value and what is allowed."""


class Settings(BaseSettings):
    """All settings of the service."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    # Where the service listens, and how it is reached.
    bind: str = Field("127.0.0.1:8000", description="Address to listen on, as host:port; port 0 takes a free one.")
    root_path: str = Field("", description="Path prefix under which a proxy serves Taskpost, e.g. /tasks.")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins that browsers may call from, separated by commas; none by default."
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Host names accepted in requests, separated by commas; unset: loopback names if bound to loopback.",
    )
    keep_alive_seconds: float = Field(
        75,
        gt=0,
        le=3600,
        description="Time that an idle connection stays open; must be longer than that of a proxy in front.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level that is logged."
    )
    log_format: Literal["json", "text"] = Field("text", description="One JSON object a line, or text for people.")

    # Redis.
    redis_url: SecretStr | None = Field(
        None, description="Redis to use: redis://, rediss://, unix:// or redis+sentinel://. Unset: an embedded Valkey."
    )
    redis_min_replicas: int = Field(
        0, ge=0, le=10, description="Replicas that must have a task or an outcome before it counts as stored."
    )
    redis_exclusive: bool = Field(
        default=False, description="Whether Taskpost alone uses this Redis, and may close connections and shut it down."
    )
    instance: str = Field(
        DEFAULT_INSTANCE, description="Name that keeps the keys of several Taskposts in one Redis apart."
    )
    data_dir: Path = Field(
        default_factory=default_data_directory,
        description="Directory of the embedded Valkey and of the local executor.",
    )

    # Attempts.
    executor: Literal["local", "kubernetes"] = Field(
        default_factory=default_executor, description="How an attempt is run: as a subprocess, or as a Kubernetes Job."
    )
    concurrency: int = Field(
        default_factory=default_concurrency,
        ge=1,
        le=10_000,
        description="Slots: attempts unfinished at a time.",
    )
    type_concurrency: Annotated[dict[str, Annotated[int, Field(ge=1)]], NoDecode] = Field(
        default_factory=dict, description="Slots of single types, as type=number separated by commas."
    )
    task_modules: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Python modules that register further task types, separated by commas."
    )
    task_types_file: Path | None = Field(
        None, description="YAML file of task types, reread when it changes: see docs/task-types.md."
    )
    task_path: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Directories to search for modules of task types, separated by ':'.",
    )
    # Attempts as Kubernetes Jobs.
    namespace: str | None = Field(
        None, description="Namespace of the Jobs; unset: that of the service's own pod, else default."
    )
    kubeconfig: Path | None = Field(
        None, description="kubeconfig file of the cluster; unset: the service account of the pod."
    )
    runner_image: str = Field("", description="Image of the Jobs' pods; needed for the kubernetes executor.")
    runner_secret: str = Field(
        "", repr=False, description="Secret with the keys redis-url and signing-keys, mounted into the Jobs' pods."
    )
    own_secrets: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        repr=False,
        description="Further Secrets of Taskpost itself, separated by commas: no task type may mount or read them.",
    )
    owner_config_map: str | None = Field(None, description="ConfigMap that owns the Jobs: they are deleted with it.")
    pod_file: Path | None = Field(None, description="JSON file with settings applied to every task pod.")

    max_attempts: int = Field(3, ge=1, le=100, description="Lost attempts after which a task fails as lost.")
    start_deadline_seconds: float = Field(600, gt=0, le=LONGEST_SECONDS, description="Time for an attempt to begin.")
    suspended_concurrency: int | None = Field(
        None,
        ge=0,
        le=10_000,
        description="Jobs that may be suspended at a time, beside the slots; unset: as many as slots.",
    )
    suspended_deadline_seconds: float = Field(
        24 * 3600, gt=0, le=LONGEST_SECONDS, description="Time that a Job may be suspended, for each suspension."
    )
    grace_seconds: float = Field(10, ge=0, le=3600, description="Time between TERM and KILL for an attempt.")
    result_grace_seconds: float = Field(
        DEFAULT_RESULT_GRACE_SECONDS,
        ge=1,
        le=3600,
        description="Time to hand over the result of a container type's program while Redis is away.",
    )
    result_max_bytes: int = Field(
        DEFAULT_RESULT_MAX_BYTES, ge=1, le=256 * 1024 * 1024, description="Largest result, as JSON text in UTF-8."
    )

    # The queue and what is kept.
    queue_max_length: int = Field(10_000, ge=1, description="Tasks that may wait; more are answered with 429.")
    queue_max_bytes: int = Field(256 * 1024 * 1024, ge=1, description="Bytes of input that may wait.")
    retention_seconds: float = Field(
        7 * 24 * 3600, gt=0, le=LONGEST_SECONDS, description="Time that ended tasks are kept."
    )
    retention_max_count: int = Field(100_000, ge=0, description="Ended tasks that are kept.")
    retention_max_bytes: int = Field(512 * 1024 * 1024, ge=0, description="Bytes of results that are kept.")

    retention_log_max_bytes: int = Field(
        64 * 1024 * 1024,
        ge=0,
        description="Bytes of what attempts have written (64 KiB of each) that are kept; 0 keeps no logs.",
    )
    undelivered_max_bytes: int = Field(
        128 * 1024 * 1024, ge=1, description="Bytes of results that may wait for delivery, for all receivers."
    )
    undelivered_max_bytes_per_receiver: int = Field(
        32 * 1024 * 1024, ge=1, description="Bytes of results that may wait for one receiver; above it, 429."
    )
    idempotency_max_keys: int = Field(
        250_000, ge=1, description="Idempotency keys that are remembered for 24 hours; more are answered with 429."
    )

    # Callbacks.
    signing_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="Keys that sign callbacks (whsec_...), separated by spaces or commas; several while they rotate.",
    )
    signing_keys_file: Path | None = Field(None, description="File with the signing keys, one a line.")
    callback_allow_loopback: bool | None = Field(
        None, description="Whether callbacks may go to loopback addresses; only while the service is bound to one."
    )
    callback_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Networks and host names that callbacks may go to; unset: all that are not denied.",
    )
    callback_deny: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Networks (10.0.0.0/8) and host names (*.example.com) that callbacks may not go to."
    )
    callback_own_names: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Names of this Taskpost, where callbacks may not go: tasks.example.com (at every port) or "
        "taskpost.ns.svc:80 (at that port, and every address it resolves to).",
    )
    callback_keep_answers: Literal["all", "public", "none"] = Field(
        "all", description="Answers of receivers that are kept and shown: public leaves out those of private addresses."
    )
    callback_proxy: SecretStr = Field(
        SecretStr(""),
        description="Proxy for callbacks, http://[user:password@]proxy:3128; that of the environment is not used.",
    )
    callback_ca_file: Path | None = Field(
        None, description="PEM file of CAs that are trusted for receivers, in addition to the public ones."
    )
    callback_certificate_file: Path | None = Field(
        None, description="PEM file of the certificate that is shown to receivers that ask for one."
    )
    callback_key_file: Path | None = Field(None, description="PEM file of that certificate's key.")
    callback_retry_seconds: Annotated[tuple[Annotated[float, Field(gt=0, le=LONGEST_SECONDS)], ...], NoDecode] = Field(
        DELAYS_SECONDS,
        description="Pauses between delivery tries, separated by commas; after the last try the delivery is dead.",
    )

    _lists_are_split = field_validator(
        "callback_allow",
        "callback_deny",
        "callback_own_names",
        "callback_retry_seconds",
        "allowed_hosts",
        "cors_origins",
        "own_secrets",
        "task_modules",
        "signing_keys",
        mode="before",
    )(forms.split_list)
    _directories_are_split = field_validator("task_path", mode="before")(forms.split_directories)
    _choices_are_lowered = field_validator(
        "log_level", "log_format", "executor", "callback_keep_answers", mode="before"
    )(forms.in_lower_case)
    _pairs_are_split = field_validator("type_concurrency", mode="before")(forms.split_pairs)
    _bind_is_checked = field_validator("bind")(forms.check_bind)
    _redis_url_is_checked = field_validator("redis_url")(forms.check_redis_url)
    _root_path_is_checked = field_validator("root_path")(forms.check_root_path)
    _origins_are_checked = field_validator("cors_origins")(forms.check_origins)
    _hosts_are_checked = field_validator("allowed_hosts")(forms.check_hosts)
    _instance_is_checked = field_validator("instance")(forms.check_instance)
    _keys_are_checked = field_validator("signing_keys")(forms.check_signing_keys)
    _networks_are_checked = field_validator("callback_allow", "callback_deny")(forms.check_rules)
    _own_names_are_checked = field_validator("callback_own_names")(forms.check_own_names)
    _proxy_is_checked = field_validator("callback_proxy")(forms.check_proxy)

    _options: frozenset[str] = PrivateAttr(frozenset())

    def __init__(self, options: Collection[str] | None = None, **values: Any) -> None:  # noqa: ANN401 - of any setting
        """`options` names the values that the user typed as options; None stands for all of them.

        Raises:
            ValidationError: if a value is not allowed.
            ValueError: if values do not go together.
        """
        super().__init__(**values)
        self._options = frozenset(values if options is None else options)
        check_together(self)

    def label(self, name: str) -> str:
        """Return what messages call a setting: its option if the user typed that, else its variable."""
        return option_of(name) if name in self._options else variable_of(name)

    @property
    def embedded(self) -> bool:
        """Whether the service brings a Valkey of its own."""
        return self.redis_url is None

    @property
    def suspended_slots(self) -> int:
        """How many attempts may be suspended; at that number, no task whose type has a suspended attempt is started."""
        return self.concurrency if self.suspended_concurrency is None else self.suspended_concurrency

    @property
    def loopback_callbacks_allowed(self) -> bool:
        """Whether a callback may go to a loopback address: only while the service itself is bound to one."""
        allowed = self.embedded if self.callback_allow_loopback is None else self.callback_allow_loopback
        return allowed and forms.is_bound_to_loopback(self.bind)


def read_settings(only: Collection[str] = (), /, *, port: str | None = None, **options: object) -> Settings:
    """Read the environment, with `options` (values from the command line) before it; `port` goes before that of `bind`.

    `only` names the settings that are read, if not all: the variables of the others are not looked at.

    Raises:
        SettingsError: if a value is not allowed, or a variable is not a setting.
    """
    given = {name: value for name, value in options.items() if value is not None and value != ""}
    others = {name: one for name, one in Settings.model_fields.items() if only and name not in given.keys() | set(only)}
    values = given | {name: one.get_default(call_default_factory=True) for name, one in others.items()}
    faults = unknown_variables(os.environ, Settings.model_fields, only)
    if port:
        default = value_of("bind", os.environ) or Settings.model_fields["bind"].default
        try:
            values["bind"] = forms.with_port(given.get("bind"), port, default)
        except ValueError as error:
            faults.append(str(error))
    try:
        settings = Settings(given.keys(), **values)
    except RuntimeError:
        faults.append("TASKPOST_DATA_DIR is not set, and this user has no home directory to put it in")
    except ValidationError as error:
        faults += explain(error, given, Settings.model_fields, os.environ)
    except ValueError as error:
        faults.append(str(error))
    if faults:
        raise SettingsError("\n".join(faults))
    return settings
