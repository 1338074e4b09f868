#!/bin/sh
# Tests through the public API and kubectl, on the cluster of `make cluster`. What stops parts of the cluster comes last, alone.
# usage: scripts/e2e.sh [PYTEST_OPTIONS]
# With TASKPOST_E2E_AGAIN=1 what failed is tried once more; it is said so, and what was collected of it stays.
set -eu
pytest() {
    TASKPOST_E2E=${TASKPOST_E2E:-1} tests/cluster/cluster.sh exec \
        .venv/bin/pytest tests/e2e --timeout 900 --log-level WARNING --quiet "$@"
}
tried() {
    pytest "$@" && return
    [ "${TASKPOST_E2E_AGAIN:-0}" = 1 ] || return 1
    echo 'FLAKY OR BROKEN: what failed is tried once more'
    pytest --last-failed --last-failed-no-failures none "$@"
}
tests/cluster/cluster.sh volumes
tests/cluster/cluster.sh kueue
tried -m 'not serial' --numprocesses 3 --dist loadfile "$@"
tried -m serial --capture no "$@"
