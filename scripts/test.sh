#!/bin/sh
# All tests, with coverage of branches: 95 % or more in all, 100 % in the core, which decides.
set -eu
bin=.venv/bin
$bin/coverage erase
$bin/coverage run -m pytest --numprocesses 2 --dist worksteal "$@"
# A process that a test kills leaves a data file that cannot be read: combine says so, and goes on with the others.
$bin/coverage combine --quiet || true
$bin/coverage report --include 'api/core/*' --fail-under 100
$bin/coverage report
