//! See [`mcp_reporter_fuzz::record`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mcp_reporter_fuzz::record::check(input));
