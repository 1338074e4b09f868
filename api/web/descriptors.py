"""How many connections the descriptors of this process allow, beside everything else that needs descriptors."""

from __future__ import annotations

import resource
from typing import Final

MOST_DESCRIPTORS: Final = 65_536
MOST_CONNECTIONS: Final = 10_000
LEAST_CONNECTIONS: Final = 16
OTHERS: Final = 600
"""Deliveries in flight (400), connections to Redis and the API server, files."""
EACH_ATTEMPT: Final = 8
"""Pipes, files and locks of an attempt that runs as a process of this machine."""


def raise_descriptors() -> int:
    """Raise the soft limit of this process to its hard limit; return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def connections_for(descriptors: int, processes: int) -> int:
    """Return how many connections may be open; at least half of the descriptors is left if they are few."""
    others = min(OTHERS + EACH_ATTEMPT * processes, descriptors // 2)
    return max(LEAST_CONNECTIONS, min(descriptors - others, MOST_CONNECTIONS))
