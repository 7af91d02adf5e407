//! `X-Forwarded-For` under every kind of trust.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_ingest::gateway::properties;

fuzz_target!(|bytes: &[u8]| properties::a_client_cannot_write_its_own_address(bytes));
