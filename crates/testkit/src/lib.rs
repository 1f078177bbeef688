//! Test support: databases per test, a running application, a scripted engine and a scripted hub behind HTTP.

mod bench_mock;
mod chaos;
pub mod database;
mod hub;
mod ledger;
mod moderation;
mod own_postgres;
mod own_redis;
mod postgres;
mod server;
mod upstream;

pub use bench_mock::BenchMock;
pub use chaos::chaos_time;
pub use hub::{HUB_COMMIT, HubFault, HubRequest, HubServer, ModelHub};
pub use ledger::ledger_discrepancies;
pub use moderation::{ModerationFault, ModerationServer};
pub use own_postgres::OwnPostgres;
pub use own_redis::OwnRedis;
pub use server::{Refused, ServerBuilder, Signal, Stopped, TestServer};
pub use upstream::{
    DeadEnd, FirstFrame, LineEnds, ReasoningField, Upstream, UpstreamCall, UpstreamFault, UpstreamOutcome,
    UpstreamRequest, UpstreamRoute, UpstreamScript, UsageFrames, scripted_embedding,
};
