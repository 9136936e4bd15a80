# What people type; README.md and CONTRIBUTING.md say when. `make` alone lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The machine's own architecture, so that this works on ARM as it does on x86.
CARGO_BUILD_TARGET ?= $(shell uname -m)-unknown-linux-gnu
export CARGO_BUILD_TARGET
RELEASE := $(or $(CARGO_TARGET_DIR),target)/$(CARGO_BUILD_TARGET)/release
CARGO := cargo

# Long tests are the short ones with more turns: the same programs that `make test` built, so nothing
# is compiled again. --nocapture shows how far they are.
LONG_TEST = $(CARGO) test --locked --workspace --test
KILLS ?= 1000
CHAOS_SECONDS ?= 600
SOAK_SECONDS ?= 1800
FUZZ_SECONDS ?= 300

.PHONY: help deps build demo test e2e kill-test chaos soak bench bench-quick bench-healthcheck fuzz lint deny clean
.PHONY: demo-entrypoint bench-entrypoint deps-build demo-program s3sync-program entrypoint-program server

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

deps: ## install what a bare Debian lacks, with apt-get; does nothing where all is there
	@ci/deps.sh test

deps-build:
	@ci/deps.sh build

build: deps-build ## the static programs, in release
	$(CARGO) build --locked --release -p s3sync
	$(CARGO) build --locked --release -p entrypoint
	$(CARGO) build --locked --release -p healthcheck
	@ls -l $(addprefix $(RELEASE)/,s3sync entrypoint healthcheck)

# Each program is built apart: in one command cargo would add the features that they need to s3sync's own.
demo-program: s3sync-program
	$(CARGO) build --locked --release -p testkit --bin demo

s3sync-program: deps-build
	$(CARGO) build --locked --release -p s3sync

entrypoint-program: deps-build
	$(CARGO) build --locked --release -p entrypoint

server: s3sync-program
	$(CARGO) build --locked --release -p testkit --bin s3-server

demo: demo-program ## half a minute of s3sync on the terminal, with an S3 server of its own
	@$(RELEASE)/demo --s3sync $(RELEASE)/s3sync --dags dags

test: deps ## every test
	$(CARGO) test --locked --workspace --no-fail-fast

e2e: deps ## with real Airflows, which it installs from PyPI the first time
	$(CARGO) test --locked -p entrypoint --no-fail-fast --test 'airflow_*' -- --ignored

kill-test: deps ## kill -9 at 1,000 random instants (KILLS=1000)
	TRIMTAB_KILLS=$(KILLS) $(LONG_TEST) kill -- --nocapture

chaos: deps ## ten minutes of faults mixed at random (CHAOS_SECONDS=600)
	TRIMTAB_CHAOS_SECONDS=$(CHAOS_SECONDS) $(LONG_TEST) chaos -- --nocapture

soak: deps ## half an hour of changes and faults with memory flat (SOAK_SECONDS=1800)
	TRIMTAB_SOAK_SECONDS=$(SOAK_SECONDS) $(LONG_TEST) soak -- --nocapture --include-ignored

bench: deps server ## beside aws, s5cmd and rclone; writes docs/benchmarks.md
	python3 bench/bench.py --s3sync $(RELEASE)/s3sync --server $(RELEASE)/s3-server

bench-quick: deps server ## small figures in a minute; writes and judges nothing
	python3 bench/bench.py --quick --s3sync $(RELEASE)/s3sync --server $(RELEASE)/s3-server

demo-entrypoint: deps entrypoint-program ## a real Airflow 3.1 in three containers' worth of processes, from an empty database
	@python3 -B bench/demo_entrypoint.py --entrypoint $(RELEASE)/entrypoint

bench-entrypoint: deps entrypoint-program ## beside Airflow's own commands, tini and dumb-init; writes docs/benchmarks-entrypoint.md
	python3 -B bench/entrypoint.py --entrypoint $(RELEASE)/entrypoint

bench-healthcheck: deps-build ## healthcheck beside curl and others; writes docs/benchmarks-healthcheck.md
	$(CARGO) build --locked --release -p healthcheck
	python3 -B bench/healthcheck.py --healthcheck $(RELEASE)/healthcheck

fuzz: deps-build ## five minutes of mutated HTTP and JSON for healthcheck (FUZZ_SECONDS=300)
	TRIMTAB_FUZZ_SECONDS=$(FUZZ_SECONDS) $(CARGO) test --locked -p healthcheck --test fuzz -- --nocapture

lint: deps-build ## format, clippy and documentation, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

deny: ## licences, banned crates, sources, yanked versions, advisories
	python3 -B -m unittest discover -s ci
	python3 -B ci/dependencies.py

clean: ## remove what was built
	$(CARGO) clean
