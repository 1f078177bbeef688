//! Engines that play what a test wrote down, on both levels of the port. Never part of the
//! shipped binary.
//!
//! Nothing here spawns, sleeps or keeps time: a test moves an engine forward by opening a
//! [`Gate`] (message level) or by releasing steps (token level).

mod chat;
mod random;
mod token;

pub use chat::{ChatScript, ChatStep, Gate, ScriptedChatEngine};
pub use random::RandomTokenEngine;
pub use token::{ScriptedTokenEngine, TokenScript};
