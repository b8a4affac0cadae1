# Starts from a machine with Python 3.11 or newer, make and git. Everything it makes lies in this folder, but for
# what `make peers` installs. Packages come from wherever the user's pip is configured to take them.

SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.SUFFIXES:
.PHONY: help demo test test-server check lint types layers fresh peers bench lab docs clean python

# The first of these that is new enough; `make PYTHON=/path/to/python …` overrules it.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
# So many files of tests run at once; tests of one file run one after the other. Most wait, hence one more than
# two cores would take. Long files come first (tests/conftest.py).
WORKERS ?= 3
CORE := $(VENV)/ots-core.stamp
DEV := $(VENV)/ots-dev.stamp
UNFINISHED := $(VENV)/ots-unfinished
ENVIRONMENT := setup.cfg pyproject.toml Makefile

help: ## Says what there is
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(CORE) ## Measures against test peers on this machine, and shows the report here and on a cloud server
	@$(BIN)/ots demo

test: $(DEV) check ## Checks, installs foreign programs where it may, and runs all tests
	@$(BIN)/python -m tests.peers.install --auto
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-server: $(DEV) ## Runs the cloud server's tests on SQLite, on PostgreSQL, and with two processes on PostgreSQL
	@failed=; for database in sqlite postgresql postgresql-2; do \
		echo "OTS_TEST_DATABASE=$$database"; OTS_TEST_DATABASE=$$database $(BIN)/python -m pytest -m server \
		-n $(WORKERS) --dist loadfile --no-loadscope-reorder || failed="$$failed $$database"; done; \
		test -z "$$failed" || { echo "failed on$$failed" >&2; exit 1; }

check: lint types layers fresh ## Lint, format, types, layers, freshness of what is generated

lint: $(DEV)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

types: $(DEV)
	@$(BIN)/mypy --no-error-summary

layers: $(DEV)
	@$(BIN)/lint-imports --no-logo 2>&1 | tail -n 4; exit $${PIPESTATUS[0]}

fresh: $(DEV)
	@$(BIN)/python -m docs.generator --check

peers: $(DEV) ## Installs, as root, the foreign programs that the tests measure against
	@$(BIN)/python -m tests.peers.install

bench: $(DEV) ## Measures beside peers, in turns, and writes docs/performance.md
	@$(BIN)/python -m bench --write

lab: $(DEV) ## Holds OTS, as root, against links whose properties are known, and writes docs/accuracy.md
	@$(BIN)/python -m tests.peers.install
	@$(BIN)/python -m tests.lab --write

docs: $(DEV) ## Writes the generated parts anew: reference tables, command index, schemas
	@$(BIN)/python -m docs.generator

clean: ## Removes all that the other targets made here
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache \
		.hypothesis .coverage
	@find ots probes reports cases tests docs bench -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment ------------------------------------------------------------------------------------------

# What a pip that was killed leaves behind looks installed to the next one, so such an environment is made anew.
define install
@test ! -e $(UNFINISHED) || rm -rf $(VENV)
@mkdir -p $(VENV) && touch $(UNFINISHED)
@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
@$(1); code=$$?; test $$code -gt 128 || rm -f $(UNFINISHED); exit $$code
endef

$(CORE): $(ENVIRONMENT) | python
	@echo "installing OTS and its server into $(VENV)"
	$(call install,$(PIP) install -e '.[server]' || { echo "without the cloud server: see above"; $(PIP) install -e .; })
	@touch $@

$(DEV): $(ENVIRONMENT) | python
	@echo "installing OTS and what its tests need into $(VENV)"
	$(call install,$(PIP) install -e '.[dev]')
	@touch $(CORE) $@

python:
	@test -n "$(PYTHON)" || { echo "OTS needs Python 3.11 or newer; there is $$(python3 -V 2>&1 || echo none)." \
		"Install one, or say make PYTHON=/path/to/python3.12 …" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv." \
		"On Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
