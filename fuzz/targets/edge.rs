//! See [`mcp_reporter_fuzz::edge`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mcp_reporter_fuzz::edge::check(input));
