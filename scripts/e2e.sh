#!/bin/sh
# Tests through the public API and kubectl, on the cluster of `make cluster`. What stops parts of the cluster comes last, alone.
# usage: scripts/e2e.sh [PYTEST_OPTIONS]
set -eu
pytest() {
    TASKPOST_E2E=${TASKPOST_E2E:-1} tests/cluster/cluster.sh exec \
        .venv/bin/pytest tests/e2e --timeout 900 --log-level WARNING --quiet "$@"
}
tests/cluster/cluster.sh volumes
pytest -m 'not serial' --numprocesses 3 --dist loadfile "$@"
pytest -m serial --capture no "$@"
