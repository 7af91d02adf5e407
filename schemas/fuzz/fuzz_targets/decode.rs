//! Arbitrary bytes into the decoder: it never panics, and what it accepts it writes back to the same record.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_schemas::raw::RawAccess;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = RawAccess::decode(bytes) {
        assert_eq!(RawAccess::decode(&record.encode()).as_ref(), Ok(&record));
    }
});
