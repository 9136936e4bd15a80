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

.PHONY: help deps build demo test kill-test chaos soak bench bench-quick lint deny clean
.PHONY: deps-build demo-program server

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

deps: ## install what a bare Debian lacks, with apt-get; does nothing where all is there
	@ci/deps.sh test

deps-build:
	@ci/deps.sh build

build: deps-build ## the static programs, in release
	$(CARGO) build --locked --release -p s3sync
	@ls -l $(RELEASE)/s3sync

# Built apart from s3sync: in one command cargo would add the features that they need to s3sync's own.
demo-program: build
	$(CARGO) build --locked --release -p testkit --bin demo

server: build
	$(CARGO) build --locked --release -p testkit --bin s3-server

demo: demo-program ## half a minute of s3sync on the terminal, with an S3 server of its own
	@$(RELEASE)/demo --s3sync $(RELEASE)/s3sync --dags dags

test: deps ## every test
	$(CARGO) test --locked --workspace --no-fail-fast

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

lint: deps-build ## format, clippy and documentation, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

deny: ## licences, banned crates, sources, yanked versions, advisories
	python3 -B -m unittest discover -s ci
	python3 -B ci/dependencies.py

clean: ## remove what was built
	$(CARGO) clean
