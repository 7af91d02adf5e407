//! Files of the cache.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_ingest::gateway::properties;

fuzz_target!(|bytes: &[u8]| properties::a_file_of_the_cache_is_refused_or_reads_back(bytes));
