//! Measures llama.cpp on one GGUF file the way `silica bench engine` measures Silica's engine: the
//! same tokens, the same figures, the same JSON. `bench/engine/run.py` runs the two in turn.

mod logits;
mod measure;
mod quantize;
mod tokens;

use std::ffi::CStr;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;

/// Measures llama.cpp.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prefill, decode alone, decode of many sequences in one batch.
    Engine(measure::EngineArguments),
    /// Writes the logits at every position of fixed sequences as f32, little-endian.
    Logits(logits::LogitsArguments),
    /// Writes a GGUF of another format, as llama.cpp's `llama-quantize` does.
    Quantize(quantize::QuantizeArguments),
    /// Prints llama.cpp's version and what processor features it was built for.
    About,
}

/// Which file, and how many threads.
#[derive(Debug, Args)]
struct ModelArguments {
    /// The GGUF file.
    model: PathBuf,
    /// Compute threads.
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    threads: i32,
}

impl ModelArguments {
    fn load(&self, backend: &LlamaBackend) -> Result<LlamaModel> {
        Ok(LlamaModel::load_from_file(
            backend,
            &self.model,
            &LlamaModelParams::default(),
        )?)
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut backend = LlamaBackend::init()?;
    backend.void_logs();
    match arguments.command {
        Command::Engine(arguments) => measure::run(&backend, &arguments),
        Command::Logits(arguments) => logits::run(&backend, &arguments),
        Command::Quantize(arguments) => quantize::run(&arguments),
        Command::About => {
            println!("llama.cpp {}", version());
            println!("{}", system_info());
            Ok(())
        }
    }
}

/// llama.cpp's own version.
fn version() -> String {
    // SAFETY: the function has no conditions and returns a string that lives as long as the program.
    unsafe { CStr::from_ptr(llama_cpp_sys_2::llama_version()) }
        .to_string_lossy()
        .into_owned()
}

/// The processor features that llama.cpp was built for and found.
fn system_info() -> String {
    // SAFETY: the function has no conditions and returns a string that lives until its next call.
    unsafe { CStr::from_ptr(llama_cpp_sys_2::llama_print_system_info()) }
        .to_string_lossy()
        .into_owned()
}
