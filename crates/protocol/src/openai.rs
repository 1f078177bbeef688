//! Wire types of the OpenAI dialect.

pub mod chat;
pub mod completions;
pub mod embeddings;
mod models;
pub mod moderations;
pub mod responses;

pub use models::{Model, ModelList};
