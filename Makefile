# setup: environment and wheels · up: run the platform · test · check · fix · protos · lock · clean
# Needs Python 3.11 or newer, git and make; everything else comes from wheels.
.DEFAULT_GOAL := help
.PHONY: help setup up test check fix protos lock clean

PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(shell command -v $(p))))
BIN := .venv/bin
DATA ?=
# What to test; empty: everything.
TESTS ?=

help:
	@echo "make setup | up | test | check | fix | protos | lock | clean"

setup: .venv/.ready .venv-protos/.ready

.venv/.ready: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --requirements requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

.venv-protos/.ready: protos/requirements.txt .venv/.ready
	$(PYTHON) -m venv .venv-protos
	$(BIN)/uv pip install --quiet --python .venv-protos/bin/python --requirements protos/requirements.txt
	@touch $@

up: setup
	$(BIN)/suho up --strategy bollinger

PYTEST = $(BIN)/python -m pytest $(if $(DATA),--data=$(DATA))

# Side by side; the two storms with nothing else beside them.
ALONE = tests/chaos/test_storm.py tests/chaos/test_signals.py
SOURCES = mesh hub services pc_agent cli compose bench protos/suho
# Compiled first: tests start hundreds of processes, and each would compile what it imports where caches are forbidden.
test: setup
	$(BIN)/python -m compileall -q -j 2 $(SOURCES)
ifeq ($(TESTS),)
	$(PYTEST) -n 2 --dist loadfile tests/unit tests/integration
	$(PYTEST) -n 2 --dist loadfile tests/e2e tests/chaos $(ALONE:%=--ignore=%)
	$(PYTEST) -n 2 --dist loadfile $(ALONE)
else
	$(PYTEST) $(TESTS)
endif

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd protos && ../$(BIN)/buf lint
	$(BIN)/python -m protos.generate --check

fix: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

protos: setup
	$(BIN)/python -m protos.generate

# The exact versions that were tested, for every platform that runs servers; and of those what the agent needs on
# Windows, where each must be there as a wheel.
lock: .venv/.ready
	$(BIN)/uv pip compile --quiet --universal --no-emit-index-url --no-header --no-annotate --python-version 3.11 \
	  --extra server --extra embedded --extra kafka --extra top --extra bench --group dev pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --python-platform x86_64-pc-windows-msvc --only-binary :all: --no-emit-index-url --no-header \
	  --no-annotate --python-version 3.11 --constraint requirements.lock --extra agent pyproject.toml \
	  --output-file requirements-windows.lock

clean:
	rm -rf .venv .venv-protos .pytest_cache .mypy_cache .ruff_cache
