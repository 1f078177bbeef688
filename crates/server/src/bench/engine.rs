//! `silica bench engine` and `silica bench logits`: an embedded engine inside this process, without
//! a server. `bench/engine/run.py` runs them in turn with llama.cpp on the same file.

mod logits;
mod measure;
mod memory;
mod prompt;
mod report;

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use silica_engine_candle::{CandleEngine, CandleOptions, Dtype, Quantization, Speculation};

pub(super) use logits::{LogitsArguments, write as write_logits};
use measure::Session;
use report::{Report, table};

use crate::terminal;

/// Arguments of `silica bench engine`.
#[derive(Debug, Args)]
pub(crate) struct EngineArguments {
    #[command(flatten)]
    model: ModelArguments,
    /// How often everything is measured, after one warm-up.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Tokens of the prompt.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    prompt: u32,
    /// Tokens that each sequence generates after its first one.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..))]
    decode: u32,
    /// Sequences that are computed at once.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    sequences: u16,
    /// Tokens of the prompt of each sequence that is computed with others.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    batch_prompt: u32,
    /// Tokens that two prompts share, for the time to the first token with and without an earlier
    /// prompt that begins alike; 0 leaves this out.
    #[arg(long, default_value_t = 2000)]
    prefix: u32,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Which model, and how it is loaded.
#[derive(Debug, Args)]
struct ModelArguments {
    /// The model: a folder or a GGUF file.
    #[arg(value_name = "MODEL")]
    path: PathBuf,
    /// Compute threads; the default is that of a server: the number of cores minus one, at least
    /// one.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// The number format of weights that are not quantised.
    #[arg(long, value_enum, default_value_t = WeightFormat::F32)]
    dtype: WeightFormat,
    /// What becomes of weights that are not quantised in their file.
    #[arg(long, value_enum)]
    quantize: Option<WeightQuantization>,
}

/// Number formats of weights.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum WeightFormat {
    F32,
    Bf16,
}

impl From<WeightFormat> for Dtype {
    fn from(format: WeightFormat) -> Self {
        match format {
            WeightFormat::F32 => Self::F32,
            WeightFormat::Bf16 => Self::Bf16,
        }
    }
}

/// Quantisations as weights are loaded.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum WeightQuantization {
    #[value(name = "q8_0")]
    Q8,
    #[value(name = "q4_0")]
    Q4,
}

impl From<WeightQuantization> for Quantization {
    fn from(quantization: WeightQuantization) -> Self {
        match quantization {
            WeightQuantization::Q8 => Self::Q8_0,
            WeightQuantization::Q4 => Self::Q4_0,
        }
    }
}

impl ModelArguments {
    fn options(&self) -> CandleOptions {
        CandleOptions {
            threads: self.threads.map(usize::from),
            dtype: self.dtype.into(),
            quantize: self.quantize.map(Quantization::from),
            name: "bench".to_owned(),
            // Random weights repeat themselves; what is measured is the time of a step.
            speculation: Speculation::Off,
            ..CandleOptions::default()
        }
    }
}

/// Measures an engine and prints the result.
///
/// # Errors
/// When the model cannot be loaded, or the engine refuses or fails a request.
pub(super) async fn run(arguments: EngineArguments) -> anyhow::Result<()> {
    let options = CandleOptions {
        max_sequences: usize::from(arguments.sequences),
        max_waiting: usize::from(arguments.sequences),
        ..arguments.model.options()
    };
    let threads = options.thread_count();
    let started = Instant::now();
    let engine = CandleEngine::load(&arguments.model.path, options)?;
    let load = started.elapsed();
    let mut session = Session::new(engine);
    session.alone(arguments.prompt, 2).await?;
    let mut report = Report::new(threads, load, memory::resident()?);
    for _ in 0..arguments.rounds {
        let (prefill, decode) = session.alone(arguments.prompt, arguments.decode).await?;
        report.prefill.push(prefill);
        report.decode.push(decode);
        let sequences = usize::from(arguments.sequences);
        let together = session.together(sequences, arguments.batch_prompt, arguments.decode);
        report.batch.push(together.await?);
        if arguments.prefix > 0 {
            report.add_first_tokens(&session.first_tokens(arguments.prefix).await?);
        }
    }
    report.peak_mb = memory::peak()?;
    if arguments.json {
        terminal::say(&serde_json::to_string_pretty(&report)?);
    } else {
        terminal::say(table(&report, &arguments).trim_end());
    }
    Ok(())
}
