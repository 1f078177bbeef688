//! The journal on real files: order, kills, full disks, damage.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests; the exemption of clippy.toml covers test functions only"
)]

mod damage;
mod files;
mod full_disk;
mod gap;
mod kill;
mod life;
mod salvage;
mod support;
