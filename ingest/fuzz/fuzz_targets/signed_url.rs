//! Redirects of storages, and how long they may be handed out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_ingest::gateway::properties;

fuzz_target!(|bytes: &[u8]| properties::a_signed_url_is_not_handed_out_for_long(bytes));
