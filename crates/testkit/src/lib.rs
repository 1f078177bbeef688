//! Test support: databases per test, a running application, builders.

pub mod database;
mod postgres;
