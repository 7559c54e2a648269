# Ten targets at most, each one something a person wants. Environments are made when they are first needed and made
# again when their lock changes. `.ci/run` calls these same targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check bench faults docs recordings lock clean

# The first interpreter that is new enough; `make PYTHON=python3.13 …` overrides it.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)

# Byte code is worth having: some machines switch it off, and then every start compiles the whole product.
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_NO_INPUT = 1

UV_VERSION := 0.13.9
PRODUCT := .venv/bin
TOOLS := .venv-test/bin

# Hashes are required and nothing is compiled here: a package without a wheel for this machine is a clear error at once.
# The locks are whole, so pip looks for nothing beyond them: an older pip takes a newer release of an extra for a missing pin.
INSTALL := -m pip install --quiet --require-hashes --only-binary :all: --no-deps --requirement
# The project itself, built by the locked build backend: no download, no isolated environment.
LINK := -m pip install --quiet --no-build-isolation --no-deps --no-index --editable .

help: ## what can be done here
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/linked ## set up .venv and start the server with its embedded models (ARGS="--port 9000")
	@exec $(PRODUCT)/inferway serve --data-dir .inferway $(ARGS)

test: .venv-test/linked ## set up .venv-test and run the tests (ARGS="-k words"); says at the end what was left out
	@$(TOOLS)/python -m pytest -n logical --maxprocesses 4 --dist loadfile $(ARGS)

check: .venv-test/linked ## lint, format, strict types, architecture
	$(TOOLS)/ruff check .
	$(TOOLS)/ruff format --check .
	$(TOOLS)/mypy
	$(TOOLS)/python -m pytest -q tests/unit/test_architecture.py

bench: .venv-test/linked ## measure the gateway against its floor on this machine
	@$(TOOLS)/python -m bench $(ARGS)

faults: .venv-test/linked ## break things on purpose and write the scorecard of docs/faults.md (ARGS=--short, --long, "--only NAME")
	@$(TOOLS)/python -m tests.faults $(ARGS)

docs: .venv-test/linked .venv-docs/packages ## write the generated tables of docs/ anew and build the site into build/docs
	@$(TOOLS)/python -m docs.generator
	@.venv-docs/bin/python -m docs.generator.site build/docs-sources
	@.venv-docs/bin/python -m sphinx -q -W --keep-going -b html -c docs/site build/docs-sources build/docs
	@echo "The site: build/docs/index.html"

recordings: .venv-test/linked ## replay recorded provider exchanges (INFERWAY_TEST_RECORDINGS=folder)
	@: "$${INFERWAY_TEST_RECORDINGS:?set it to the folder that holds the recorded exchanges}"
	@$(TOOLS)/python -m pytest -m recordings $(ARGS)

lock: .venv-lock/ready ## resolve requirements/*.txt anew (UPGRADE=--upgrade takes the newest of everything)
	@UV=.venv-lock/bin/uv UPGRADE=$(UPGRADE) requirements/lock.sh

clean: ## remove environments and caches; data folders stay
	rm -rf .prices-peer .venv .venv-test .venv-docs .venv-schemathesis .venv-other .venv-lock .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

define make_venv
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or say make PYTHON=/path/to/python3"; exit 1; }
	@echo "Setting up $(@D) with $$($(PYTHON) --version) (once, about a minute) ..."
	@$(PYTHON) -m venv --clear $(@D) || { echo "On Debian and Ubuntu: apt install python3-venv"; exit 1; }
endef

.venv/packages: requirements/product.txt requirements/core.txt
	$(make_venv)
	@.venv/bin/python $(INSTALL) requirements/product.txt || { \
		echo "The engines of the embedded models (extra 'local') do not install on this platform: see the lines above."; \
		echo "Going on with the core: providers with a key work, embedded models do not."; \
		.venv/bin/python $(INSTALL) requirements/core.txt; }
	@touch $@

.venv-test/packages .venv-docs/packages .venv-schemathesis/packages: .venv-%/packages: requirements/%.txt
	$(make_venv)
	@.venv-$*/bin/python $(INSTALL) requirements/$*.txt
	@touch $@

.venv/linked .venv-test/linked: %/linked: %/packages pyproject.toml
	@$*/bin/python $(LINK)
	@touch $@

.venv-lock/ready: Makefile
	$(make_venv)
	@.venv-lock/bin/python -m pip install --quiet --only-binary :all: uv==$(UV_VERSION)
	@touch $@
