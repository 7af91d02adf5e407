//! PROXY headers, as text and in binary.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_ingest::gateway::properties;

fuzz_target!(|bytes: &[u8]| properties::a_proxy_header_is_read_to_its_end_and_no_further(bytes));
