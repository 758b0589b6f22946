//! See the function in the library.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| throng_fuzz::socketio_session(data));
