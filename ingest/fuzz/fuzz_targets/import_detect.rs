//! The first lines of a log whose format is not said.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_ingest::import::properties;

fuzz_target!(|bytes: &[u8]| properties::a_format_is_detected_or_not(bytes));
