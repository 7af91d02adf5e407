//! Patterns, regular expressions and URL templates, and the requests that they answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_ingest::gateway::properties;

fuzz_target!(|bytes: &[u8]| properties::no_path_changes_the_host_of_a_redirect(bytes));
