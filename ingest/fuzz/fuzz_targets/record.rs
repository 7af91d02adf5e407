//! A request head and its record.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_ingest::gateway::properties;

fuzz_target!(|bytes: &[u8]| properties::a_record_is_bounded_reads_back_and_keeps_no_secret(bytes));
