//! Test support: databases per test, a running application, builders.

pub mod database;
mod postgres;
mod server;

pub use server::{Refused, ServerBuilder, Signal, Stopped, TestServer};
