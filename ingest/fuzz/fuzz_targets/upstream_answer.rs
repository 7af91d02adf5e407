//! Challenges, links, indexes and token answers of upstream registries.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_ingest::gateway::properties;

fuzz_target!(|bytes: &[u8]| properties::an_upstreams_answer_is_read_within_bounds(bytes));
