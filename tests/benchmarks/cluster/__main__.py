"""`make bench-cluster`: the budgets of the design's section 12 that need a cluster, each beside its floor.

It runs where the cluster can be reached (`tests/cluster/cluster.sh exec`). `NAME...` runs some subjects only.
"""

from __future__ import annotations

import sys

from tests.benchmarks.cluster import containers, node, scale
from tests.benchmarks.report import report

SUBJECTS = {
    "jobs": node.jobs,
    "containers": containers.rows,
    "callbacks": node.callbacks,
    "alone": node.alone,
    "memory": node.memory,
    "scale": scale.rows,
}

if __name__ == "__main__":
    sys.exit(report(SUBJECTS, sys.argv[1:]))
