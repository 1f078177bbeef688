//! What the engine needs of a model.

use std::error::Error;

use candle_core::{CpuStorage, Storage};

use super::speculation::Costs;
use crate::text::cache::KvView;
use crate::text::cache::blocks::{BLOCK, BlockTable};
use crate::text::cache::store::KvStore;
use crate::text::lora::Adapter;
use crate::{Decoder, LoadError, LogitsOf, Span, memory};

/// A failure inside a model.
pub(super) type ModelError = Box<dyn Error + Send + Sync>;

/// The part of one sequence that a step computes.
pub(super) struct Step<'sequence> {
    /// The tokens that follow those in the table, at least one.
    pub(super) tokens: &'sequence [u32],
    /// Has blocks for the tokens.
    pub(super) table: &'sequence mut BlockTable,
    /// Described at [`Span`].
    pub(super) rope_length: usize,
    /// Whose logits are wanted: the last token's, or all when some of them are drafted.
    pub(super) logits: LogitsOf,
    /// What is added to the model's products.
    pub(super) adapter: Option<&'sequence Adapter>,
}

impl Step<'_> {
    fn span<'step>(&'step mut self, store: &'step KvStore) -> Span<'step> {
        Span {
            tokens: self.tokens,
            cache: KvView {
                store,
                table: self.table,
            },
            rope_length: self.rope_length,
            logits: self.logits,
        }
    }

    /// The number of tokens whose logits are wanted.
    pub(super) fn rows(&self) -> usize {
        match self.logits {
            LogitsOf::Nothing => 0,
            LogitsOf::Last => 1,
            LogitsOf::All => self.tokens.len(),
        }
    }
}

/// A model that computes logits token by token, with all sequences' state in blocks.
pub(super) trait LogitsModel: Send + Sync + 'static {
    fn context_length(&self) -> u32;

    fn vocabulary_size(&self) -> u32;

    /// The number of blocks there is memory for, enough for one sequence of the whole context.
    fn blocks(&self) -> usize;

    /// Whether a position's state depends on more than the tokens up to it.
    fn keys_depend_on_length(&self) -> bool {
        false
    }

    /// Whether a token's logits are the same, in every bit, however many tokens are computed with it.
    /// Only then are drafts verified without changing an answer.
    fn rows_are_independent(&self) -> bool {
        true
    }

    /// What a pass on so many threads takes. A wrong estimate costs time and changes no answer.
    fn costs(&self, threads: usize) -> Costs {
        // Of any model in eight bits.
        Costs::new(1.0, 1.0, threads)
    }

    /// Computes the next tokens of several sequences in one pass, advances their tables, and
    /// replaces `logits` by the wanted ones, step by step. After an error no table has changed.
    fn compute(&self, steps: &mut [Step<'_>], logits: &mut Vec<f32>) -> Result<(), ModelError>;
}

/// A decoder with memory for the blocks of all sequences.
pub(super) struct PagedDecoder {
    decoder: Decoder,
    store: KvStore,
    context_length: u32,
}

impl PagedDecoder {
    /// Takes at most `bytes` of memory for blocks. Where that is less than the model's context needs, the
    /// context becomes shorter, unless it was `chosen`.
    ///
    /// # Errors
    /// [`LoadError::Context`] when the memory is too little for the chosen context, and [`LoadError::Cache`] when
    /// the machine or the device has not enough.
    pub(super) fn new(decoder: Decoder, bytes: u64, chosen: Option<u32>) -> Result<Self, LoadError> {
        let block_bytes = decoder.block_bytes().max(1) as u64;
        let blocks = usize::try_from(bytes / block_bytes).unwrap_or(usize::MAX).max(1);
        let positions = u32::try_from(blocks.saturating_mul(BLOCK)).unwrap_or(u32::MAX);
        let context = decoder.context_length();
        let needed_mb = cache_mb(block_bytes, context);
        if positions < context && chosen.is_some() {
            return Err(LoadError::Context {
                context,
                needed_mb,
                given_mb: bytes >> 20,
                positions,
            });
        }
        if positions < context {
            tracing::warn!(
                positions,
                context,
                needed_mb,
                "engine.kv_cache_mb is too little for the model's context of {context} tokens, which becomes {positions}; it needs {needed_mb}"
            );
        }
        let bytes = block_bytes.saturating_mul(blocks as u64);
        let refused = |source: ModelError| LoadError::Cache { bytes, source };
        if decoder.is_on_cpu() {
            memory::check(bytes).map_err(|error| refused(error.into()))?;
        }
        Ok(Self {
            store: decoder.new_store(blocks).map_err(|error| refused(error.into()))?,
            context_length: context.min(positions),
            decoder,
        })
    }
}

impl LogitsModel for PagedDecoder {
    fn context_length(&self) -> u32 {
        self.context_length
    }

    fn vocabulary_size(&self) -> u32 {
        u32::try_from(self.decoder.config().vocab_size).unwrap_or(u32::MAX)
    }

    fn blocks(&self) -> usize {
        self.store.capacity()
    }

    fn keys_depend_on_length(&self) -> bool {
        self.decoder.keys_depend_on_length()
    }

    fn rows_are_independent(&self) -> bool {
        // The products on other devices are candle's, which choose their way by the number of rows.
        self.decoder.is_on_cpu()
    }

    fn costs(&self, threads: usize) -> Costs {
        let config = self.decoder.config();
        let layers = real(config.layers);
        let position = match &config.mla {
            // A head reads the latent twice, for its score and for its value.
            Some(mla) => real(config.heads * (2 * mla.rank + mla.rope_width)),
            None => real(2 * config.heads * config.head_dim),
        };
        let (experts, chosen) = match &config.moe {
            Some(moe) => {
                let blocks = moe.layers.iter().filter(|has| **has).count();
                let weights = 3 * config.hidden_size * moe.intermediate_size;
                let experts = real(blocks * moe.experts * weights);
                (experts, real(moe.chosen) / real(moe.experts))
            }
            None => (0.0, 0.0),
        };
        let (weights, bytes) = self.decoder.size_of_pass();
        let weights = real(weights);
        let costs = Costs::new(weights, real(bytes), threads);
        Costs {
            dense: (weights - experts).max(0.0),
            experts,
            chosen,
            position: layers * position,
            ..costs
        }
    }

    fn compute(&self, steps: &mut [Step<'_>], logits: &mut Vec<f32>) -> Result<(), ModelError> {
        let adapters: Vec<_> = steps.iter().map(|step| step.adapter).collect();
        let spans = steps.iter_mut().map(|step| step.span(&self.store));
        let mut spans: Vec<Span<'_>> = spans.collect();
        logits.clear();
        let Some(computed) = self.decoder.forward_adapted(&mut spans, &adapters)? else {
            return Ok(());
        };
        let (storage, layout) = computed.storage_and_layout();
        match (&*storage, layout.contiguous_offsets()) {
            (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => {
                logits.extend_from_slice(&values[start..end]);
            }
            _ => logits.extend(computed.flatten_all()?.to_vec1::<f32>()?),
        }
        Ok(())
    }
}

/// The memory for the keys and values of so many positions, in MiB, rounded up.
pub(super) fn cache_mb(block_bytes: u64, positions: u32) -> u64 {
    let blocks = u64::from(positions).div_ceil(BLOCK as u64);
    blocks.saturating_mul(block_bytes).div_ceil(1 << 20)
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn real(count: usize) -> f32 {
    count as f32
}

#[cfg(test)]
mod tests;
