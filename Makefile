# Everything a person does with this repository. `make` alone lists it.
# Needs Python 3.11 or newer with venv, and make; all else is installed into .venv from the hash-pinned lock files.

PYTHON ?= $(shell for one in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$one -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$one; exit; }; done; echo python3)
UV ?= uv
BIN := .venv/bin
# One lock for every platform and Python from 3.11 on, without the address of any index.
COMPILE := pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url pyproject.toml
# Container images often forbid Python to keep what it compiled; each process would then compile everything again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help run test check lint tests test-heavy test-nightly mutate tour bench bench-withdrawal openapi lock environment dev-environment python
.DEFAULT_GOAL := help

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: environment ## Start everything: database, demo region, service on http://127.0.0.1:8000 (PORT overrides)
	@$(BIN)/python -m app.cli demo --with-parent

test: dev-environment ## Run everything that must hold: style, types, imports, tests on a real PostgreSQL
	@$(MAKE) --no-print-directory --jobs=2 lint tests

check: dev-environment ## Format, then everything that test runs: what to do before each commit
	@$(BIN)/python -m ruff format .
	@$(MAKE) --no-print-directory test

tour: environment ## Walk through the story against a fresh instance, over real HTTP and WebSocket
	@$(BIN)/python -m tests.tour

bench: dev-environment ## Measure a fresh instance: room test, fan-out, memory, beside its floors
	@$(BIN)/python -m bench

bench-withdrawal: dev-environment ## Withdraw under load on two workers: no frame late, and how soon it is silent
	@$(BIN)/python -m bench.withdrawal

openapi: environment ## Write openapi/openapi.json again from the code
	@$(BIN)/python -m app.cli openapi

test-heavy: dev-environment ## Run what holds a change back but takes long: whole instances, killed processes, long walks
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m heavy

test-nightly: dev-environment test-heavy ## Run the long random tests as well
	@$(BIN)/python -m pytest -m nightly

mutate: dev-environment ## Change the rules of access one by one, and see that a test notices each change
	@nice -n 5 $(BIN)/python -m tests.mutation

lock: ## Pin newer versions in the lock files (needs uv)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv; install it with: pip install uv"; exit 1; }
	$(UV) $(COMPILE) --output-file requirements.lock
	$(UV) $(COMPILE) --group dev --constraint requirements.lock --output-file requirements-dev.lock

lint: dev-environment
	@echo "== ruff" && $(BIN)/python -m ruff check . && $(BIN)/python -m ruff format --check .
	@echo "== mypy" && $(BIN)/python -m mypy --strict app tests
	@echo "== import-linter" && $(BIN)/python -c "from importlinter.cli import lint_imports_command as lint; lint()"

# Neighbours stay with one worker, so that it makes what they share once.
tests: dev-environment
	@echo "== pytest" && $(BIN)/python -m pytest -n 4 --dist worksteal -m "not nightly and not heavy"

environment: python
	@$(PYTHON) deploy/environment.py requirements.lock

# The development lock holds the run-time one as well.
dev-environment: python
	@$(PYTHON) deploy/environment.py requirements-dev.lock

python:
	@command -v $(PYTHON) >/dev/null || \
		{ echo "Python 3.11 or newer is needed; install it with: apt-get install python3 python3-venv"; exit 1; }
