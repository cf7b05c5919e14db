//! The `flowsentry` program.

fn main() {}
