//! `silica bench logits`: the logits at every position of fixed sequences, to compare formats of
//! weights and engines with each other.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use silica_engine_candle::{Decoder, LogitsOf, Span};

use super::ModelArguments;
use super::prompt::prompt;

/// Arguments of `silica bench logits`.
#[derive(Debug, Args)]
pub(crate) struct LogitsArguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The length of a sequence.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=512))]
    positions: u32,
    /// How many sequences, one after the other in the file.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    sequences: u32,
    /// The file to write: f32, little-endian, position by position.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Computes the logits and writes them.
///
/// # Errors
/// When the model cannot be loaded, the computation fails or the file cannot be written.
pub(crate) fn write(arguments: &LogitsArguments) -> anyhow::Result<()> {
    let logits = on_threads(arguments.model.options().thread_count(), || compute(arguments))??;
    let path = &arguments.out;
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut file = BufWriter::new(file);
    for value in logits {
        file.write_all(&value.to_le_bytes())?;
    }
    file.flush()
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Does what uses rayon's threads on so many of them, as an engine does.
fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    Ok(pool.install(work))
}

/// The logits of all positions, sequence after sequence.
fn compute(arguments: &LogitsArguments) -> anyhow::Result<Vec<f32>> {
    let precision = arguments.model.options().precision();
    let decoder = Decoder::load(&arguments.model.path, precision, Some(arguments.positions))?;
    let vocabulary = u32::try_from(decoder.config().vocab_size)?;
    let mut all = Vec::new();
    for sequence in 0..arguments.sequences {
        let tokens = prompt(sequence, arguments.positions, vocabulary);
        let mut cache = decoder.new_cache()?;
        let span = Span {
            tokens: &tokens,
            cache: cache.view(),
            rope_length: tokens.len(),
            logits: LogitsOf::All,
        };
        let logits = decoder
            .forward(&mut [span])?
            .context("the model computed no logits")?;
        all.extend(logits.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_threads_compute_as_were_asked_for() {
        for threads in [1, 3] {
            assert_eq!(on_threads(threads, rayon::current_num_threads).unwrap(), threads);
        }
    }
}
