//! The binary `silica`. Wiring only.

fn main() {}
