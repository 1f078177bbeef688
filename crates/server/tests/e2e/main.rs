//! The real binary, from outside: start, answer, refuse, stop.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests; the exemption of clippy.toml covers test functions only"
)]

mod adapters;
mod admission;
mod bad_input;
mod bench;
mod bills;
mod cancel;
mod catalogue_file;
mod cluster;
mod constrained;
mod credits;
mod dialects;
mod embedded;
mod endpoints;
mod estimate;
mod faults_database;
mod faults_disk;
mod faults_journal;
mod faults_upstream;
mod first_start;
mod heavy;
mod images;
mod key_limits;
mod keys;
mod levels;
mod migrate;
mod models;
mod models_command;
mod moderation;
mod pace;
mod readers;
mod refused;
mod secrets;
mod shared_database;
mod shutdown;
mod small_disk;
mod support;
mod till;
mod traces;
mod transport;
mod upstream_ca;
mod vision;
mod weights;
