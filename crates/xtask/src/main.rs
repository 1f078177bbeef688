//! Generators and tidy checks of the workspace: `cargo xtask --help`.

mod random_model;

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
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::RandomModel(arguments) => random_model::run(&arguments),
    }
}
