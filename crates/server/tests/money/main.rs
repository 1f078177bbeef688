//! The money test: many clients with faults and disconnects, a server that is killed again and
//! again, and an engine whose totals are known. Afterwards the ledger must be right to the nano.
//!
//! `make test` runs it for seconds, `make chaos` for as long as it is told.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests; the exemption of clippy.toml covers test functions only"
)]

mod audit;
mod client;
mod cluster;
mod ledger;
mod nano;
mod plan;
mod run;
mod world;

use std::time::Duration;

use silica_testkit::{chaos_time, on_each_database};

/// How long the clients call in `make test`.
const SHORT: Duration = Duration::from_secs(8);

on_each_database! {
    async fn every_call_is_paid_once_and_exactly_whatever_breaks(database) {
        let time = chaos_time().unwrap_or(SHORT);
        let (world, _server) = Box::pin(run::run(database, time)).await;
        Box::pin(audit::audit(&world, database)).await;
    }
}

#[tokio::test]
async fn every_call_is_paid_once_and_exactly_on_two_servers_whose_redis_dies_too() {
    let database = silica_testkit::database::postgres().await;
    // Less happens at a time: calls are refused while Redis is away.
    let time = chaos_time().unwrap_or(SHORT * 2);
    let (world, _server, _redis) = Box::pin(cluster::run(&database, time)).await;
    Box::pin(audit::audit(&world, &database)).await;
}
