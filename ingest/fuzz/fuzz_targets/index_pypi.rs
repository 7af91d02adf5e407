//! Python's simple index, HTML and JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_ingest::gateway::properties;

fuzz_target!(|bytes: &[u8]| properties::a_python_pages_links_lead_back_to_its_files(bytes));
