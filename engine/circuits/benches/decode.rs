//! `cargo bench -p fhe-circuits --bench decode`: what one decoded token asks of `n16-llama` on this machine.

#![allow(missing_docs)] // criterion writes the entry point

fn main() {}
