# One command per habit. Each sets up what it needs; the second time there is nothing left to set up.
#
#   make up       set up, serve SmolLM2 on this machine and get one real answer
#   make down     stop it again
#   make test     the default tests, with the real small model
#   make lint     format, lint, types, layers, rendered files
#   make test-host   tests on booted systemd hosts, with Prometheus and in a browser (root, nspawn)
#   make screenshot  the dashboard's picture in the README, from real servers
#   make docs     the documentation as a site that needs no network, into site/
#   make diagrams the pictures of its diagrams, after one has changed (npm, chromium)
#   make release  sdist, wheel and the tag's message, into dist/; uploads nothing
#   make coverage the operator's side by branch, in every process that its tests start, also on test hosts: 40 minutes
#   make mutation what must not be wrong by one, changed by one: an hour
#   make numbers  sizes, import times, lines, the tests' duration
#   make bench    the quick benchmarks; docs/benchmarks.md has the figures and the longer ones

SHELL   := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
STACK   ?= examples/first-light/stack.yaml
SMOLLM2 := .cache/models/SmolLM2-135M-Instruct.Q4_1.gguf
PIP     := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: up down test test-host screenshot lint format docs diagrams release coverage mutation numbers bench lock clean test-tools host-tools
.DEFAULT_GOAL := up

up: $(VENV)/.base
	@$(BIN)/genesis-stack apply $(STACK)
	@$(BIN)/genesis-stack chat --message "In one sentence: why is the sky blue?"

down: $(VENV)/.base
	@$(BIN)/genesis-stack down

test: $(VENV)/.dev test-tools
	$(BIN)/python -m pytest

test-host: $(VENV)/.dev host-tools
	$(BIN)/python -m pytest -m "host or prometheus or browser or embedded" --timeout 600

screenshot: $(VENV)/.dev host-tools
	PYTHONPATH=tests $(BIN)/python -m dashboard.screenshot docs/images/dashboard.png

lint: $(VENV)/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/genesis-stack render --check

format: $(VENV)/.dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: $(VENV)/.dev
	$(BIN)/genesis-stack schema --reference > docs/stack.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "site/index.html opens as it is; with search: python3 -m http.server --directory site"

diagrams: $(VENV)/.dev host-tools
	npm install --silent --no-save --prefix .cache/npm @mermaid-js/tiny@11.17.2
	PYTHONPATH=tests $(BIN)/python -m docs.draw .cache/npm/node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js

release: $(VENV)/.dev
	@PYTHON=$(BIN)/python .ci/release

OTHER_SIDE := --ignore tests/engine --ignore tests/server --ignore tests/client

coverage: $(VENV)/.dev host-tools
	@mkdir -p .cache/coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --timeout 600 $(OTHER_SIDE)
	$(BIN)/coverage run -m pytest --timeout 600 $(OTHER_SIDE) --ignore tests/welcome -m "host or prometheus or browser or embedded"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under 90

mutation: $(VENV)/.dev
	$(BIN)/mutmut run
	$(BIN)/mutmut results

numbers: $(VENV)/.dev
	$(BIN)/python -m benchmarks.numbers --install --tests

bench: $(VENV)/.dev $(SMOLLM2)
	$(BIN)/python -m benchmarks.store
	$(BIN)/python -m benchmarks.reconcile
	$(BIN)/python -m benchmarks.engine --gguf $(SMOLLM2)
	$(BIN)/python -m benchmarks.serving --gguf $(SMOLLM2) --rounds 1
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.overhead --gguf $(SMOLLM2) --rounds 24 --requests 1
	$(BIN)/python -m benchmarks.slow_connections --gguf $(SMOLLM2)
	$(BIN)/python -m benchmarks.client.overhead
	$(BIN)/python -m benchmarks.guard --cost

# Set-up. pip keeps the built llama-cpp-python, so that only the first environment waits for the compiler.

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "genesis-stack needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@for tool in gcc g++ cmake; do command -v $$tool >/dev/null || { echo "missing: $$tool (Debian: apt install build-essential cmake)" >&2; exit 1; }; done
	@$(PYTHON) -m venv $(VENV) || { echo "the venv module is missing (Debian: apt install python3-venv)" >&2; exit 1; }

$(VENV)/.base: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "installing; the first time llama-cpp-python is compiled for this processor, about 5 minutes on 2 cores" >&2
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps -e .
	@$(BIN)/python -m compileall -q genesis_stack
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.base
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

$(SMOLLM2): | $(VENV)/.base
	@$(BIN)/genesis-stack models pull examples/first-light/stack.yaml --root .cache/store
	@mkdir -p $(@D) && cp --reflink=auto .cache/store/var/lib/genesis-stack/models/sha256/* $@

test-tools:
	@missing=""; for tool in git curl ssh ssh-keygen gpg systemd-analyze; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends git curl openssh-client gnupg systemd >/dev/null; \
	  else echo "missing:$$missing; as root: apt install git curl openssh-client gnupg systemd" >&2; exit 1; fi; fi

host-tools: test-tools
	@missing=""; for tool in debootstrap systemd-nspawn systemd-analyze promtool amtool haproxy chromium; do PATH="$$PATH:/usr/sbin" command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends debootstrap systemd-container systemd dbus prometheus prometheus-alertmanager haproxy chromium >/dev/null; \
	  else echo "missing:$$missing; as root: apt install debootstrap systemd-container prometheus prometheus-alertmanager haproxy chromium" >&2; exit 1; fi; fi

# What is locked installs with the Python of Debian 12, the oldest one that is supported.
LOCKED_FOR := 3.11.2

lock: $(VENV)/bin/python
	@$(PIP) install uv
	$(BIN)/uv pip compile pyproject.toml --python-version $(LOCKED_FOR) --generate-hashes --no-header --no-emit-index-url -q -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --python-version $(LOCKED_FOR) --group dev --all-extras --generate-hashes --no-header --no-emit-index-url -q -o requirements-dev.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
