#!/bin/sh
# Resolve the hashed locks from the ranges in pyproject.toml. They name no registry, and need only pip to install.
set -eu
lock() {
    .venv/bin/uv pip compile --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
        --python-version 3.11 --no-emit-package taskpost --quiet "$@"
}
projects="pyproject.toml client/pyproject.toml requirements/build.in"
# shellcheck disable=SC2086 # a list of paths
lock --upgrade --extra service $projects --output-file requirements/service.lock
# What the image of the runner holds: the same versions as the service has.
lock --upgrade --extra image pyproject.toml --constraint requirements/service.lock --output-file requirements/runner.lock
# shellcheck disable=SC2086
lock --upgrade --extra service --group dev $projects --constraint requirements/service.lock --output-file requirements/dev.lock
