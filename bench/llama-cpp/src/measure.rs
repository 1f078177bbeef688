//! Speed, in tokens per second.

use std::fs;
use std::num::NonZeroU32;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Args;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use serde::Serialize;

use crate::ModelArguments;
use crate::tokens::{best, prompt, vocabulary};

/// What to measure.
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
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    decode: u32,
    /// Sequences that are computed at once.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    sequences: u32,
    /// Tokens of the prompt of each sequence that is computed with others.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    batch_prompt: u32,
}

/// The same fields as `silica bench engine --json` writes; figures in the order of the rounds.
#[derive(Debug, Serialize)]
struct Report {
    engine: &'static str,
    version: String,
    system: String,
    threads: i32,
    load_s: f64,
    prefill: Vec<f64>,
    decode: Vec<f64>,
    batch: Vec<f64>,
    resident_mb: f64,
    peak_mb: f64,
}

pub(crate) fn run(backend: &LlamaBackend, arguments: &EngineArguments) -> Result<()> {
    let started = Instant::now();
    let model = arguments.model.load(backend)?;
    let mut session = Session::new(backend, &model, arguments)?;
    let load_s = started.elapsed().as_secs_f64();
    session.warm_up()?;
    let resident_mb = memory_mb("VmRSS:")?;
    let mut report = Report {
        engine: "llama.cpp",
        version: crate::version(),
        system: crate::system_info(),
        threads: arguments.model.threads,
        load_s,
        prefill: Vec::new(),
        decode: Vec::new(),
        batch: Vec::new(),
        resident_mb,
        peak_mb: 0.0,
    };
    for _ in 0..arguments.rounds {
        let (prefill, decode) = session.alone()?;
        report.prefill.push(prefill);
        report.decode.push(decode);
        report.batch.push(session.together()?);
    }
    report.peak_mb = memory_mb("VmHWM:")?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

/// A loaded model with memory for all sequences.
struct Session<'model> {
    context: LlamaContext<'model>,
    batch: LlamaBatch<'static>,
    vocabulary: u32,
    /// The number of the next prompt.
    next: u32,
    prompt: u32,
    decode: u32,
    sequences: u32,
    batch_prompt: u32,
}

impl<'model> Session<'model> {
    fn new(backend: &LlamaBackend, model: &'model LlamaModel, arguments: &EngineArguments) -> Result<Self> {
        let longest = arguments.prompt.max(arguments.batch_prompt) + arguments.decode + 1;
        // Each sequence has its own share of the positions.
        let positions = longest * arguments.sequences;
        let together = arguments.prompt.max(arguments.batch_prompt * arguments.sequences);
        let parameters = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(positions))
            .with_n_batch(together.max(2048))
            .with_n_seq_max(arguments.sequences)
            .with_n_threads(arguments.model.threads)
            .with_n_threads_batch(arguments.model.threads);
        Ok(Self {
            context: model.new_context(backend, parameters)?,
            batch: LlamaBatch::new(together as usize, 1),
            vocabulary: vocabulary(model)?,
            next: 0,
            prompt: arguments.prompt,
            decode: arguments.decode,
            sequences: arguments.sequences,
            batch_prompt: arguments.batch_prompt,
        })
    }

    fn next_prompt(&mut self, length: u32) -> Vec<LlamaToken> {
        self.next += 1;
        prompt(self.next, length, self.vocabulary)
    }

    /// A prompt and a few tokens, so that all memory has been touched once.
    fn warm_up(&mut self) -> Result<()> {
        let prompt = self.next_prompt(self.prompt);
        self.start(&[prompt])?;
        self.context.clear_kv_cache();
        Ok(())
    }

    /// One sequence: tokens per second of its prompt, up to its first token, and of the others.
    fn alone(&mut self) -> Result<(f64, f64)> {
        let prompt = self.next_prompt(self.prompt);
        let length = self.prompt;
        let started = Instant::now();
        let first = self.start(&[prompt])?;
        let prefill = f64::from(length) / started.elapsed().as_secs_f64();
        let decode = self.go_on(first, length)?;
        self.context.clear_kv_cache();
        Ok((prefill, decode))
    }

    /// Many sequences in one batch: tokens per second of all of them, once all have their first.
    fn together(&mut self) -> Result<f64> {
        let length = self.batch_prompt;
        let prompts: Vec<_> = (0..self.sequences).map(|_| self.next_prompt(length)).collect();
        let first = self.start(&prompts)?;
        let rate = self.go_on(first, length)?;
        self.context.clear_kv_cache();
        Ok(rate)
    }

    /// Computes the prompts in one batch and gives back the best next token of each.
    fn start(&mut self, prompts: &[Vec<LlamaToken>]) -> Result<Vec<LlamaToken>> {
        self.batch.clear();
        let mut ends = Vec::new();
        for (sequence, prompt) in (0..).zip(prompts) {
            self.batch.add_sequence(prompt, sequence, false)?;
            ends.push(self.batch.n_tokens() - 1);
        }
        self.context.decode(&mut self.batch)?;
        Ok(self.best_at(&ends))
    }

    /// Generates `decode` more tokens of each sequence; tokens per second of all together.
    fn go_on(&mut self, mut tokens: Vec<LlamaToken>, length: u32) -> Result<f64> {
        let rows: Vec<i32> = (0..).take(tokens.len()).collect();
        let started = Instant::now();
        for step in 0..self.decode {
            let position = i32::try_from(length + step)?;
            self.batch.clear();
            for (token, sequence) in tokens.iter().zip(&rows) {
                self.batch.add(*token, position, &[*sequence], true)?;
            }
            self.context.decode(&mut self.batch)?;
            tokens = self.best_at(&rows);
        }
        let produced = f64::from(self.decode) * f64::from(u32::try_from(tokens.len())?);
        Ok(produced / started.elapsed().as_secs_f64())
    }

    fn best_at(&self, rows: &[i32]) -> Vec<LlamaToken> {
        rows.iter()
            .map(|row| best(self.context.get_logits_ith(*row)))
            .collect()
    }
}

/// A field of `/proc/self/status` in megabytes.
fn memory_mb(field: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let line = line.with_context(|| format!("/proc/self/status has no {field}"))?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024.0 / 1e6)
}
