//! The configuration, its rules, and the requests that they answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_ingest::gateway::properties;

fuzz_target!(|bytes: &[u8]| properties::any_rules_answer_any_request(bytes));
