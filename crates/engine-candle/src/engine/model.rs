//! What the engine needs of a model.

use std::error::Error;

use candle_core::{CpuStorage, Storage};

use crate::text::cache::KvCache;
use crate::{Decoder, LogitsOf, Span};

/// A failure inside a model.
pub(super) type ModelError = Box<dyn Error + Send + Sync>;

/// A model that computes logits token by token.
pub(super) trait LogitsModel: Send + Sync + 'static {
    /// The state of one sequence.
    type Cache: Send;

    fn context_length(&self) -> u32;

    fn vocabulary_size(&self) -> u32;

    fn new_cache(&self) -> Self::Cache;

    /// Appends tokens to a sequence and, if asked to, replaces `logits` by those of the last one.
    /// `rope_length` is described at [`Span`].
    fn compute(
        &self,
        tokens: &[u32],
        cache: &mut Self::Cache,
        rope_length: usize,
        logits: Option<&mut Vec<f32>>,
    ) -> Result<(), ModelError>;
}

impl LogitsModel for Decoder {
    type Cache = KvCache;

    fn context_length(&self) -> u32 {
        Decoder::context_length(self)
    }

    fn vocabulary_size(&self) -> u32 {
        u32::try_from(self.config().vocab_size).unwrap_or(u32::MAX)
    }

    fn new_cache(&self) -> KvCache {
        Decoder::new_cache(self)
    }

    fn compute(
        &self,
        tokens: &[u32],
        cache: &mut KvCache,
        rope_length: usize,
        logits: Option<&mut Vec<f32>>,
    ) -> Result<(), ModelError> {
        let wanted = if logits.is_some() {
            LogitsOf::Last
        } else {
            LogitsOf::Nothing
        };
        let computed = self.forward(&mut [Span {
            tokens,
            cache,
            rope_length,
            logits: wanted,
        }])?;
        let (Some(target), Some(computed)) = (logits, computed) else {
            return Ok(());
        };
        target.clear();
        let (storage, layout) = computed.storage_and_layout();
        match (&*storage, layout.contiguous_offsets()) {
            (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => {
                target.extend_from_slice(&values[start..end]);
            }
            _ => target.extend(computed.flatten_all()?.to_vec1::<f32>()?),
        }
        Ok(())
    }
}
