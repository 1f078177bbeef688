//! Writes models of real shapes with random weights, for benchmarks and tests.
//!
//! Speed does not depend on the values of the weights, so nothing has to be downloaded to measure
//! it. What such a model writes is noise, but every token of it decodes to printable text.

mod config;
mod shape;
mod tokenizer;
mod weights;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use self::shape::Shape;

/// What to write, and where.
#[derive(Debug, Args)]
pub(crate) struct RandomModel {
    /// The model whose shape the weights have.
    #[arg(long, value_enum)]
    shape: ShapeName,
    /// The folder to write; created if it does not exist.
    #[arg(long)]
    out: PathBuf,
    /// The number format of the weight file.
    #[arg(long, value_enum, default_value = "bf16")]
    dtype: Dtype,
    /// The same seed writes the same weights.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Shapes there are.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ShapeName {
    /// Qwen2.5-0.5B: 494 million parameters.
    #[value(name = "qwen2.5-0.5b")]
    Qwen25Half,
    /// A few hundred thousand parameters, for tests.
    Tiny,
}

/// Number formats of a weight file.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Dtype {
    F32,
    Bf16,
    F16,
}

/// Writes the folder: `config.json`, `generation_config.json`, `model.safetensors`, `tokenizer.json`,
/// `tokenizer_config.json` and `model.toml`.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn run(arguments: &RandomModel) -> Result<()> {
    let shape = match arguments.shape {
        ShapeName::Qwen25Half => Shape::qwen25_half(),
        ShapeName::Tiny => Shape::tiny(),
    };
    let folder = &arguments.out;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    write(folder, "config.json", &config::config(&shape, arguments.dtype))?;
    write(folder, "generation_config.json", &config::generation(&shape))?;
    write(folder, "tokenizer.json", &tokenizer::tokenizer(&shape))?;
    write(
        folder,
        "tokenizer_config.json",
        &tokenizer::tokenizer_config(&shape),
    )?;
    let manifest = folder.join("model.toml");
    fs::write(&manifest, config::manifest(&shape))
        .with_context(|| format!("cannot write {}", manifest.display()))?;
    weights::write(
        &folder.join("model.safetensors"),
        &shape,
        arguments.dtype,
        arguments.seed,
    )
}

fn write(folder: &Path, name: &str, value: &serde_json::Value) -> Result<()> {
    let path = folder.join(name);
    let text = serde_json::to_vec_pretty(value)?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests;
