# What a newcomer types. `make` alone lists it.

.DEFAULT_GOAL := help
.PHONY: help demo lab check unit story test matrix test-matrix-quick bench oracle clean-lab

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

demo: ## A real Galera cluster, Consul, the proxy and Icinga, for a minute, with a verdict
	@tests/install.sh lab
	cargo build --release --locked -p ido-proxy -p ido-proxy-tests
	target/release/lab demo

lab: ## The same servers, until Ctrl-C
	@tests/install.sh lab
	cargo build --release --locked -p ido-proxy -p ido-proxy-tests
	target/release/lab up

# Stories wait for Galera most of their time: four at once keep two cores busy, and take 2 GB.
export RUST_TEST_THREADS ?= 4

check: ## Before each commit: format, style, lints, unit tests. No servers, nothing to install; 3 minutes when warm
	cargo fmt --all --check
	@tests/style.sh
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@$(MAKE) --no-print-directory unit

# All tests but the stories. A new file in `[[test]]` of a Cargo.toml is to be named here.
unit: ## Unit, property and model tests of all crates
	cargo test --workspace --locked --no-fail-fast --lib --bins --test captures --test fence_model

story: ## Some stories on real servers, by a part of their path: make story NAME=failover::doubt
	@test -n "$(NAME)" || { echo 'which? make story NAME=failover::doubt' >&2; exit 2; }
	@tests/install.sh lab
# The binary that stories run, which cargo test alone does not build.
	cargo build --locked -p ido-proxy
	cargo test --locked -p ido-proxy-tests --test stories -- $(NAME)

test: ## Everything: format, lints, unit, property and story tests against real servers
	@tests/install.sh all
	cargo fmt --all --check
	@tests/style.sh
	cargo clippy --workspace --all-targets --locked -- -D warnings
# With the binary that the stories run, which cargo test alone does not build.
	cargo build --workspace --all-targets --locked
	cargo test --workspace --locked --no-fail-fast
	@tests/matrix.sh $(QUICK)

matrix: ## All stories on every kind of server, one after the other: hours
	@tests/install.sh lab trixie clients
	@tests/matrix.sh

# Kinds of server, for make test too, on which all of these stories pass.
QUICK_SERVERS = binlog strict 11.8
QUICK_STORIES = failover::session failover::writers failover::doubt::a_commit_whose_reply_was_lost \
    icinga::icinga_writes_its_whole_history
QUICK = $(QUICK_SERVERS:%=-s %) $(QUICK_STORIES)

test-matrix-quick: ## A few stories on the kinds of server that differ most: minutes
	@tests/install.sh lab trixie
	@tests/matrix.sh $(QUICK)

bench: ## Latency, throughput, memory and failover beside a direct connection, HAProxy and nginx
	@tests/install.sh lab bench
	cargo build --release --locked -p ido-proxy -p ido-proxy-benches
	target/release/bench all

# How long each of three runs takes; `make oracle HOURS=0.05` is nine minutes.
HOURS ?= 1

oracle: ## Random programs for HOURS, directly and through the proxy: without faults, with broken links, with killed nodes
	@tests/install.sh lab
	cargo build --release --locked -p ido-proxy -p ido-proxy-tests
	target/release/oracle --hours $(HOURS)
	target/release/oracle --hours $(HOURS) --faults 4
	target/release/oracle --hours $(HOURS) --faults 1 --break node --nodes 3

clean-lab: ## End and remove what a crashed lab left behind
	cargo run --locked -p ido-proxy-tests --bin lab -- clean
