//! Helm's `index.yaml`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_ingest::gateway::properties;

fuzz_target!(|bytes: &[u8]| properties::a_helm_indexs_charts_are_found_again(bytes));
