#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nullmailer::fuzz::submission(data));
