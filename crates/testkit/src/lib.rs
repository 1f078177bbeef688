//! Test support: databases per test, a running application, a scripted engine behind HTTP.

pub mod database;
mod postgres;
mod server;
mod upstream;

pub use server::{Refused, ServerBuilder, Signal, Stopped, TestServer};
pub use upstream::{
    Upstream, UpstreamCall, UpstreamFault, UpstreamOutcome, UpstreamRequest, UpstreamScript, UsageFrames,
};
