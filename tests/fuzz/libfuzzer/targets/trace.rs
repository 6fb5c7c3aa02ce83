#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    fuzz_targets::timed(|| {
        let _ = fuzz::trace(data);
    });
});
