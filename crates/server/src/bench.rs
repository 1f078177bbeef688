//! `silica bench`: measures a running server from outside, through its public API only, or an
//! embedded engine without a server.

mod chat;
mod engine;
mod percentile;
mod probe;
mod prompt;
mod report;
mod sse;
mod stream;

use clap::Subcommand;

use crate::config::Environment;
use chat::ChatArguments;
use engine::{EngineArguments, LogitsArguments};

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Streamed chat completions: time to first token, time between tokens, throughput.
    Chat(ChatArguments),
    /// An embedded engine without a server: prefill, decode alone and of many sequences, the time to
    /// the first token with a shared beginning, memory.
    Engine(EngineArguments),
    /// Writes the logits at every position of a fixed sequence, to compare formats of weights.
    Logits(LogitsArguments),
}

/// Runs a measurement and prints its table.
///
/// # Errors
/// When the server cannot be reached or the model cannot be loaded, or when a request failed: such
/// a run is void.
pub(crate) fn run(command: BenchCommand, environment: &Environment) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    match command {
        BenchCommand::Chat(arguments) => runtime.block_on(chat::run(arguments, environment)),
        BenchCommand::Engine(arguments) => runtime.block_on(engine::run(arguments)),
        BenchCommand::Logits(arguments) => engine::write_logits(&arguments),
    }
}
