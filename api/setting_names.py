"""The names of settings: as a variable, as an option, and those that begin like ours and are not settings. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from api.nearest import most_alike
from runner.contract import Env

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

ENV_PREFIX: Final = "TASKPOST_"
MAX_SHOWN_CHARACTERS: Final = 200
MAX_UNKNOWN: Final = 20
"""How many unknown variables are named in one message."""

_OF_KUBERNETES: Final = re.compile(
    r"TASKPOST_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""What Kubernetes sets in each pod for a Service named `taskpost` or `taskpost-...` in its namespace."""
_URL_OF_KUBERNETES: Final = re.compile(r"(?!.*_(SERVICE|TCP|UDP|SCTP)_PORT).*_PORT")
"""Of these, the one whose value is a URL, e.g. tcp://10.96.0.7:80. A number in it is an attempt to set a port."""
_OF_OTHERS: Final = re.compile(r"TASKPOST_(URL|TEST(_.*)?|E2E(_.*)?|CLUSTER(_.*)?)")
"""The variable of the client, and those of our tests and their scripts."""
_OF_RUNNERS: Final = frozenset(Env)
_OTHER_WORDS: Final = {
    "port": "bind",
    "host": "bind",
    "address": "bind",
    "listen": "bind",
    "directory": "data_dir",
    "storage": "data_dir",
    "workers": "concurrency",
    "verbose": "log_level",
    "debug": "log_level",
}
"""Words that other programs use for our settings, and that no comparison of letters would find."""


def variable_of(name: str) -> str:
    """Return the variable of a setting, e.g. TASKPOST_LOG_LEVEL."""
    return ENV_PREFIX + name.upper()


def option_of(name: str) -> str:
    """Return the option of a setting, e.g. --log-level."""
    return "--" + name.replace("_", "-")


def value_of(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the value of a setting's variable, whose name may be in lower case; an empty text counts as not set."""
    variable = variable_of(name)
    found = environ.get(variable) or next((text for key, text in environ.items() if key.upper() == variable), None)
    return found or None


def shown(value: object) -> str:
    """Return a value for messages: quoted, and at most a few lines long."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."


def unknown_variables(environ: Mapping[str, str], settings: Collection[str], only: Collection[str] = ()) -> list[str]:
    """Return a message with the nearest setting for each variable that begins like a setting but is not one.

    With `only`, a variable counts only if its nearest setting is one of these.
    """
    unknown = sorted(_unknown(environ, frozenset(map(variable_of, settings))))
    if only:
        unknown = [variable for variable in unknown if nearest(_name_of(variable), settings) in only]
    messages = [_message(variable, environ[variable], settings) for variable in unknown[:MAX_UNKNOWN]]
    more = len(unknown) - MAX_UNKNOWN
    return [*messages, *([f"{more} more variables that begin with {ENV_PREFIX} are not settings"] if more > 0 else [])]


def nearest(name: str, settings: Collection[str]) -> str:
    """Return the setting whose name is most like `name`."""
    return _OTHER_WORDS.get(name) or most_alike(name, settings)


def _unknown(environ: Mapping[str, str], variables: Collection[str]) -> Iterator[str]:
    # Whatever an attempt runs, a Taskpost under test for example, inherits the variables of its runner.
    in_an_attempt = Env.TASK_ID in environ
    for name, text in environ.items():
        variable = name.upper()
        if not variable.startswith(ENV_PREFIX) or not text or variable in variables:
            continue
        if variable == Env.TASK_ID or (in_an_attempt and variable in _OF_RUNNERS) or _OF_OTHERS.fullmatch(variable):
            continue
        if not _is_of_kubernetes(variable, text):
            yield name


def _is_of_kubernetes(variable: str, text: str) -> bool:
    is_mistaken = text.strip().isdecimal() and _URL_OF_KUBERNETES.fullmatch(variable)
    return bool(_OF_KUBERNETES.fullmatch(variable)) and not is_mistaken


def _message(variable: str, text: str, settings: Collection[str]) -> str:
    name = _name_of(variable)
    if name == "port":
        return (
            f"{variable} is {shown(text)}, and is not a setting: Kubernetes uses this name. "
            f"Set {ENV_PREFIX}BIND to host:port, e.g. 127.0.0.1:8000, or use the option --port"
        )
    return (
        f"{shown(variable)[1:-1]} is not a setting of Taskpost; the nearest is {variable_of(nearest(name, settings))}. "
        "`taskpost serve --help` lists all settings"
    )


def _name_of(variable: str) -> str:
    return variable.upper().removeprefix(ENV_PREFIX).lower()
