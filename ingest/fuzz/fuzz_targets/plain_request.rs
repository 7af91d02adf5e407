//! Request heads, by the plain way and by the general one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_ingest::gateway::properties;

fuzz_target!(|bytes: &[u8]| properties::a_plain_request_is_what_the_general_way_reads(bytes));
