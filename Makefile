# The commands of this project. `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# One profile everywhere: what is tested is what runs, and dependencies are built once.
CARGO ?= cargo
PROFILE := --release --locked
TEST_LOG := target/test.log
# The database that computes our windows a second time.
VENV := target/independent

.PHONY: help setup test format lint docs independent tests bench fuzz quality peerbench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## check the tools, fetch the dependencies
	@if ! command -v cc >/dev/null; then \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	        apt-get update -q && apt-get install -q -y --no-install-recommends gcc libc6-dev; \
	    else \
	        echo "missing: a C linker (apt-get install gcc libc6-dev)" >&2; exit 1; \
	    fi; \
	fi
	@if ! command -v $(CARGO) >/dev/null; then \
	    echo "missing: cargo 1.91 or newer (apt-get install rustup, then rustup default stable)" >&2; exit 1; \
	fi
	@for part in fmt clippy; do $(CARGO) $$part --version >/dev/null 2>&1 \
	    || { echo "missing: cargo $$part (rustup component add rustfmt clippy)" >&2; exit 1; }; done
	$(CARGO) fetch --locked

test: setup format lint docs independent tests ## everything that must hold: format, lints, docs, tests

format: ## is the code formatted?
	$(CARGO) fmt --check

lint: ## clippy; warnings are errors
	$(CARGO) clippy $(PROFILE) --all-targets -- -D warnings

# Shares the checked dependencies with clippy.
docs: ## build the documentation; warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(PROFILE) --no-deps

independent: ## prepare the database of the comparison in tests/independent.rs
	@mkdir -p target
	@$(VENV)/bin/python -c 'import duckdb' 2>/dev/null \
	    || { rm -rf $(VENV) && python3 -m venv $(VENV) && $(VENV)/bin/python -m pip install \
	        --quiet --disable-pip-version-check --timeout 20 --retries 2 \
	        -r tests/independent/requirements.txt; } \
	    || { rm -rf $(VENV); echo "skipped: the comparison with a database needs python3-venv and PyPI"; }

# Tests that lack something say so on a line of their own, which is shown again at the end.
tests: ## unit, property, snapshot, licence, architecture and doc tests
	@mkdir -p target
	$(CARGO) test $(PROFILE) --no-fail-fast -- --show-output 2>&1 | tee $(TEST_LOG)
	@sed -n 's/^\(skipped: .*\)/\1/p' $(TEST_LOG) | sort -u

bench: ## speed: flows per second of one core, the store
	$(CARGO) bench --locked

fuzz: ## a million broken records through every decoder
	FLOWSENTRY_FUZZ_RECORDS=1000000 $(CARGO) test $(PROFILE) --test formats broken_records -- --nocapture

quality: ## the demo with three more seeds: found against hidden, false alerts
	@for seed in 2 3 4; do $(CARGO) run $(PROFILE) --quiet -- demo --json --seed $$seed --out target/quality; done

# Needs ../shared/peerbench for the records; measures, so nothing else should run beside it.
peerbench: independent ## flowsentry beside DuckDB on a million records, windows against the truth
	$(CARGO) build $(PROFILE)
	@[ -d ../shared/peerbench ] || { echo "skipped: ../shared/peerbench is not there"; exit 0; }; \
	    $(VENV)/bin/python -c 'import numpy' 2>/dev/null || $(VENV)/bin/python -m pip install --quiet numpy==2.4.6; \
	    [ -s target/peerbench/flows.ndjson ] || $(VENV)/bin/python ../shared/peerbench/gen.py target/peerbench; \
	    $(VENV)/bin/python tests/peerbench/compare.py target/release/flowsentry \
	        target/peerbench/flows.ndjson target/peerbench/truth.json

clean: ## remove everything that was built
	$(CARGO) clean
	rm -rf $(VENV)
