//! The gateway's own tokens, and the scopes that they are asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_ingest::gateway::properties;

fuzz_target!(|bytes: &[u8]| properties::a_token_is_read_as_it_was_made_or_not_at_all(bytes));
