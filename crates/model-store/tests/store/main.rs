//! The store against a scripted hub and folders of this machine.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests; the exemption of clippy.toml covers test functions only"
)]

mod access;
mod faults;
mod fetched;
mod local;
mod refused;
mod shards;
mod support;
