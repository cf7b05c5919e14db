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
# The parser of Logstash's own language.
PARSER := target/logstash

# Real servers: `with` starts them while the first command runs and takes them down after the second.
STACK := tests/stack/stack
WITH_SERVERS := tests/stack/with opensearch elasticsearch kafka --
# The tests that use a server where there is one, by name.
SERVER_TESTS := $(shell grep -rlE --include='*.rs' 'FLOWSENTRY_TEST_(OPENSEARCH|ELASTICSEARCH|KAFKA)' tests | sed -nE 's,^tests/([^/]+)(/.*|\.rs)$$,\1,p' | sort -u)
SERVER_TESTS := $(filter $(SERVER_TESTS),$(basename $(notdir $(wildcard tests/*.rs))))

.PHONY: help setup test format lint docs independent pipelines compile tests e2e kill-matrix test-majors test-security \
    servers servers-down bench bench-logstash bench-kafka bench-cluster bench-indexed fuzz models quality peerbench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## check the tools, fetch the dependencies; as root, install what the servers of the tests need
	@if ! command -v cc >/dev/null || ! command -v c++ >/dev/null || ! perl -MFindBin -MIPC::Cmd -e 1 2>/dev/null; then \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	        apt-get update -q && apt-get install -q -y --no-install-recommends gcc g++ libc6-dev perl; \
	    else \
	        echo "missing: C and C++ compilers and perl (apt-get install gcc g++ libc6-dev perl)" >&2; exit 1; \
	    fi; \
	fi
	@if ! command -v $(CARGO) >/dev/null; then \
	    echo "missing: cargo 1.91 or newer (apt-get install rustup, then rustup default stable)" >&2; exit 1; \
	fi
	@for part in fmt clippy; do $(CARGO) $$part --version >/dev/null 2>&1 \
	    || { echo "missing: cargo $$part (rustup component add rustfmt clippy)" >&2; exit 1; }; done
	$(CARGO) fetch --locked
	@tests/stack/tools

# OpenSearch, Elasticsearch and Kafka start while everything is compiled.
test: setup format ## everything that must hold: format, lints, docs, tests on real servers
	@$(WITH_SERVERS) $(MAKE) lint docs independent pipelines compile -- $(MAKE) tests

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

pipelines: ## prepare the parser of the Logstash pipelines in tests/logstash.rs
	@mkdir -p target
	@$(PARSER)/bin/python -c 'import logstash_pipeline_parser' 2>/dev/null \
	    || { rm -rf $(PARSER) && python3 -m venv $(PARSER) && $(PARSER)/bin/python -m pip install \
	        --quiet --disable-pip-version-check --timeout 20 --retries 2 \
	        -r tests/logstash/requirements.txt; } \
	    || { rm -rf $(PARSER); echo "skipped: the syntax of the Logstash pipelines needs python3-venv and PyPI"; }

compile: ## compile the tests
	$(CARGO) test $(PROFILE) --no-run

# Tests that lack something say so on a line of their own, which is shown again at the end.
tests: ## unit, property, snapshot, licence, architecture and doc tests; without servers of its own
	@mkdir -p target
	$(CARGO) test $(PROFILE) --no-fail-fast -- --show-output 2>&1 | tee $(TEST_LOG)
	@sed -n 's/^\(skipped: .*\)/\1/p' $(TEST_LOG) | sort -u

# Another pair of servers than those of `make test`; needs a JDK 21 or newer.
test-majors: setup ## the tests that use servers, on OpenSearch 3 and Elasticsearch 9
	@tests/stack/tools 21 99
	@$(STACK) java 21 99 >/dev/null || { [ "$${CI:-}" != true ] || exit 1; echo "skipped: OpenSearch 3 and Elasticsearch 9 need a JDK 21 or newer"; exit 0; }; \
	    OPENSEARCH_MAJOR=3 ELASTICSEARCH_MAJOR=9 $(WITH_SERVERS) \
	        $(CARGO) test $(PROFILE) --no-run $(SERVER_TESTS:%=--test %) -- \
	        $(CARGO) test $(PROFILE) --no-fail-fast $(SERVER_TESTS:%=--test %)

e2e: setup ## datagrams of exporters through a real goflow2 and Kafka into OpenSearch
	@tests/stack/with opensearch kafka goflow2 -- \
	    $(CARGO) test $(PROFILE) --no-run --test e2e -- \
	    $(CARGO) test $(PROFILE) --test e2e -- --show-output

kill-matrix: setup ## workers, brokers and clusters killed at every step, ten times in a row; output of the last round in target/kill-matrix.log
	@tests/stack/with opensearch kafka -- \
	    $(CARGO) test $(PROFILE) --no-run --test delivery -- \
	    bash -eu -o pipefail -c 'for round in 1 2 3 4 5 6 7 8 9 10; do echo "round $$round"; \
	        $(CARGO) test $(PROFILE) --test delivery -- --test-threads 12 2>&1 | tee target/kill-matrix.log \
	        | grep -E "^test |^test result|panicked"; done'

test-security: setup ## the tests of certificates and users, on an OpenSearch that has them
	@OPENSEARCH_SECURITY=1 tests/stack/with opensearch -- \
	    $(CARGO) test $(PROFILE) --no-run --test cluster_faults -- \
	    $(CARGO) test $(PROFILE) --test cluster_faults secure -- --show-output

servers: ## start OpenSearch and Elasticsearch for development, print their addresses
	@$(STACK) up opensearch elasticsearch
	@$(STACK) env opensearch elasticsearch

servers-down: ## stop them; their data stays
	@$(STACK) down opensearch elasticsearch

bench: ## speed: flows per second of one core, the store; memory of a hundred thousand subjects
	$(CARGO) bench --locked --bench detectors --bench stores --bench throughput --bench memory

bench-logstash: ## events per second of the ruby filter of the Logstash pipeline, one core of plain Ruby
	@awk '{ gsub(/["\\]/, "\\\\&"); printf "{\"message\":\"%s\",\"topic\":\"flows\",\"partition\":0,\"offset\":%d,\"timestamp\":1795234440000}\n", $$0, NR }' \
	    tests/data/goflow2-json/*.ndjson | $${FLOWSENTRY_RUBY:-ruby} tests/logstash/run.rb logstash/flows.conf bench 10

bench-kafka: ## flows per second from a real broker, beside a consumer that only counts
	@tests/stack/with kafka -- $(CARGO) bench --locked --no-run --bench kafka -- \
	    $(CARGO) bench --locked --bench kafka

bench-cluster: ## a million documents into OpenSearch and Elasticsearch, beside a plain bulk loop
	@OPENSEARCH_HEAP=2g ELASTICSEARCH_HEAP=2g tests/stack/with opensearch elasticsearch -- \
	    $(CARGO) bench --locked --no-run --bench cluster -- \
	    $(CARGO) bench --locked --bench cluster

bench-indexed: ## indexed flows out of OpenSearch and Elasticsearch, decoded
	@OPENSEARCH_HEAP=2g ELASTICSEARCH_HEAP=2g tests/stack/with opensearch elasticsearch -- \
	    $(CARGO) bench --locked --no-run --bench indexed -- \
	    $(CARGO) bench --locked --bench indexed

fuzz: ## a million broken records through every decoder, a million broken captures
	FLOWSENTRY_FUZZ_RECORDS=1000000 $(CARGO) test $(PROFILE) --test formats broken_records -- --nocapture
	FLOWSENTRY_FUZZ_RECORDS=1000000 $(CARGO) test $(PROFILE) --test capture broken_captures -- --nocapture

# The captures lie in ../shared/data (or $FLOWSENTRY_SHARED/data); without them the simulated weeks alone.
models: ## the model of connection records that is built in, from the 10 % file of KDD'99
	$(CARGO) build $(PROFILE)
	"$${CARGO_TARGET_DIR:-target}/release/flowsentry" train --schema kdd --distinct --seed 42 \
	    --data "$${FLOWSENTRY_SHARED:-../shared}/data/kdd99/kddcup.data_10_percent.zst" \
	    --commit "$$(git rev-parse --short=12 HEAD)" --out models/kdd.model

quality: ## recall, alerts and latency on public captures and three simulated weeks; table in ARCHITECTURE.md; learned models on public data
	$(CARGO) build $(PROFILE)
	@python3 tests/quality/quality.py "$${CARGO_TARGET_DIR:-target}/release/flowsentry" \
	    "$${FLOWSENTRY_SHARED:-../shared}/data" target/quality ARCHITECTURE.md
	"$${CARGO_TARGET_DIR:-target}/release/flowsentry" evaluate published \
	    --data "$${FLOWSENTRY_SHARED:-../shared}/data" | tee target/quality/models.txt

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
	rm -rf $(VENV) $(PARSER)
