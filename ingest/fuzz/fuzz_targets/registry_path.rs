//! Paths of the registry API.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_ingest::gateway::properties;

fuzz_target!(|bytes: &[u8]| properties::a_registry_path_is_read_whole_or_not_at_all(bytes));
