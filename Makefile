# `make demo` and `make test` do all the set-up they need on Debian or Ubuntu with Rust.
SHELL := bash
ENV := source scripts/env &&
ARGS ?=

.PHONY: demo test test-clients check chaos past bench soak fuzz overlay-check build

# Builds, runs the main job on the embedded default, prints the organizations. ARGS=--exit ends then.
# It builds the tests too: with their features the dependencies are built once for `make demo` and `make test`.
demo:
	@scripts/setup build
	@$(ENV) cargo build --workspace --all-targets && exec "$$CARGO_TARGET_DIR/debug/whopulls" demo $(ARGS)

# Everything that must hold, with a real Kafka, a real registry and real clients.
test:
	@scripts/setup test
	@scripts/kafka prepare
	@scripts/pebble prepare
	@scripts/python -c 'import duckdb, deltalake, moto'
	@$(ENV) cargo test --workspace

# Every client of docs/clients.md, not skopeo, curl and wget alone, and the conformance suite; as root, for runtimes unpack images. The first
# time takes ten minutes more. It fails when a client does something else than the page says, and writes into the page what it did.
test-clients:
	@scripts/setup test
	@scripts/clients prepare
	@$(ENV) CLIENTS=all CLIENTS_PAGE=write cargo test -p whopulls-ingest --test clients

# What else CI asks.
check:
	@scripts/setup build
	@$(ENV) cargo fmt --all --check
	@$(ENV) cargo clippy --workspace --all-targets -- -D warnings
	@$(ENV) RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --quiet
	@scripts/deny

# Kills gateway, worker and broker at random moments: at least 20 kills. SEED and KILLS may be set.
chaos:
	@scripts/setup test
	@scripts/kafka prepare
	@$(ENV) CHAOS_KILLS=$${KILLS:-24} cargo test --workspace --test it -- --nocapture kills

# Overrides on a table of 30 days and 5 million events: planned, applied, killed, queried meanwhile. EVENTS may be set.
past:
	@scripts/setup test
	@$(ENV) PAST_EVENTS=$${EVENTS:-5000000} cargo test --workspace --test it -- --nocapture --test-threads 1 past::

# The spool beside a plain file, the gateway beside nginx, an import beside GoAccess and DuckDB. ROUNDS, SECONDS and CONNECTIONS may be set.
bench:
	@scripts/setup bench
	@$(ENV) cargo bench -p whopulls-ingest
	@$(ENV) bench/gateway/run
	@$(ENV) bench/import/run

# The gateway at half its greatest rate while its upstreams misbehave. MINUTES, SEED and RATE_MAX may be set.
soak:
	@scripts/setup test
	@$(ENV) cargo bench -p whopulls-ingest --bench soak -- --minutes $${MINUTES:-30} --seed $${SEED:-1} --rate-max $${RATE_MAX:-15000}

# The overlay of known networks against the registry's names. LABELS may name a CSV of networks labelled by hand: asn,name,kind.
overlay-check:
	@scripts/setup build
	@$(ENV) cargo run --quiet --bin whopulls -- geo overlay-check --overlay enrich/geo/networks.csv $${LABELS:+--labels $$LABELS}

# Arbitrary bytes into everything that reads them, target after target. SECONDS_EACH may be set.
fuzz:
	@$(ENV) scripts/fuzz $${SECONDS_EACH:-60}

build:
	@scripts/setup build
	@$(ENV) cargo build --release --bin whopulls --bin whopulls-gateway
