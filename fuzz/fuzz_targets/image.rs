#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    safe_layers_fuzz::bodies::image(input);
});
