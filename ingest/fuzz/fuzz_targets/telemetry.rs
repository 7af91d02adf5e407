//! Objects that programs send.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_ingest::gateway::properties;

fuzz_target!(|bytes: &[u8]| properties::an_object_that_is_taken_fits_into_a_record(bytes));
