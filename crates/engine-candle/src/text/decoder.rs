//! The decoder: one forward pass for all supported families.

mod whole;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};

use super::cache::blocks::BLOCK;
use super::cache::store::{KvLayout, KvShape, KvStore, LatentShape};
use super::cache::{KvCache, KvView};
use super::config::{ModelConfig, RopeScaling};
use super::layer::Layer;
use super::linear::Linear;
use super::lora::{Adapter, AdapterFormat, AdapterMemory, AdapterRows, Base, BaseNames};
use super::matrix::Weight;
use super::norm::RmsNorm;
use super::rope::{Rope, Rotation};
use super::soft_cap::bounded;
use super::weights::{ModelTensors, Placement, Role, Table, Weights};
use crate::{GgufModel, LoadError, Precision};

/// A loaded model. Immutable; all state of a sequence is in its cache.
pub struct Decoder {
    config: ModelConfig,
    names: Box<BaseNames>,
    context_length: u32,
    embeddings: Arc<Weight>,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: Linear,
    rope: Rope,
    /// The number format of activations and caches.
    dtype: DType,
    device: Device,
}

/// The part of one sequence that a forward pass computes.
pub struct Span<'sequence> {
    /// The tokens that follow those in the cache, at least one.
    pub tokens: &'sequence [u32],
    /// The sequence's cache; holds the tokens' keys and values afterwards. An error leaves it as it
    /// was.
    pub cache: KvView<'sequence>,
    /// The length that `dynamic` rope scaling goes by: the whole prompt's for all parts of a
    /// prompt, the length after the token for a generated one. Other scalings ignore it.
    pub rope_length: usize,
    /// Which positions' logits are wanted.
    pub logits: LogitsOf,
}

/// Which positions' logits a forward pass returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogitsOf {
    /// None: the span is a part of a prompt that goes on.
    Nothing,
    /// The last token's: the next one is to be drawn.
    Last,
    /// Every token's.
    All,
}

impl Decoder {
    /// Loads a model folder, or a GGUF file, onto the device that this build is for. A
    /// `context_length` beyond the model's own is cut to it.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn load(
        model: &Path,
        precision: impl Into<Precision>,
        context_length: Option<u32>,
    ) -> std::result::Result<Self, LoadError> {
        if model.is_file() {
            return Self::load_gguf(&GgufModel::open(model)?, precision, context_length);
        }
        let mut config = ModelConfig::read(model)?;
        let weights = Weights::in_folder(model, &config, placement(model, precision.into())?)?;
        config.settle_head(weights.has("lm_head.weight"));
        let decoder = Self::build(&weights, config, context_length)?;
        Ok(decoder.called(BaseNames::of_folder(model)))
    }

    /// Loads a model folder for what its last layer says: a head that the weights lack is not missed.
    pub(crate) fn load_headless(
        folder: &Path,
        precision: Precision,
        context_length: Option<u32>,
    ) -> std::result::Result<Self, LoadError> {
        let mut config = ModelConfig::read(folder)?;
        let weights = Weights::of_decoder(folder, &config, placement(folder, precision)?)?;
        // The table of embeddings stands in its place, and nobody asks it.
        config.tied_embeddings |= !weights.has("lm_head.weight");
        Self::build(&weights, config, context_length)
    }

    /// As [`Decoder::load`], of a GGUF file that is already open.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn load_gguf(
        model: &GgufModel,
        precision: impl Into<Precision>,
        context_length: Option<u32>,
    ) -> std::result::Result<Self, LoadError> {
        let config = model.config()?;
        let placement = placement(model.path(), precision.into())?;
        let weights = Weights::in_gguf(model.file(), &config, placement)?;
        let decoder = Self::build(&weights, config, context_length)?;
        Ok(decoder.called(BaseNames::of_gguf(model.path(), model.name())))
    }

    fn called(self, names: BaseNames) -> Self {
        Self {
            names: Box::new(names),
            ..self
        }
    }

    fn build(
        weights: &Weights,
        config: ModelConfig,
        context_length: Option<u32>,
    ) -> std::result::Result<Self, LoadError> {
        let tensors = ModelTensors::of(&config);
        let table =
            |table: &Table, role| weights.matrix(&[(table.name.to_owned(), table.rows)], table.width, role);
        let (embeddings, head) = if let Some(head) = tensors.head() {
            let embeddings = table(&tensors.embeddings(), Role::Inner)?;
            (embeddings, table(&head, Role::Head)?)
        } else {
            let both = table(&tensors.embeddings(), Role::Head)?;
            (Arc::clone(&both), both)
        };
        let layers = (0..config.layers).map(|index| {
            let tensors = tensors.layer(index);
            Layer::load(weights, &tensors, &config, index)
        });
        let layers = layers.collect::<std::result::Result<Vec<_>, _>>()?;
        let own_limit = config.context_length;
        Ok(Self {
            context_length: context_length.map_or(own_limit, |wanted| wanted.clamp(1, own_limit)),
            embeddings,
            layers,
            norm: RmsNorm::load(weights, &tensors.norm(), config.norm_eps)?,
            head: Linear::of(head),
            rope: Rope::new(config.rope.clone()),
            dtype: weights.activation_dtype(),
            device: weights.device().clone(),
            names: Box::default(),
            config,
        })
    }

    /// The model's configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The longest sequence in tokens: the option's value, or the model's own limit.
    pub fn context_length(&self) -> u32 {
        self.context_length
    }

    /// Returns the memory of the matrices, in bytes.
    pub fn weight_bytes(&self) -> usize {
        self.matrices().map(Weight::bytes).sum()
    }

    /// Returns how many weights a pass multiplies with, those of all experts included, and their bytes.
    pub(crate) fn size_of_pass(&self) -> (usize, usize) {
        let layers = self.layers.iter().flat_map(Layer::weights);
        let matrices = layers.chain([self.head.weight()]);
        matrices.fold((0, 0), |(elements, bytes), weight| {
            (elements + weight.elements(), bytes + weight.bytes())
        })
    }

    /// Returns the names of the number formats that the matrices have in memory, such as `Q8_0`.
    pub fn weight_formats(&self) -> BTreeSet<&'static str> {
        self.matrices().flat_map(Weight::formats).collect()
    }

    fn matrices(&self) -> impl Iterator<Item = &Weight> {
        let own_table = (!self.config.tied_embeddings).then_some(&*self.embeddings);
        let layers = self.layers.iter().flat_map(Layer::weights);
        own_table.into_iter().chain([self.head.weight()]).chain(layers)
    }

    /// Makes the cache of one sequence, with memory of its own for the whole context.
    ///
    /// # Errors
    /// When the device has not enough memory.
    pub fn new_cache(&self) -> Result<KvCache> {
        let blocks = (self.context_length as usize).div_ceil(BLOCK);
        Ok(KvCache::new(self.new_store(blocks)?))
    }

    /// As [`Decoder::new_cache`], as on other devices than the CPU.
    #[cfg(test)]
    pub(crate) fn new_cache_of_tensors(&self) -> Result<KvCache> {
        let blocks = (self.context_length as usize).div_ceil(BLOCK);
        let store = KvStore::of_tensors(self.layers.len(), self.kv_layout(), blocks)?;
        Ok(KvCache::new(store))
    }

    /// Makes the memory for this many blocks.
    pub(crate) fn new_store(&self, blocks: usize) -> Result<KvStore> {
        KvStore::new(
            self.layers.len(),
            self.kv_layout(),
            blocks,
            self.dtype,
            &self.device,
        )
    }

    /// Whether it computes in the machine's own memory.
    pub(crate) fn is_on_cpu(&self) -> bool {
        self.device.is_cpu()
    }

    /// Returns the memory that a block needs, in bytes.
    pub(crate) fn block_bytes(&self) -> usize {
        self.layers.len() * self.kv_layout().block() * self.dtype.size_in_bytes()
    }

    /// Whether a position's keys depend on more than the tokens up to it, so that no other sequence
    /// can use them: `dynamic` rope scaling stretches with the sequence's length.
    pub(crate) fn keys_depend_on_length(&self) -> bool {
        matches!(self.config.rope.scaling, RopeScaling::Dynamic { .. })
    }

    fn kv_layout(&self) -> KvLayout {
        match &self.config.mla {
            Some(mla) => KvLayout::Latent(LatentShape {
                rank: mla.rank,
                rope: mla.rope_width,
            }),
            None => KvLayout::Heads(KvShape {
                kv_heads: self.config.kv_heads,
                width: self.config.head_dim,
            }),
        }
    }

    /// Computes the next tokens of one or more sequences, of any lengths mixed: everything but
    /// attention runs over the rows of all of them at once, so the weights are read once. Returns
    /// the wanted logits in f32, `[rows, vocabulary]`, span by span, or `None` if none are wanted.
    ///
    /// # Errors
    /// For an empty span, an id outside the vocabulary, a full cache and failures of the device.
    pub fn forward(&self, spans: &mut [Span<'_>]) -> Result<Option<Tensor>> {
        self.forward_adapted(spans, &[])
    }

    /// As [`Decoder::forward`], with an adapter for each span; spans beyond them have none.
    ///
    /// # Errors
    /// As [`Decoder::forward`].
    pub fn forward_adapted(
        &self,
        spans: &mut [Span<'_>],
        adapters: &[Option<&Adapter>],
    ) -> Result<Option<Tensor>> {
        let mut hidden = self.embed(spans)?;
        let rotation = self.rotation(spans)?;
        let rows = spans.iter().map(|span| span.tokens.len());
        let adapters = AdapterRows::of(rows.zip(adapters.iter().copied()));
        let wanted = wanted_rows(spans);
        let last = self.layers.len().saturating_sub(1);
        for (index, layer) in self.layers.iter().enumerate() {
            hidden = if index == last {
                layer.forward_some(&hidden, spans, &rotation, index, &adapters, &wanted)?
            } else {
                layer.forward(&hidden, spans, &rotation, index, &adapters)?
            };
        }
        let logits = (!wanted.is_empty()).then(|| self.logits(&hidden)).transpose()?;
        // Last, so that a pass that failed has left no trace in any sequence.
        for span in spans.iter_mut() {
            span.cache.table.advance(span.tokens.len());
        }
        Ok(logits)
    }

    /// Loads an adapter for this model: a folder as PEFT writes it, with `adapter_config.json` and
    /// `adapter_model.safetensors`.
    ///
    /// # Errors
    /// Names the file and the setting or tensor that is missing, malformed, not supported or made for
    /// another model.
    pub fn adapter(&self, folder: &Path) -> std::result::Result<Adapter, LoadError> {
        Adapter::load(folder, &self.adapter_base(), &AdapterMemory::new(u64::MAX))
    }

    /// What adapters are loaded for.
    pub(crate) fn adapter_base(&self) -> Base {
        let formats = self.weight_formats();
        let format = if formats.iter().all(|format| *format == "F32") {
            AdapterFormat::Single
        } else if formats.iter().any(|format| format.starts_with('Q')) {
            AdapterFormat::Byte
        } else {
            AdapterFormat::Half
        };
        Base {
            config: self.config.clone(),
            format,
            names: BaseNames::clone(&self.names),
        }
    }

    /// The logits of rows that the last layer has computed.
    fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let logits = self.head.forward(&self.norm.forward(hidden)?)?;
        let logits = logits.to_dtype(DType::F32)?;
        match self.config.logit_soft_cap {
            Some(cap) => bounded(&logits, cap),
            None => Ok(logits),
        }
    }

    /// The projections to the logits of some tokens, row by row in f32.
    pub(crate) fn head_rows(&self, tokens: &[u32]) -> Result<Vec<Vec<f32>>> {
        self.head.weight().rows(tokens)?.to_dtype(DType::F32)?.to_vec2()
    }

    fn embed(&self, spans: &[Span<'_>]) -> Result<Tensor> {
        let tokens: Vec<u32> = spans.iter().flat_map(|span| span.tokens).copied().collect();
        if spans.iter().any(|span| span.tokens.is_empty()) {
            candle_core::bail!("a span without tokens");
        }
        self.rows_of(&tokens)
    }

    /// The embeddings of some tokens.
    fn rows_of(&self, tokens: &[u32]) -> Result<Tensor> {
        let vocabulary = self.config.vocab_size;
        if let Some(token) = tokens.iter().find(|token| **token as usize >= vocabulary) {
            candle_core::bail!("token {token} is outside the vocabulary of {vocabulary}");
        }
        let rows = self.embeddings.rows(tokens)?;
        match self.config.embedding_factor {
            1.0 => Ok(rows),
            factor => rows * factor,
        }
    }

    /// The rotations of all rows, span after span.
    fn rotation(&self, spans: &[Span<'_>]) -> Result<Rotation> {
        let rotation = |span: &Span<'_>| {
            let (first, count) = (span.cache.table.len(), span.tokens.len());
            if first + count > self.context_length as usize {
                candle_core::bail!(
                    "the sequence grew to {} positions, the context is {}",
                    first + count,
                    self.context_length
                );
            }
            let length = span.rope_length.max(first + count);
            self.rope.rotation(first, count, length, self.dtype, &self.device)
        };
        Rotation::join(spans.iter().map(rotation).collect::<Result<_>>()?)
    }
}

/// The rows whose logits are wanted, counted over all spans.
fn wanted_rows(spans: &[Span<'_>]) -> Vec<u32> {
    let mut rows = Vec::new();
    let mut start = 0;
    for span in spans {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a batch has far fewer than 2^32 rows"
        )]
        let end = start + span.tokens.len() as u32;
        match span.logits {
            LogitsOf::Nothing => {}
            LogitsOf::Last => rows.push(end - 1),
            LogitsOf::All => rows.extend(start..end),
        }
        start = end;
    }
    rows
}

/// The device that this build computes on, for the weights of a model.
fn placement(model: &Path, precision: Precision) -> std::result::Result<Placement, LoadError> {
    let device = if cfg!(feature = "cuda") {
        Device::new_cuda(0)
    } else {
        Ok(Device::Cpu)
    };
    let device = device.map_err(|source| LoadError::Device {
        folder: model.to_owned(),
        source,
    })?;
    Ok(Placement { device, precision })
}

#[cfg(test)]
mod tests;
