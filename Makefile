# Everything runs from the environment in .venv, which any target that needs it makes first:
# wheels only, each with its hash checked. `make help` lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := primitives consensus vm p2p node meter cli benchmarks

# Exits 0 where gridbft can be installed, else prints the one reason why not.
define PROBE
import struct, sys
version = ".".join(map(str, sys.version_info[:3]))
if sys.version_info < (3, 11):
    sys.exit(f"Python {version} is too old: gridbft needs Python 3.11 or 3.12.")
if sys.version_info >= (3, 13):
    sys.exit(f"Python {version} has no wheel of the store plyvel: gridbft needs Python 3.11 or 3.12.")
if struct.calcsize("P") != 8:
    sys.exit(f"This Python {version} is 32-bit: gridbft needs a 64-bit Python, so a 64-bit system.")
try:
    import ensurepip, venv
except ImportError:
    sys.exit(f"Python {version} cannot make environments: install its venv package (on Debian: python3-venv).")
endef
export PROBE

# The first of these that runs and passes the probe; `make PYTHON=/path/to/python` names one instead.
PYTHON ?=
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3.12 python3.11 python3)

# How many seeds `make sim` plays, from which on, and over how many processes.
SEEDS ?= 2000
FIRST ?= 0
JOBS ?= 2

BENCH ?= run.json
bench: $(STAMP) ## what a network of this machine takes, in under ten minutes, written to BENCH
	$(BIN)/gridbft bench run short -o $(BENCH)

.PHONY: help image guide demo test check bench chaos soak fuzz sim twins mutants members proofs corruption reliability reliability-record api openapi lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): requirements.txt pyproject.toml
	@python=; reason="no Python found: gridbft needs Python 3.11 or 3.12."; \
	for candidate in $(CANDIDATES); do \
	    "$$candidate" -c '' 2>/dev/null || continue; \
	    if reason=$$("$$candidate" -c "$$PROBE" 2>&1); then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then echo "$$reason" >&2; exit 1; fi; \
	[ -x $(BIN)/python ] || "$$python" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

# What builds the image: docker, or podman, which reads .dockerignore as well.
CONTAINER ?= docker

image: ## the container image gridbft, of the pinned wheels: make image CONTAINER=podman
	$(CONTAINER) build --file Containerfile --tag gridbft .

demo: $(STAMP) ## a whole energy community on this machine, on real data
	$(BIN)/gridbft demo

test: $(STAMP) ## all tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

# With RECORD=yes a campaign runs under a recorder, which keeps the line that it ends with for docs/reliability.md.
RECORD ?=
campaign = $(BIN)/python $(if $(RECORD),-m benchmarks.reliability record $(1) -- python) -m
JSON = $(if $(RECORD),--json)

# SEED draws the faults.
MINUTES ?= 10
SEED ?= 1
chaos: $(STAMP) ## faults of links, processes, disks and clocks against real validators: make chaos MINUTES=10 SEED=1
	$(call campaign,chaos) tests.integration.chaos --seconds $$(( 60 * $(MINUTES) )) --seed $(SEED) $(JSON)

soak: $(STAMP) ## every attack of hostile peers and clients on real validators: make soak MINUTES=5
	$(call campaign,soak) tests.hostile.soak --minutes $(MINUTES)

guide: $(STAMP) ## type every command of the guide in docs/operating.md, on this machine, two minutes
	$(BIN)/python -m tests.integration.guide

check: $(STAMP) ## lint, format, types, import rules, fast tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" --ignore tests/integration

SECONDS ?= 300

fuzz: $(STAMP) ## every decoder under a coverage-guided fuzzer, SECONDS=300 for all together
	$(call campaign,fuzz) tests.fuzz.campaign --seconds $(SECONDS)

sim: $(STAMP) ## SEEDS random runs of the simulated network over both cores, and a crash at every write
	$(call campaign,simulation) tests.simulation.run --seeds $(FIRST):$$(($(FIRST) + $(SEEDS))) --jobs $(JOBS) $(JSON)
	$(call campaign,crash_points) tests.simulation.crash_points --fates 4 $(JSON)

SCHEDULES ?= 10000

twins: $(STAMP) ## SCHEDULES runs of validators whose key is on two machines
	$(call campaign,twins) tests.simulation.twins --schedules $(SCHEDULES) --jobs $(JOBS) $(JSON)

mutants: $(STAMP) ## bugs of our own, put in one at a time: the simulator must catch each
	$(call campaign,mutants) tests.simulation.mutants --jobs $(JOBS) $(JSON)

members: $(STAMP) ## SEEDS networks whose validators change while others fail
	$(call campaign,members) tests.simulation.members --seeds $(FIRST):$$(($(FIRST) + $(SEEDS))) --jobs $(JOBS) $(JSON)

proofs: $(STAMP) ## every other value of every byte of the published proof files: each must be refused
	$(BIN)/python -m tests.vectors.every_byte

STEP ?= 10

corruption: $(STAMP) ## every STEPth byte of a validator's files cut off, flipped or cleared
	$(call campaign,corruption) tests.node.storage.corruption --step $(STEP) $(JSON)

reliability: $(STAMP) ## write docs/reliability.md from the recorded campaigns
	$(BIN)/python -m benchmarks.reliability render

# One that fails does not keep the others from being recorded: the page shows what it found.
reliability-record: $(STAMP) ## run every campaign, record it, and write the page; sizes as for each alone
	-$(MAKE) --keep-going RECORD=yes sim twins mutants members corruption chaos fuzz soak
	$(MAKE) reliability

# EXAMPLES of each address; `make test` asks a dozen.
EXAMPLES ?= 500

api: $(STAMP) ## the HTTP API of real validators held to its OpenAPI document: make api EXAMPLES=500
	API_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest tests/integration/api/test_document.py --timeout 0

openapi: $(STAMP) ## write docs/openapi.json, the OpenAPI document of the HTTP API
	$(BIN)/python -m node.api > docs/openapi.json.new
	mv docs/openapi.json.new docs/openapi.json

# The resolver lives in a throwaway environment: it is a tool of whoever changes a dependency, not of the product.
lock: $(STAMP) ## pin the dependencies of pyproject.toml in requirements.txt
	@tool=$$(mktemp -d) && trap 'rm -rf "$$tool"' EXIT && set -e && \
	$(BIN)/python -m venv "$$tool" && \
	"$$tool/bin/python" -m pip install --quiet --disable-pip-version-check uv && \
	head -n 2 requirements.txt > "$$tool/header" && \
	sed 1,2d requirements.txt > "$$tool/pins" && \
	"$$tool/bin/uv" pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-build --quiet \
	    --generate-hashes --no-header --no-annotate -o "$$tool/pins" && \
	cat "$$tool/header" "$$tool/pins" > requirements.txt

.PHONY: wheels
wheels: $(STAMP) ## write which wheel each machine gets of each dependency, as the index has them
	$(BIN)/python -m tests.architecture.wheels

clean: ## remove the environment, caches and builds
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
