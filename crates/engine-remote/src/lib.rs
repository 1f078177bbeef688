//! Engines behind HTTP: servers that speak OpenAI's chat completions (vLLM, `SGLang`, llama-server,
//! hosted services).
//!
//! [`RemoteEngine`] implements the ports of `silica-engine`. A request that came in the engine's
//! dialect passes through as it is, and so does its answer (module `forward`). Others are written
//! and read (modules `wire` and `answer`), as streams, so that an answer that is cut can be counted
//! from what was forwarded. Where the upstream reports usage, its numbers count; until then they are estimated
//! (module `estimate`), and [`silica_types::UsageSource`] says which.
//!
//! An engine that does not end at `max_tokens` is cut off at a stated ceiling (module `ceiling`).
//!
//! [`RemoteModerator`] asks a server of OpenAI's moderations for judgements, over the same client.
//!
//! [`Fetcher`] downloads from addresses that users name, behind the same guard.
//!
//! Calls of engines never follow redirects, and nothing here asks a proxy, or logs texts and keys. A
//! call of which a byte was written is never repeated, because the engine may have worked on it: it fails.
//! A request that meets an idle connection which turns out to be closed, before any of it was
//! written, goes to another connection.

mod address;
mod answer;
mod authorities;
mod ceiling;
mod client;
mod connection;
mod endpoint;
mod engine;
mod error;
mod estimate;
mod fetch;
mod forward;
mod moderator;
mod options;
mod refusal;
mod sse;
mod stream;
mod tally;
mod tool_calls;
mod whole;
mod wire;

pub use authorities::Authorities;
pub use engine::RemoteEngine;
pub use error::{AddressError, OptionsError, RemoteError, TransferError};
pub use fetch::{FetchError, FetchOptions, FetchRequest, FetchedBody, Fetcher};
pub use moderator::{ModeratorOptions, RemoteModerator};
pub use options::RemoteOptions;
