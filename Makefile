# One entry: `make` with no argument lists what one can do.
.DEFAULT_GOAL := help
.PHONY: help setup run dev test check lint types contracts fix bench openapi settings clean
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
UV := $(BIN)/uv
UV_VERSION := 0.13.9
# uv keeps what it downloads below HOME; where that may not be written, it keeps nothing.
CACHE = $$(c="$${UV_CACHE_DIR:-$${XDG_CACHE_HOME:-$$HOME/.cache}/uv}"; mkdir -p "$$c" 2>/dev/null && test -w "$$c" || echo --no-cache)
SYNC = UV_PROJECT_ENVIRONMENT=$(VENV) $(UV) sync --frozen --inexact --quiet $(CACHE)

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(UV):
	@scripts/ensure-venv "$(PYTHON)" "$(VENV)" "$(UV_VERSION)"

# The stamps make a second `make run` start in seconds: nothing is resolved or installed again until the lock changes.
$(VENV)/.runtime: $(UV) pyproject.toml uv.lock
	@echo "installing what a1zap needs (once, about a minute) ..."
	@$(SYNC) --no-dev
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@$(SYNC)
	@touch $@

setup: $(VENV)/.runtime ## install a1zap into .venv from the locked list

run: setup ## start everything: PostgreSQL, API, web page, one worker on http://127.0.0.1:8000
	@$(BIN)/a1zap serve

dev: $(VENV)/.dev ## install what developers need as well

test: $(VENV)/.dev ## run the tests (they bring their own PostgreSQL and browser)
	@scripts/ensure-chromium $(BIN)/playwright
	@$(BIN)/python -m pytest -n auto --dist worksteal

lint: $(VENV)/.dev ## ruff: style and format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.dev ## pyright strict over src
	@$(BIN)/basedpyright

contracts: $(VENV)/.dev ## import-linter: the floors hold
	@$(BIN)/lint-imports --no-cache

check: lint types contracts test ## everything a commit must pass

fix: $(VENV)/.dev ## format and mend what can be mended by machine
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: $(VENV)/.dev ## measure; prints the tables of docs/performance.md
	@$(BIN)/python -m bench

openapi: $(VENV)/.dev ## write docs/openapi.json from the code
	@$(BIN)/a1zap openapi > docs/openapi.json

settings: $(VENV)/.dev ## write docs/settings.md from the code
	@$(BIN)/python scripts/write-settings-page

clean: ## remove what make built (never your data)
	@rm -rf $(VENV) .pytest_cache .ruff_cache build dist
