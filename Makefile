# The two commands that matter are `make run` and `make test`; CONTRIBUTING.md says how to run a part.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# One profile for lints' check artifacts, tests and the binary that the SDK tests start.
TARGET := $(or $(CARGO_TARGET_DIR),target)
SILICA_DEBUG := $(TARGET)/debug/silica

# How long `make chaos` lets clients call, in seconds, for each database.
CHAOS_SECONDS ?= 600

.PHONY: help run build test check fmt lint test-rust test-sdk doc tidy deny bench bench-engine bench-responsive bench-gateway chaos

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: build ## Build Silica and start it on 127.0.0.1:8080 with its data in ./data
	@exec $(TARGET)/release/silica serve

build: ## Build the release binary
	@scripts/prerequisites.sh run
	cargo build --release --locked --package silica-server

test: ## Everything that CI runs
	@scripts/prerequisites.sh test
	@$(MAKE) --no-print-directory fmt lint tidy test-rust test-sdk doc

check: fmt lint ## Format and lints only

fmt: ## Is everything formatted?
	cargo fmt --all --check

lint: ## Clippy over everything; warnings are errors
	cargo clippy --workspace --all-targets --locked -- -D warnings

tidy: ## Layers, file sizes, generated files
	cargo xtask tidy

test-rust: ## Unit, repository and end-to-end tests on SQLite and PostgreSQL
	scripts/postgres-for-tests.sh cargo nextest run --workspace --locked
	cargo test --workspace --doc --locked --quiet

test-sdk: ## The real OpenAI packages for Python and Node against a started binary
	cargo build --locked --package silica-server
	SILICA_BIN=$(SILICA_DEBUG) tests/sdk/run.sh

doc: ## API documentation; broken links are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

deny: ## Licences, sources and bans of the dependency tree
	@cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
	cargo deny check bans licenses sources

chaos: ## The money test for CHAOS_SECONDS (600) on each database: faults, disconnects, kills
	SILICA_CHAOS_SECONDS=$(CHAOS_SECONDS) scripts/postgres-for-tests.sh \
		cargo nextest run --locked --profile chaos --package silica-server --test money --no-capture

bench: ## Time to first token and throughput of the embedded engine (minutes)
	bench/run.sh

bench-engine: ## The embedded engine beside llama.cpp on the same files (ten minutes, and as long to build llama.cpp)
	bench/engine/run.py $(BENCH_ENGINE)

bench-responsive: ## Does a busy embedded engine delay the rest of the server? (two minutes)
	bench/responsive.py $(BENCH_RESPONSIVE)

bench-gateway: ## CPU, latency and memory of the gateway beside nginx and peers (half an hour)
	bench/gateway/run.py $(BENCH_GATEWAY)
