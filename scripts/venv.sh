#!/bin/sh
# Make or renew .venv from a hashed lock: with the Python that PYTHON names, else with the newest here that we support.
# usage: [PYTHON=python3.11] scripts/venv.sh LOCK
set -eu
lock=$1
fewest='import sys; sys.exit(sys.version_info < (3, 11))'
version='import sys; print("%d.%d" % sys.version_info[:2])'

works() { "$1" -c "$fewest" 2>/dev/null; }
version_of() { "$1" -c "$version" 2>/dev/null; }

if [ -n "${PYTHON:-}" ]; then
    if ! works "$PYTHON"; then
        echo "PYTHON is '$PYTHON', which is not Python 3.11 or later: name another, or leave PYTHON out." >&2
        exit 1
    fi
    candidates=$PYTHON
else
    candidates='python3.14 python3.13 python3.12 python3.11 python3'
fi

usable() {
    [ -x .venv/bin/python ] && works .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1 || return 1
    [ -z "${PYTHON:-}" ] || [ "$(version_of .venv/bin/python)" = "$(version_of "$PYTHON")" ]
}

if ! usable; then
    rm -rf .venv
    without_venv=
    for python in $candidates; do
        works "$python" || continue
        echo "Making .venv with Python $(version_of "$python"). Nothing is installed outside of it."
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
echo "Installing $(grep -c '^[a-z0-9].*==' "$lock") packages of $lock into .venv: the first time takes about a minute."
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
echo "Installing Taskpost itself into .venv."
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    --editable . --editable ./client
