"""Calls to the API server: the only I/O of this executor. The `kubernetes` package is imported at the first use."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode, urlsplit

from api.executors.kubernetes.faults import NOT_CONNECTED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from kubernetes.aio.client import ApiClient, Configuration

    from api.executors.kubernetes.seen import Object

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
HTTPS_PORT: Final = 443
CALL_SECONDS: Final = 10.0
CREATE_SECONDS: Final = 15.0
"""Longer than an API server waits for an admission webhook by default: else its answer about that is never heard."""
CONNECT_SECONDS: Final = 3.0
PAGE: Final = 500
MOST_PAGES: Final = 100
GONE: Final = 410
LOG_SECONDS: Final = 3.0
"""How long the log of a pod may take: the end of its attempt waits for it."""
LOG_KEPT_BYTES: Final = 128 * 1024
WATCH_SECONDS: Final = 30
"""How long a watch lasts before it is asked for again: a connection that has died in silence is noticed by then."""
SILENCE_SECONDS: Final = 10.0
"""How long after that the client gives a watch up."""
GROUPS: Final = {"jobs": "/apis/batch/v1", "pods": "/api/v1", "events": "/api/v1", "configmaps": "/api/v1"}
RESOURCES: Final = {"admissions": "events"}
"""The resource of a kind of ours that covers only some of its objects."""


class ClusterUnusable(ValueError):  # noqa: N818 - reads as what it says
    """Nothing here says how to reach a cluster, or what does is wrong."""


class ApiError(Exception):
    """The API server refused a call, or (status 0) did not answer."""

    def __init__(self, status: int, reason: str, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Access:
    """Where the cluster is: a kubeconfig, or None for the service account of the pod we run in."""

    namespace: str
    kubeconfig: Path | None = None
    service_account: Path = SERVICE_ACCOUNT


def own_namespace(service_account: Path = SERVICE_ACCOUNT) -> str:
    """Return the namespace of the pod that we run in, or `default`."""
    try:
        return (service_account / "namespace").read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"


class Cluster:
    """The Jobs, pods and Events of one namespace, as raw objects. Every method raises `ApiError`."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._api: ApiClient | None = None

    async def open(self) -> None:
        """Read how the cluster is reached, once. Makes no call yet.

        Raises:
            ClusterUnusable: if nothing says how.
        """
        if self._api is not None:
            return
        from kubernetes.aio.client import ApiClient, Configuration  # noqa: PLC0415 - half a second, for those who need it
        from kubernetes.aio.config import ConfigException, load_kube_config  # noqa: PLC0415

        configuration = Configuration()
        try:
            if self._access.kubeconfig is None:
                _use_service_account(configuration, self._access.service_account)
            else:
                await load_kube_config(str(self._access.kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
            # A proxy of the environment is for the world outside: the API server is never reached through it.
            configuration.client_session_kwargs = {"trust_env": False}
            configuration.retries = None
            api = ApiClient(configuration)
            _check_address(configuration.host)
        except ClusterUnusable:
            raise
        except (ConfigException, OSError, KeyError) as error:
            raise ClusterUnusable(f"No way to a Kubernetes cluster is known: {error}") from None
        except Exception as error:  # noqa: BLE001 - files of others, read by libraries: anything may be wrong
            where = self._access.kubeconfig or self._access.service_account
            raise ClusterUnusable(f"{where} cannot be used: {type(error).__name__}: {error}") from None
        self._api = api

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of the API server, None before `open`."""
        if self._api is None:
            return None
        parts = urlsplit(self._api.configuration.host)
        return parts.hostname or "", parts.port or HTTPS_PORT

    async def close(self) -> None:
        """Close all connections."""
        if self._api is not None:
            await self._api.close()  # type: ignore[no-untyped-call]

    async def list(self, kind: str, **query: str) -> Object:
        """Return the list of all objects of a kind that match, asked for page by page.

        It is as of now, unless `resourceVersion` asks for less: at "0" for what the API server has in its cache.
        """
        page = await self._page(kind, query)
        items = list(page.get("items") or ())
        for _ in range(MOST_PAGES):
            following = (page.get("metadata") or {}).get("continue")
            if not following:
                return page | {"items": items}
            try:
                page = await self._page(kind, query | {"continue": str(following)})
            except ApiError as error:
                if error.status != GONE:
                    raise
                # The pages took so long that their version has expired: list all at once, as API servers advise.
                return await self._call("GET", self._path(kind, None, query))
            items += page.get("items") or ()
        raise ApiError(0, "TooLong", f"the list of {kind} does not end: more than {MOST_PAGES} pages")

    async def _page(self, kind: str, query: dict[str, str]) -> Object:
        if "continue" in query:  # the version is in it
            query = {name: value for name, value in query.items() if name != "resourceVersion"}
        return await self._call("GET", self._path(kind, None, query | {"limit": str(PAGE)}))

    async def get(self, kind: str, name: str) -> Object:
        """Return one object."""
        return await self._call("GET", self._path(kind, name))

    async def create(self, kind: str, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object; return it as it now is. With `dry_run` everything is checked, and nothing is stored."""
        query = {"dryRun": "All"} if dry_run else None
        return await self._call("POST", self._path(kind, None, query), body, CREATE_SECONDS)

    async def delete(self, kind: str, name: str, uid: str, *, grace_seconds: int | None = None) -> None:
        """Delete an object, and in the background what it owns, if it is still the one that we mean.

        `grace_seconds` are for a pod that is to have less than it says.
        """
        options: Object = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        await self._call("DELETE", self._path(kind, name), options)

    async def watch(self, kind: str, version: str, **query: str) -> AsyncIterator[tuple[str, Object]]:
        """Yield changes after a version as (type, object), bookmarks too, until the watch's time is over."""
        query |= {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        response = await self._request("GET", self._path(kind, None, query), None, WATCH_SECONDS + SILENCE_SECONDS)
        with _translated():
            try:
                while line := await response.content.readline():
                    event = json.loads(line)
                    raw = event["object"]
                    if event["type"] == "ERROR":
                        raise ApiError(raw.get("code", 0), raw.get("reason", ""), raw.get("message", ""))
                    yield event["type"], raw
            finally:
                response.close()

    async def read_log(self, pod: str, container: str, lines: int, most_bytes: int) -> tuple[bytes, bool] | None:
        """Return the end of the last `lines` lines that a container has written, and whether there was more before it.

        None if they are more than `most_bytes` long, so that their end was not read.
        """
        query = {"container": container, "tailLines": str(lines)}
        path = f"{self._path('pods', pod)}/log?{urlencode(query)}"
        response = await self._request("GET", path, None, LOG_SECONDS)
        end, read, line_ends = bytearray(), 0, 0
        with _translated():
            try:
                async for chunk in response.content.iter_any():
                    end += chunk
                    read, line_ends = read + len(chunk), line_ends + chunk.count(b"\n")
                    del end[:-LOG_KEPT_BYTES]
                    if read > most_bytes:
                        return None
            finally:
                response.close()
        return bytes(end), read > len(end) or line_ends >= lines

    def _path(self, kind: str, name: str | None, query: dict[str, str] | None = None) -> str:
        resource = RESOURCES.get(kind, kind)
        path = f"{GROUPS[resource]}/namespaces/{quote(self._access.namespace)}/{resource}"
        return path + (f"/{quote(name)}" if name else "") + (f"?{urlencode(query)}" if query else "")

    async def _call(self, method: str, path: str, body: Object | None = None, seconds: float = CALL_SECONDS) -> Object:
        response = await self._request(method, path, body, seconds)
        with _translated():
            found = json.loads(await response.read())
            if not isinstance(found, dict):
                raise ValueError("its answer is not a Kubernetes object")  # noqa: TRY004 - a fault of the network
        return found

    async def _request(self, method: str, path: str, body: Object | None, seconds: float) -> Any:  # noqa: ANN401 - aiohttp's
        from aiohttp import ClientTimeout  # noqa: PLC0415

        if self._api is None:
            raise ApiError(0, "NotOpen", "the connection to the API server is not open")
        with _translated():
            configuration = self._api.configuration
            login = (await configuration.auth_settings()).get("BearerToken")
            headers = {"Accept": "application/json", "User-Agent": "taskpost"}
            answer = await self._api.rest_client.request(  # type: ignore[no-untyped-call]
                method,
                configuration.host + path,
                headers=headers if login is None else headers | {"Authorization": str(login["value"])},
                body=body,
                _request_timeout=ClientTimeout(total=seconds, connect=CONNECT_SECONDS),
            )
            if answer.status >= 400:  # noqa: PLR2004 - HTTP's border between good and bad
                raise _error(answer.status, answer.headers.get("Retry-After"), await answer.read())
        return answer.response


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ClusterUnusable(f"The address of the API server is {url!r}: expected https://host:port")


def _error(status: int, retry_after: str | None, body: bytes) -> ApiError:
    try:
        told = json.loads(body)
        reason, message = str(told.get("reason", "")), str(told.get("message", ""))
    except (ValueError, AttributeError):
        reason, message = "", body.decode(errors="replace")[:500]
    seconds = float(retry_after) if retry_after and retry_after.isdecimal() else None
    return ApiError(status, reason, message or f"the API server answered {status}", seconds)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn faults of the network into an `ApiError` of status 0, with a reason of its own if no request was sent."""
    from aiohttp import ClientConnectorError, ClientError, ConnectionTimeoutError  # noqa: PLC0415

    try:
        yield
    except (ClientConnectorError, ConnectionTimeoutError) as error:
        text = str(error) or type(error).__name__
        raise ApiError(0, NOT_CONNECTED, f"the API server does not answer: {text}") from None
    except (ClientError, OSError, TimeoutError, ValueError) as error:
        text = str(error) or type(error).__name__
        raise ApiError(0, "Unreachable", f"the API server does not answer: {text}") from None


def _use_service_account(configuration: Configuration, directory: Path) -> None:
    """Use the token that is mounted into our pod, read anew for each call: it is replaced while we run."""
    from kubernetes.aio.config.incluster_config import InClusterConfigLoader  # noqa: PLC0415

    token, certificate = directory / "token", directory / "ca.crt"
    loader: Any = InClusterConfigLoader
    loader(str(token), str(certificate), try_refresh_token=False).load_and_set(configuration)

    def read_token(current: Configuration) -> None:
        current.api_key["BearerToken"] = f"Bearer {token.read_text(encoding='utf-8').strip()}"

    configuration.refresh_api_key_hook = read_token  # type: ignore[assignment]
