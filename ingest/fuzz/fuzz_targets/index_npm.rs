//! npm's package documents.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_ingest::gateway::properties;

fuzz_target!(|bytes: &[u8]| properties::an_npm_documents_tarballs_are_found_again(bytes));
