# Homeport. `make` alone prints what there is.

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
SHELL_SCRIPTS := .ci/run scripts/setup scripts/setup-node scripts/debian-packages scripts/docker-engine scripts/base-image \
	scripts/apt-mirror scripts/wordpress-files $(wildcard stacks/*/*/*.sh)
WORKER := stacks/mailserver/email-worker
FRONT_END := frontend
NPM_RUN := .node/bin/npm run --silent --prefix
PIP_COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras \
	--allow-unsafe

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## .venv with everything in it, from the lock; done before whatever needs it
	@scripts/setup

worker: setup ## Node and its packages, then the Email Worker's dist/worker.js; done before whatever needs it
	@scripts/setup-node $(WORKER)

front-end: setup ## likewise the portal's front end, frontend/dist
	@scripts/setup-node $(FRONT_END)

client: front-end ## the front end's API client anew, after a change of the portal's routes
	@$(BIN)/homeport portal openapi > $(FRONT_END)/openapi.json
	@$(NPM_RUN) $(FRONT_END) client

run: setup front-end $(if $(EDGE),worker) ## start Homeport on 127.0.0.1, without Docker, accounts or root; EDGE=1: with its edge; DEMO=1: with a sample zone
	@$(BIN)/python scripts/run.py

check: lint types imports node-test ## the inner loop: lint, types, imports and the quick tests, in 2 minutes
	@$(PYTEST) -q -n 2 -m "not services and not slow and not stacks and not soak and not bench"

test: setup worker front-end ## every test, against real daemons; installs missing Debian packages (asks first)
	@scripts/debian-packages
	@$(BIN)/python scripts/corpora.py
	@scripts/wordpress-files
	@node=0; $(MAKE) node-test || node=$$?; $(PYTEST) -n 2 --reruns 1 -m "not stacks and not soak and not bench" && exit $$node

stacks-test: setup worker front-end ## build and boot the Compose stacks for real; installs a Docker engine if there is none (asks first)
	@scripts/docker-engine $(PYTEST) -m stacks tests/stacks tests/portal/stacks

node-test: worker front-end ## the tests of the Email Worker, in workerd, and the units of the front end
	@$(NPM_RUN) $(WORKER) test
	@$(NPM_RUN) $(FRONT_END) test

soak: setup worker ## long runs with random kills, before an issue is called done
	@scripts/debian-packages
	@$(PYTEST) -m soak --timeout=0

lint: setup worker front-end ## ruff, its format, shellcheck; oxlint for Email Worker and front end
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --quiet --check --diff
	@$(BIN)/shellcheck $(SHELL_SCRIPTS)
	@$(NPM_RUN) $(WORKER) lint
	@$(NPM_RUN) $(FRONT_END) lint

format: setup ## let ruff put the code into shape
	@$(BIN)/ruff check --quiet --fix-only
	@$(BIN)/ruff format --quiet

types: setup worker front-end ## mypy, strict; TypeScript, strict
	@$(BIN)/mypy
	@$(NPM_RUN) $(WORKER) types
	@$(NPM_RUN) $(FRONT_END) types

imports: setup ## who may import whom (.importlinter)
	@$(BIN)/lint-imports --no-logo

lock: setup ## resolve requirements/*.txt; `make lock LOCK=--upgrade` takes newer versions
	@$(PIP_COMPILE) $(LOCK) --all-extras --output-file requirements/all.txt pyproject.toml
	@for extra in mail-api portal backup; do \
		$(PIP_COMPILE) --extra $$extra --constraint requirements/all.txt \
			--output-file requirements/$$extra.txt pyproject.toml || exit 1; \
	done
	@$(PIP_COMPILE) $(LOCK) --output-file requirements/node.txt requirements/node.in

bench-mail: setup ## measure the mail path against Postfix on one Dovecot; SCAN=1: what the scanners cost
	@scripts/debian-packages
	@$(BIN)/python -m tests.bench.mail $(if $(SCAN),--scan)

bench-portal: setup front-end ## measure the portal: 200 containers watched by ten operators, a zone of 10,000 records, 500 tables, 17 sites
	@scripts/debian-packages
	@$(BIN)/python -m tests.bench.portal
	@$(BIN)/python -m tests.bench.dns
	@scripts/wordpress-files
	@$(BIN)/python -m tests.bench.databases
	@$(BIN)/python -m tests.bench.wordpress
	@$(BIN)/python -m tests.bench.first_load
	@$(BIN)/python -m tests.bench.log_view

bench-backup: setup ## measure points, restores and the vault against rsync, restic and `aws s3 sync`, on 200,000 files
	@scripts/debian-packages
	@$(BIN)/python -m tests.bench.backup

bench-edge: setup worker ## measure what a message costs the Email Worker, by size
	@$(BIN)/python -m tests.bench.edge

clean: ## remove .venv, .node and caches; var/ stays, it holds mail and keys
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .schemathesis dist
	rm -rf .node $(WORKER)/node_modules $(WORKER)/dist $(FRONT_END)/node_modules $(FRONT_END)/dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup worker front-end client run check test stacks-test node-test soak lint format types imports lock bench-mail bench-edge bench-portal clean
