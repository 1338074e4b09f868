"""The ConfigMap that owns the Jobs. Jobs deleted together with it count as lost, not as cancelled by a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.executors.kubernetes.client import ApiError
from api.executors.kubernetes.faults import NOT_FOUND, SERVER_ERROR, TOO_MANY, UNREACHABLE
from api.executors.kubernetes.template import Owner

if TYPE_CHECKING:
    from api.executors.kubernetes.client import Cluster


class OwnerConfigMap:
    """Looks the owner up once, and again when it was deleted. Without a name nothing owns the Jobs."""

    def __init__(self, cluster: Cluster, name: str | None) -> None:
        self._cluster = cluster
        self._name = name
        self._known: Owner | None = None

    @property
    def is_known(self) -> bool:
        """Whether Jobs that were started have an owner."""
        return self._known is not None

    async def get(self) -> Owner | None:
        """Return the owner of what is started now.

        Raises:
            ApiError: if it cannot be looked up.
        """
        if self._name is not None and self._known is None:
            found = await self._cluster.get("configmaps", self._name)
            self._known = Owner(self._name, found["metadata"]["uid"])
        return self._known

    async def is_gone(self) -> bool | None:
        """Return whether the owner was deleted, or None if the API server does not answer.

        If it was, what is started from now on belongs to the next one, if there is one.
        """
        if self._known is None:
            return False
        try:
            found = await self._cluster.get("configmaps", self._known.name)
        except ApiError as error:
            if error.status in {UNREACHABLE, TOO_MANY} or error.status >= SERVER_ERROR:
                return None
            gone = error.status == NOT_FOUND
        else:
            metadata = found.get("metadata") or {}
            gone = metadata.get("uid") != self._known.uid or "deletionTimestamp" in metadata
        if gone:
            self._known = None
        return gone
