# What people type; README.md and CONTRIBUTING.md say when. `make` alone lists the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The machine's own architecture, so that this works on ARM as it does on x86.
CARGO_BUILD_TARGET ?= $(shell uname -m)-unknown-linux-gnu
export CARGO_BUILD_TARGET
RELEASE := $(or $(CARGO_TARGET_DIR),target)/$(CARGO_BUILD_TARGET)/release
CARGO := cargo
# Not in release, where a panic ends it before it has ended what it started.
STACK = $(dir $(RELEASE))debug/stack
# As Docker calls it.
ARCHITECTURE = $(if $(filter aarch64-%,$(CARGO_BUILD_TARGET)),arm64,amd64)

# Long tests are the short ones with more turns: the same programs that `make test` built, so nothing
# is compiled again. --nocapture shows how far they are.
LONG_TEST = $(CARGO) test --locked --workspace --test
KILLS ?= 1000
DRAINS ?= 300
RELEASES ?= 30
CHAOS_SECONDS ?= 600
SOAK_SECONDS ?= 1800
FUZZ_SECONDS ?= 300

.PHONY: help deps build demo test e2e kill-test drain-test chaos soak bench bench-quick bench-healthcheck bench-releases fuzz lint deny clean
.PHONY: e2e-full up status down check-infra
.PHONY: images images-airflow images-test images-stage deps-images stack-test
.PHONY: demo-entrypoint bench-entrypoint deps-build demo-queue bench-queue queue-program demo-program s3sync-program entrypoint-program server

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
	$(CARGO) build --locked --release -p queue-metrics
	@ls -l $(addprefix $(RELEASE)/,s3sync entrypoint healthcheck queue-metrics)

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

e2e: deps build ## with real Airflows, which it installs from PyPI the first time (RELEASES=30)
	$(CARGO) test --locked -p entrypoint -p healthcheck -p queue-metrics --no-fail-fast --test 'airflow_*' -- --ignored
	TRIMTAB_PROGRAMS=$(abspath $(RELEASE)) $(CARGO) test --locked -p e2e --test story -- --ignored --nocapture
	TRIMTAB_RELEASES=$(RELEASES) TRIMTAB_PROGRAMS=$(abspath $(RELEASE)) $(CARGO) test --locked -p e2e --test releases -- --ignored --nocapture --skip airflow_3_3

e2e-full: deps build ## all scenarios: faults, upgrades, releases, Airflow 2, and the figures of docs/latency.md; an hour
	TRIMTAB_PROGRAMS=$(abspath $(RELEASE)) $(CARGO) test --locked -p e2e --test full -- --ignored --nocapture --test-threads=1
	TRIMTAB_RELEASES=$(RELEASES) TRIMTAB_RUNS=200 TRIMTAB_PROGRAMS=$(abspath $(RELEASE)) $(CARGO) test --locked -p e2e --test releases -- --ignored --nocapture airflow_3_1
	TRIMTAB_RELEASES=10 TRIMTAB_RUNS=50 TRIMTAB_PROGRAMS=$(abspath $(RELEASE)) $(CARGO) test --locked -p e2e --test releases -- --ignored --nocapture airflow_3_3

up: deps build ## a real Airflow with its UI on this machine, and the four programs at work
	$(CARGO) build --locked -p e2e --bin stack
	@$(STACK) up --programs $(abspath $(RELEASE)) --dags $(abspath dags)

status: ## what `make up` started: the health of each service, the revision, the queue
	@$(STACK) status

down: ## end what `make up` started
	@$(STACK) down

kill-test: deps ## kill -9 at 1,000 random instants (KILLS=1000)
	TRIMTAB_KILLS=$(KILLS) $(LONG_TEST) kill -- --nocapture
	TRIMTAB_KILLS=$(KILLS) $(LONG_TEST) generations -- --nocapture kill
	TRIMTAB_KILLS=$(KILLS) $(LONG_TEST) follow -- --nocapture kill

drain-test: deps ## 300 workers of Celery drained at random, and 100 more while things fail (DRAINS=300)
	TRIMTAB_DRAINS=$(DRAINS) $(LONG_TEST) protect_random -- --nocapture

chaos: deps ## ten minutes of faults mixed at random (CHAOS_SECONDS=600)
	TRIMTAB_CHAOS_SECONDS=$(CHAOS_SECONDS) $(LONG_TEST) chaos -- --nocapture

soak: deps ## half an hour of changes and faults with memory flat (SOAK_SECONDS=1800)
	TRIMTAB_SOAK_SECONDS=$(SOAK_SECONDS) $(LONG_TEST) soak -- --nocapture --include-ignored

bench: deps server ## beside aws, s5cmd and rclone; writes docs/benchmarks.md
	python3 bench/bench.py --s3sync $(RELEASE)/s3sync --server $(RELEASE)/s3-server

bench-quick: deps server ## small figures in a minute; writes and judges nothing
	python3 bench/bench.py --quick --s3sync $(RELEASE)/s3sync --server $(RELEASE)/s3-server

bench-releases: deps server ## polls of a pointer, and publish to disk; writes docs/benchmarks-releases.md
	python3 -B bench/releases.py --s3sync $(RELEASE)/s3sync --server $(RELEASE)/s3-server

demo-entrypoint: deps entrypoint-program ## a real Airflow 3.1 in three containers' worth of processes, from an empty database
	@python3 -B bench/demo_entrypoint.py --entrypoint $(RELEASE)/entrypoint

bench-entrypoint: deps entrypoint-program ## beside Airflow's own commands, tini and dumb-init; writes docs/benchmarks-entrypoint.md
	python3 -B bench/entrypoint.py --entrypoint $(RELEASE)/entrypoint

queue-program: deps-build
	$(CARGO) build --locked --release -p queue-metrics

demo-queue: deps queue-program ## two minutes of queue-metrics beside a real Redis and real Celery workers
	@python3 -B bench/demo_queue.py --queue-metrics $(RELEASE)/queue-metrics

bench-queue: deps queue-program ## beside what celery-exporter does; writes docs/benchmarks-queue.md
	python3 -B bench/queue_bench.py --queue-metrics $(RELEASE)/queue-metrics

bench-healthcheck: deps-build ## healthcheck beside curl and others; writes docs/benchmarks-healthcheck.md
	$(CARGO) build --locked --release -p healthcheck
	python3 -B bench/healthcheck.py --healthcheck $(RELEASE)/healthcheck

deps-images: deps-build
	@ci/deps.sh images

images-stage: build
	docker/images.sh stage $(ARCHITECTURE) $(RELEASE)

images: deps-images images-stage ## the small images, of the programs that cargo makes here
	docker/images.sh build $(ARCHITECTURE)

images-airflow: deps-images images-stage ## Airflow's image with entrypoint in it; from Docker Hub and PyPI
	docker/images.sh build-airflow $(ARCHITECTURE)

images-test: deps deps-images images-stage ## the small images in a real Docker, a daemon of its own where none answers
	docker/daemon.sh docker/images.sh test $(ARCHITECTURE)

stack-test: deps images-stage ## the laptop's stack in a real Docker, from images that stand in for Docker Hub's
	@ci/deps.sh stack
	docker/daemon.sh docker/images.sh test-stack $(ARCHITECTURE)

fuzz: deps-build ## five minutes of mutated HTTP and JSON for healthcheck (FUZZ_SECONDS=300)
	TRIMTAB_FUZZ_SECONDS=$(FUZZ_SECONDS) $(CARGO) test --locked -p healthcheck --test fuzz -- --nocapture

lint: deps-build ## format, clippy and documentation, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

# Programs are taken from where `make test` or `make build` left them: they read the task definitions.
check-infra: ## infra/ without an account; TFSCHEMA names the stand-in provider, else Terraform downloads its own
	@python3 -B infra/check/check.py $(PARTS)

deny: ## licences, banned crates, sources, yanked versions, advisories
	python3 -B -m unittest discover -s ci
	python3 -B ci/dependencies.py

clean: ## remove what was built
	$(CARGO) clean
