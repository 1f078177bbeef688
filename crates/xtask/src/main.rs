//! Generators and tidy checks of the workspace: `cargo xtask --help`.

mod random_model;
mod tidy;

use std::path::Path;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Generators and tidy checks of the workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes a model of a real shape with random weights, for benchmarks and tests.
    RandomModel(random_model::RandomModel),
    /// Checks which crate knows which, and how long files are.
    Tidy,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::RandomModel(arguments) => random_model::run(&arguments),
        Command::Tidy => tidy::run(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")),
    }
}
