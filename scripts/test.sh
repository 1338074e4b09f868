#!/bin/sh
# All tests, with coverage of branches: 95 % or more in all, 100 % in the core, which decides.
set -eu
bin=.venv/bin
$bin/coverage erase
tests() { # 5: none of them was chosen
    $bin/coverage run -m pytest "$@" || [ $? -eq 5 ]
}
tests -m 'not alone' --numprocesses 2 --dist worksteal "$@"
# What measures times has the machine for itself.
tests -m alone "$@"
# A process that a test kills leaves a data file that cannot be read: combine says so, and goes on with the others.
$bin/coverage combine --quiet || true
$bin/coverage report --include 'api/core/*' --fail-under 100
$bin/coverage report
