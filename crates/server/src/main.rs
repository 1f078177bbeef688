//! The binary `silica`. Wiring only: parses the command line and calls one function per command.

mod bench;
mod catalogue_file;
mod cli;
mod config;
mod journal;
mod logging;
mod migrate;
mod models;
mod otlp;
mod secrets;
mod serve;
mod setup;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::config::Environment;

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line with all causes: what a person reads first and a service manager keeps.
            terminal::complain(&format!("silica: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let environment = Environment::of_process();
    match cli.command {
        Command::Serve(arguments) => serve::run(&arguments, &environment),
        Command::Config(arguments) => config::run(&arguments, &environment),
        Command::Journal(arguments) => journal::run(&arguments.command),
        Command::Secrets(arguments) => secrets::run(&arguments.command, &environment),
        Command::Models(arguments) => models::run(&arguments.command, &environment),
        Command::Migrate(arguments) => migrate::run(&arguments, &environment),
        Command::Bench(arguments) => bench::run(arguments.command, &environment),
    }
}
