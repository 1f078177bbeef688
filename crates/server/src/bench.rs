//! `silica bench`: measures a running server from outside, through its public API only.

mod chat;
mod percentile;
mod probe;
mod prompt;
mod report;
mod sse;
mod stream;

use clap::Subcommand;

use crate::config::Environment;
use chat::ChatArguments;

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Streamed chat completions: time to first token, time between tokens, throughput.
    Chat(ChatArguments),
}

/// Runs a measurement and prints its table.
///
/// # Errors
/// When the server cannot be reached, or when a request failed: such a run is void.
pub(crate) fn run(command: BenchCommand, environment: &Environment) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    match command {
        BenchCommand::Chat(arguments) => runtime.block_on(chat::run(arguments, environment)),
    }
}
