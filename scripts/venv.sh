#!/bin/sh
# Make or renew .venv from a hashed lock, with the newest Python here that we support.
# usage: scripts/venv.sh LOCK
set -eu
lock=$1

works() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if ! { [ -x .venv/bin/python ] && works .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; }; then
    rm -rf .venv
    without_venv=
    for python in python3.14 python3.13 python3.12 python3.11 python3; do
        works "$python" || continue
        if "$python" -m venv .venv >/dev/null 2>&1; then
            without_venv=
            break
        fi
        without_venv=$python
        rm -rf .venv
    done
    if [ -n "$without_venv" ]; then
        echo "$without_venv cannot make a virtual environment: its venv module is missing or incomplete." >&2
        echo "On Debian and Ubuntu: apt-get install python3-venv (or ${without_venv##*/}-venv), then try again." >&2
        exit 1
    fi
    if [ ! -x .venv/bin/python ]; then
        echo "Taskpost needs Python 3.11 or later; tried python3.14, 3.13, 3.12, 3.11 and python3." >&2
        echo "On Debian and Ubuntu: apt-get install python3 python3-venv, then try again." >&2
        exit 1
    fi
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    --editable . --editable ./client
