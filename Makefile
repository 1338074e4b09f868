# Everything a newcomer types. `make` alone lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
# Which Python .venv is made with, for example python3.11; the newest here if it is empty.
PYTHON ?=
export PYTHON

.PHONY: help venv venv-dev demo run test proof lint format bench lock zip clean cluster cluster-down images kind-demo e2e bench-cluster

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

venv: .venv/service ## make .venv with what running needs, .venv/bin/taskpost among it
venv-dev: .venv/dev ## the same with what testing needs

.venv/service: requirements/service.lock pyproject.toml client/pyproject.toml
	@sh scripts/venv.sh requirements/service.lock
	@touch $@

.venv/dev: requirements/dev.lock pyproject.toml client/pyproject.toml
	@sh scripts/venv.sh requirements/dev.lock
	@touch .venv/service $@

# A .venv of another Python than PYTHON is made anew.
ifneq ($(PYTHON),)
OF := -c 'import sys; print(sys.version_info[:2])'
ifneq ($(shell $(PYTHON) $(OF) 2>&1),$(if $(wildcard $(BIN)/python),$(shell $(BIN)/python $(OF) 2>&1)))
.PHONY: .venv/service .venv/dev
endif
endif

demo: .venv/service ## run one task of each type end to end and show the signed callbacks
	@$(BIN)/taskpost demo

run: .venv/service ## start the service on 127.0.0.1:8000 with an embedded Valkey
	@$(BIN)/taskpost serve

test: .venv/dev ## unit, conformance and integration tests, with coverage
	@sh scripts/test.sh

proof: .venv/dev ## 1,000 tasks while the service is killed, 500 with receivers that refuse or hang: every callback arrives
	@$(BIN)/python -m tests.proof.kill_in_the_middle
	@$(BIN)/python -m tests.proof.deliveries

lint: .venv/dev ## ruff, mypy, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: .venv/dev ## let ruff put the code in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: .venv/dev ## the budgets, each beside its floor measured in the same run
	@$(BIN)/python -m tests.benchmarks

cluster: ## a Kubernetes for tests, with our images: kind, or without Docker a node of our own
	@tests/cluster/cluster.sh up

cluster-down: ## end it
	@tests/cluster/cluster.sh down

e2e: .venv/dev cluster ## the chart installed on the cluster as a user would, and everything around it killed: about ten minutes
	@sh scripts/e2e.sh

bench-cluster: .venv/dev cluster ## the budgets that need a cluster, and 2,000 tasks on nodes that only pretend
	@tests/cluster/cluster.sh exec $(BIN)/python -m tests.benchmarks.cluster

images: ## build localhost/taskpost-api, -runner and -valkey, by Docker or buildah
	@tests/cluster/images.sh

kind-demo: ## with Docker and kind: create a cluster, build, load, install by Helm, run a task
	@tests/cluster/kind-demo.sh

lock: .venv/dev ## resolve the hashed locks anew from the ranges in pyproject.toml
	@sh scripts/lock.sh

zip: ## the tracked files as taskpost.zip
	@git archive --format=zip --prefix=taskpost/ --output=taskpost.zip HEAD
	@echo taskpost.zip

clean: ## remove what the targets above have made
	@rm -rf .venv taskpost.zip .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*
