"""Opens the HTTP client of a service, with the proxies and certificates that the environment names."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import TYPE_CHECKING, Final
from urllib.request import proxy_bypass

import httpx

from taskpost.errors import EnvironmentInvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

# A proxy in the environment is for the world outside: it cannot know our loopback.
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_DIRECT: Final = {f"all://[{host}]" if ":" in host else f"all://{host}": None for host in LOOPBACK}
_PROXIES: Final = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
_CERTIFICATES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def open_client(url: httpx.URL, timeout_seconds: float) -> httpx.Client:
    """Return a client of the service at `url`.

    Raises:
        EnvironmentInvalidError: if a proxy or a certificate that the environment names cannot be used.
    """
    try:
        return _client(url, timeout_seconds, trust_env=True)
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        if url.host in LOOPBACK or proxy_bypass(url.host):  # no proxy is needed
            return _client(url, timeout_seconds, trust_env=False)
        raise EnvironmentInvalidError(
            f"A proxy of the environment cannot be used: {error}. Set {_given(_PROXIES)} to http://host:port, "
            f"https://host:port or socks5://host:port, or name {url.host} in NO_PROXY"
        ) from error
    except OSError as error:
        raise EnvironmentInvalidError(f"{_given(_CERTIFICATES)} cannot be read: {error}") from error


def _client(url: httpx.URL, timeout_seconds: float, *, trust_env: bool) -> httpx.Client:
    return httpx.Client(
        base_url=url,
        timeout=timeout_seconds,
        headers={"User-Agent": f"taskpost-python/{version('taskpost')}"},
        mounts=_DIRECT,
        trust_env=trust_env,
    )


def _given(names: tuple[str, ...], environment: Mapping[str, str] = os.environ) -> str:
    """Return the variables that are set, in the case in which they are set."""
    found = [spelled for name in names for spelled in (name, name.lower()) if environment.get(spelled)]
    return " and ".join(found) or names[0]
