//! What the engine needs of a model.

use std::error::Error;

use candle_core::{CpuStorage, Storage};

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
    /// Takes at most `bytes` of memory for blocks. Where that is less than the model's context
    /// needs, the context becomes shorter.
    ///
    /// # Errors
    /// [`LoadError::Cache`] when the machine or the device has not enough memory.
    pub(super) fn new(decoder: Decoder, bytes: u64) -> Result<Self, LoadError> {
        let block_bytes = decoder.block_bytes().max(1) as u64;
        let blocks = usize::try_from(bytes / block_bytes).unwrap_or(usize::MAX).max(1);
        let positions = u32::try_from(blocks.saturating_mul(BLOCK)).unwrap_or(u32::MAX);
        if positions < decoder.context_length() {
            tracing::warn!(
                positions,
                context = decoder.context_length(),
                "the cache is too small for the model's context, which becomes shorter"
            );
        }
        let bytes = block_bytes.saturating_mul(blocks as u64);
        let refused = |source: ModelError| LoadError::Cache { bytes, source };
        if decoder.is_on_cpu() {
            memory::check(bytes).map_err(|error| refused(error.into()))?;
        }
        Ok(Self {
            store: decoder.new_store(blocks).map_err(|error| refused(error.into()))?,
            context_length: decoder.context_length().min(positions),
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

#[cfg(test)]
mod tests;
