//! The `fhe-llama` binary.
fn main() {}
