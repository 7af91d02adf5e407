//! Foreign logs of cells between separators.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_ingest::import::properties;

fuzz_target!(|bytes: &[u8]| {
    properties::every_line_is_a_record_or_refused(bytes, &properties::OF_CELLS);
    properties::a_report_reads_or_refuses(bytes);
});
