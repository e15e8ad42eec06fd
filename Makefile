# Every command a person or CI runs. `make` alone lists them.
PYTHON ?= python3.11
VENV ?= .venv
PROFILE ?= starter
SCENARIO ?= dialogues
bin := $(VENV)/bin
colloquy := $(bin)/colloquy

.DEFAULT_GOAL := help
.PHONY: help setup setup-gpu browser lock demo up down status fmt lint type test test-unit test-integration test-e2e bench load chaos train-starter openapi ci clean

help:             ## this list
	@sed -n 's/^\([a-z0-9-]*\): *\([^#]*\)## */\1|/p' Makefile | awk -F'|' '{printf "  make %-17s %s\n", $$1, $$2}'

setup:            ## make the virtual environment; nothing to do the second time
	@command -v $(PYTHON) >/dev/null || { echo "setup: there is no $(PYTHON); on Debian and Ubuntu: apt-get install python3.11 python3.11-venv" >&2; exit 1; }
	@$(PYTHON) setup/bootstrap.py --venv $(VENV)

setup-gpu:        ## a CUDA environment in .venv-gpu, not locked; then .venv-gpu/bin/colloquy
	$(PYTHON) -m venv .venv-gpu && .venv-gpu/bin/pip install -e '.[serve,engine-gpu]'

browser: setup    ## Chromium for the page's test, from Debian's packages where that is possible
	@$(bin)/python setup/browser.py

lock: setup       ## resolve the dependencies again and write setup/cpu.lock
	$(bin)/python setup/lock.py

demo: setup       ## start the stack, ask the samples, index a corpus and search it
	@$(colloquy) demo --profile $(PROFILE)

up: setup         ## start the stack (PROFILE=starter)
	@$(colloquy) up --profile $(PROFILE)

down: setup       ## end the stack
	@$(colloquy) down --profile $(PROFILE)

status: setup     ## what runs
	@$(colloquy) status --profile $(PROFILE)

fmt: setup        ## format the code
	$(bin)/ruff format && $(bin)/ruff check --fix

lint: setup       ## style, and the rules of who may import whom
	$(bin)/ruff check && $(bin)/ruff format --check && $(bin)/lint-imports

type: setup       ## types, strictly
	$(bin)/mypy

test: browser     ## every test
	$(bin)/python -m pytest

test-unit: setup  ## the tests that need nothing running
	$(bin)/python -m pytest tests/unit tests/architecture

test-integration: setup ## the tests that need a real engine or server
	$(bin)/python -m pytest tests/integration

test-e2e: browser ## the tests of the whole stack
	$(bin)/python -m pytest tests/e2e

bench: setup      ## measure against the upstream way, on the same weights
	$(bin)/python -m benchmarks

load: setup       ## a load test with thresholds, on the stack that is up (SCENARIO=corpus)
	$(bin)/python -m loadtests --scenario $(SCENARIO)

chaos: setup      ## kill what can be killed, and watch it come back
	$(bin)/python -m pytest tests/e2e/test_chaos.py tests/e2e/test_ingestion_chaos.py --ingest 5000 --kills 20 --whole --timeout 3600

train-starter: setup ## teach the adapters and CLIP on the published base
	$(bin)/python -m training.starter

openapi: setup    ## write docs/openapi.json
	$(bin)/python -m gateway --openapi > docs/openapi.json

ci: lint type test ## what must hold before a change lands
