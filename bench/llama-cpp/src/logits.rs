//! Logits at every position of fixed sequences.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::num::NonZeroU32;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use llama_cpp_2::context::params::{KvCacheType, LlamaContextParams};
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;

use crate::ModelArguments;
use crate::tokens::{prompt, vocabulary};

/// Which logits, and where to.
#[derive(Debug, Args)]
pub(crate) struct LogitsArguments {
    #[command(flatten)]
    model: ModelArguments,
    /// The length of the sequence.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=512))]
    positions: u32,
    /// How many sequences, one after the other in the file.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    sequences: u32,
    /// Compute as exactly as llama.cpp can: keys and values in F32, attention without its fast way.
    #[arg(long)]
    reference: bool,
    /// The file to write.
    #[arg(long)]
    out: PathBuf,
}

pub(crate) fn run(backend: &LlamaBackend, arguments: &LogitsArguments) -> Result<()> {
    let model = arguments.model.load(backend)?;
    let mut parameters = LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(512))
        .with_n_threads(arguments.model.threads)
        .with_n_threads_batch(arguments.model.threads);
    if arguments.reference {
        parameters = parameters
            .with_type_k(KvCacheType::F32)
            .with_type_v(KvCacheType::F32)
            .with_flash_attention_policy(llama_cpp_sys_2::LLAMA_FLASH_ATTN_TYPE_DISABLED);
    }
    let mut context = model.new_context(backend, parameters)?;
    let file =
        File::create(&arguments.out).with_context(|| format!("cannot write {}", arguments.out.display()))?;
    let mut file = BufWriter::new(file);
    for sequence in 0..arguments.sequences {
        let tokens = prompt(sequence, arguments.positions, vocabulary(&model)?);
        let mut batch = LlamaBatch::new(tokens.len(), 1);
        batch.add_sequence(&tokens, 0, true)?;
        context.clear_kv_cache();
        context.decode(&mut batch)?;
        for row in 0..batch.n_tokens() {
            for value in context.get_logits_ith(row) {
                file.write_all(&value.to_le_bytes())?;
            }
        }
    }
    file.flush()?;
    Ok(())
}
