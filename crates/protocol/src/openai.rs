//! Wire types of the OpenAI dialect.

pub mod chat;
mod models;

pub use models::{Model, ModelList};
