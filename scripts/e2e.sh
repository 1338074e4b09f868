#!/bin/sh
# Tests through the public API and kubectl, on the cluster of `make cluster`. What stops parts of the cluster runs alone, then those with Kueue.
# usage: scripts/e2e.sh [PYTEST_OPTIONS]
# With TASKPOST_E2E_AGAIN=1 what failed is tried once more; it is said so, and what was collected of it stays.
set -eu
pytest() {
    tests/cluster/cluster.sh volumes || return # frees what earlier tests released
    TASKPOST_E2E=${TASKPOST_E2E:-1} tests/cluster/cluster.sh exec \
        .venv/bin/pytest tests/e2e --timeout 900 --log-level WARNING --quiet "$@"
}
tried() {
    pytest "$@" && return
    [ "${TASKPOST_E2E_AGAIN:-0}" = 1 ] || return 1
    echo 'FLAKY OR BROKEN: what failed is tried once more'
    pytest --last-failed --last-failed-no-failures none "$@"
}
tried -m 'not serial and not kueue' --numprocesses 3 --dist loadfile "$@"
tried -m serial --capture no "$@"
# Kueue has a say in every Job of the cluster, so it is there for its own tests only.
tests/cluster/cluster.sh kueue
status=0
tried -m kueue "$@" || status=$?
tests/cluster/cluster.sh kueue-down
exit "$status"
