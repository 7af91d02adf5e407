//! An nginx log_format and the lines that it wrote.
#![no_main]

use libfuzzer_sys::fuzz_target;
use whopulls_ingest::import::properties;

fuzz_target!(|bytes: &[u8]| properties::a_log_format_reads_its_lines_or_refuses_them(bytes));
