//! See [`mcp_reporter_fuzz::config`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mcp_reporter_fuzz::config::check(input));
