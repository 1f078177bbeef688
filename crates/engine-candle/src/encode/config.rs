//! `config.json` of a bidirectional model: read, checked, and turned into plain numbers.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::LoadError;
use crate::text::config::{Checker, read_file};

/// A bidirectional family; what differs between them is data in [`EncoderConfig`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderFamily {
    /// Two types of tokens, positions from 0.
    Bert,
    /// Positions from behind the padding's id.
    XlmRoberta,
}

/// What the feed-forward block computes between its two layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// By the error function.
    Gelu,
    /// Its approximation by the hyperbolic tangent.
    GeluTanh,
    /// The positive part.
    Relu,
}

/// Everything that the forward pass needs to know about a bidirectional model, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// The family it belongs to.
    pub family: EncoderFamily,
    /// Whether it ends in a classifier of one class, as rerankers do.
    pub classifies: bool,
    /// Token ids it knows.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Layers.
    pub layers: usize,
    /// Heads; divide the width.
    pub heads: usize,
    /// Added to the variance in every norm.
    pub norm_eps: f32,
    /// Rows of the table of positions.
    pub positions: usize,
    /// The row of the first position.
    pub first_position: usize,
    /// Rows of the table of token types.
    pub types: usize,
    /// The feed-forward block's.
    pub activation: Activation,
}

/// Unknown fields are ignored: the files carry many that do not concern inference.
#[derive(Debug, Deserialize)]
struct RawConfig {
    architectures: Option<Vec<String>>,
    model_type: Option<String>,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    hidden_act: Option<String>,
    max_position_embeddings: usize,
    type_vocab_size: Option<usize>,
    layer_norm_eps: Option<f32>,
    pad_token_id: Option<usize>,
    position_embedding_type: Option<String>,
    id2label: Option<BTreeMap<String, serde_json::Value>>,
    quantization_config: Option<serde_json::Value>,
}

impl EncoderConfig {
    /// Reads and checks `config.json` in `folder`.
    ///
    /// # Errors
    /// Names the file and what is missing, malformed, contradictory or not supported.
    pub fn read(folder: &Path) -> Result<Self, LoadError> {
        let path = folder.join("config.json");
        let raw = serde_json::from_slice(&read_file(&path)?).map_err(|source| LoadError::Json {
            path: path.clone(),
            source,
        })?;
        Checker { path, raw }.check()
    }

    /// The longest sequence that there are positions for, in tokens.
    pub fn context_length(&self) -> u32 {
        u32::try_from(self.positions - self.first_position).unwrap_or(u32::MAX)
    }
}

impl Checker<RawConfig> {
    fn check(self) -> Result<EncoderConfig, LoadError> {
        let raw = &self.raw;
        let (family, classifies) = self.family()?;
        self.refuse_unsupported(classifies)?;
        let hidden_size = self.size("hidden_size", raw.hidden_size)?;
        let heads = self.size("num_attention_heads", raw.num_attention_heads)?;
        if !hidden_size.is_multiple_of(heads) {
            let problem = format!("({hidden_size}) is not a multiple of num_attention_heads ({heads})");
            return Err(self.invalid("hidden_size", problem));
        }
        let first_position = match family {
            EncoderFamily::Bert => 0,
            EncoderFamily::XlmRoberta => raw.pad_token_id.unwrap_or(1).saturating_add(1),
        };
        let positions = self.size("max_position_embeddings", raw.max_position_embeddings)?;
        if positions <= first_position {
            let problem = format!("({positions}) leaves no positions behind the padding's");
            return Err(self.invalid("max_position_embeddings", problem));
        }
        let norm_eps = raw.layer_norm_eps.unwrap_or(1e-12);
        if !(norm_eps >= 0.0 && norm_eps.is_finite()) {
            return Err(self.invalid("layer_norm_eps", format!("({norm_eps}) must be 0 or more")));
        }
        Ok(EncoderConfig {
            family,
            classifies,
            vocab_size: self.size("vocab_size", raw.vocab_size)?,
            hidden_size,
            intermediate_size: self.size("intermediate_size", raw.intermediate_size)?,
            layers: self.size("num_hidden_layers", raw.num_hidden_layers)?,
            heads,
            norm_eps,
            positions,
            first_position,
            types: self.size("type_vocab_size", raw.type_vocab_size.unwrap_or(2))?,
            activation: self.activation()?,
        })
    }

    /// `architectures` decides; `model_type` stands in where it is absent.
    fn family(&self) -> Result<(EncoderFamily, bool), LoadError> {
        let architecture = self.raw.architectures.as_ref().and_then(|names| names.first());
        let name = architecture.or(self.raw.model_type.as_ref());
        match name.map(String::as_str) {
            Some("BertModel" | "bert") => Ok((EncoderFamily::Bert, false)),
            Some("BertForSequenceClassification") => Ok((EncoderFamily::Bert, true)),
            Some("XLMRobertaModel" | "xlm-roberta") => Ok((EncoderFamily::XlmRoberta, false)),
            Some("XLMRobertaForSequenceClassification") => Ok((EncoderFamily::XlmRoberta, true)),
            other => Err(LoadError::UnknownArchitecture {
                path: self.path.clone(),
                value: other.map_or_else(|| "(none given)".to_owned(), |name| format!("`{name}`")),
            }),
        }
    }

    /// Refuses what would otherwise be computed wrongly and silently.
    fn refuse_unsupported(&self, classifies: bool) -> Result<(), LoadError> {
        let raw = &self.raw;
        if let Some(kind) = raw
            .position_embedding_type
            .as_ref()
            .filter(|kind| *kind != "absolute")
        {
            return Err(self.unsupported("position_embedding_type", kind.clone(), "only absolute"));
        }
        if let Some(quantization) = &raw.quantization_config {
            let expected = "only unquantised weights in f32, bf16 or f16";
            return Err(self.unsupported("quantization_config", quantization.to_string(), expected));
        }
        // The reference's default are two labels.
        let labels = raw.id2label.as_ref().map_or(2, BTreeMap::len);
        if classifies && labels != 1 {
            let value = format!("{labels} labels");
            return Err(self.unsupported("id2label", value, "one label, the score, as rerankers have"));
        }
        Ok(())
    }

    fn activation(&self) -> Result<Activation, LoadError> {
        match self.raw.hidden_act.as_deref() {
            None | Some("gelu") => Ok(Activation::Gelu),
            Some("gelu_new" | "gelu_pytorch_tanh") => Ok(Activation::GeluTanh),
            Some("relu") => Ok(Activation::Relu),
            Some(other) => Err(self.unsupported("hidden_act", other.to_owned(), "gelu, gelu_new or relu")),
        }
    }
}
