//! What is made of a model's last layer: vectors, scores, choices.

use std::error::Error;
use std::path::Path;

use silica_engine::{Choice, Says, TokenSequence, VectorShape};

use super::config::EncoderConfig;
use super::encoder::Encoder;
use super::kind::ModelKind;
use super::modules::{Modules, Pooling, longest_text};
use super::operations::normalise;
use crate::{CandleOptions, Decoder, LoadError};

/// A failure inside a model.
pub(super) type ModelError = Box<dyn Error + Send + Sync>;

/// One sequence of a pass.
#[derive(Clone, Copy)]
pub(super) struct Item<'pass> {
    pub(super) sequence: &'pass TokenSequence,
    pub(super) choice: Option<Choice>,
}

/// A model that says something about sequences.
pub(super) trait SequenceModel: Send + Sync + 'static {
    fn context_length(&self) -> u32;

    fn vocabulary_size(&self) -> u32;

    fn says(&self) -> Says;

    /// Says it about some sequences in one pass, each for itself; `None` when `goes_on` said no on the way.
    fn compute(
        &self,
        items: &[Item<'_>],
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Vec<f32>>>, ModelError>;
}

/// A loaded model and its use.
pub(super) struct Reader {
    model: Model,
    context_length: u32,
    vocabulary_size: u32,
    says: Says,
    pooling: Pooling,
}

enum Model {
    Bidirectional(Encoder),
    Decoder(Decoder),
}

impl Reader {
    /// Loads a model folder for one use.
    ///
    /// # Errors
    /// Names the file and what is wrong with it, also when its model is not for this use.
    pub(super) fn load(folder: &Path, kind: ModelKind, options: &CandleOptions) -> Result<Self, LoadError> {
        let precision = options.precision();
        let is_decoder = super::kind::is_decoder(folder)?;
        let model = if is_decoder {
            Model::Decoder(Decoder::load_headless(folder, precision, options.context_length)?)
        } else {
            Model::Bidirectional(Encoder::load(folder, precision)?)
        };
        let (own_limit, vocabulary, width) = match &model {
            Model::Bidirectional(encoder) => {
                let config = encoder.config();
                (config.context_length(), config.vocab_size, config.hidden_size)
            }
            Model::Decoder(decoder) => {
                let config = decoder.config();
                (decoder.context_length(), config.vocab_size, config.hidden_size)
            }
        };
        let modules = modules(folder, is_decoder)?;
        let limits = [Some(own_limit), longest_text(folder)?, options.context_length];
        let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        Ok(Self {
            says: says(folder, &model, kind, modules, number(width))?,
            pooling: modules.pooling,
            context_length: limits.into_iter().flatten().fold(u32::MAX, u32::min).max(1),
            vocabulary_size: number(vocabulary),
            model,
        })
    }

    /// Returns the memory of the matrices, in bytes.
    pub(super) fn weight_bytes(&self) -> usize {
        match &self.model {
            Model::Bidirectional(encoder) => encoder.weight_bytes(),
            Model::Decoder(decoder) => decoder.weight_bytes(),
        }
    }

    fn vector(&self, rows: &[f32], width: usize) -> Vec<f32> {
        let mut vector = match self.pooling {
            Pooling::First => rows[..width].to_vec(),
            Pooling::Last => rows[rows.len() - width..].to_vec(),
            Pooling::Mean => mean(rows, width),
        };
        if let Says::Vector(VectorShape { normalised: true, .. }) = self.says {
            normalise(&mut vector);
        }
        vector
    }

    fn read(
        &self,
        encoder: &Encoder,
        items: &[Item<'_>],
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Vec<f32>>>, ModelError> {
        let sequences: Vec<&TokenSequence> = items.iter().map(|item| item.sequence).collect();
        let Some(rows) = encoder.forward(&sequences, goes_on)? else {
            return Ok(None);
        };
        let width = encoder.config().hidden_size;
        let mut left = rows.as_slice();
        let parts = sequences.iter().map(|sequence| {
            let (own, rest) = left.split_at(sequence.tokens.len() * width);
            left = rest;
            own
        });
        if self.says == Says::Score {
            let first: Vec<f32> = parts.flat_map(|rows| &rows[..width]).copied().collect();
            let scores = encoder.classify(&first)?;
            return Ok(Some(scores.into_iter().map(|score| vec![score]).collect()));
        }
        Ok(Some(parts.map(|rows| self.vector(rows, width)).collect()))
    }

    fn decode(
        &self,
        decoder: &Decoder,
        items: &[Item<'_>],
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Vec<f32>>>, ModelError> {
        let sequences: Vec<&[u32]> = items.iter().map(|item| item.sequence.tokens.as_slice()).collect();
        let Some(last) = decoder.read(&sequences, goes_on)? else {
            return Ok(None);
        };
        let rows = last.to_vec2::<f32>()?;
        let said = rows.into_iter().zip(items).map(|(row, item)| {
            if self.says != Says::Choice {
                return Ok(self.vector(&row, row.len()));
            }
            let choice = item.choice.ok_or("a choice between no tokens")?;
            let heads = decoder.head_rows(&[choice.favourable, choice.unfavourable])?;
            let logits = heads.iter().map(|head| dot(head, &row));
            let [favourable, unfavourable] = logits.collect::<Vec<f32>>()[..] else {
                return Err("the head has no such rows".into());
            };
            Ok(vec![favourable - unfavourable])
        });
        said.collect::<Result<_, ModelError>>().map(Some)
    }
}

impl SequenceModel for Reader {
    fn context_length(&self) -> u32 {
        self.context_length
    }

    fn vocabulary_size(&self) -> u32 {
        self.vocabulary_size
    }

    fn says(&self) -> Says {
        self.says
    }

    fn compute(
        &self,
        items: &[Item<'_>],
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Vec<f32>>>, ModelError> {
        match &self.model {
            Model::Bidirectional(encoder) => self.read(encoder, items, goes_on),
            Model::Decoder(decoder) => self.decode(decoder, items, goes_on),
        }
    }
}

/// How the folder has vectors made. Without a word for it, the mean of a bidirectional model's rows, as
/// sentence-transformers does, and of a decoder's what Qwen3-Embedding is made for.
fn modules(folder: &Path, is_decoder: bool) -> Result<Modules, LoadError> {
    let usual = Modules {
        pooling: if is_decoder { Pooling::Last } else { Pooling::Mean },
        normalises: is_decoder,
        judges: false,
    };
    let found = Modules::read(folder)?.unwrap_or(usual);
    if is_decoder && found.pooling != Pooling::Last && !found.judges {
        return Err(LoadError::Unsupported {
            path: folder.join("modules.json"),
            field: "pooling_mode",
            value: "other than lasttoken".to_owned(),
            expected: "lasttoken, for a decoder",
        });
    }
    Ok(found)
}

fn says(
    folder: &Path,
    model: &Model,
    kind: ModelKind,
    modules: Modules,
    width: u32,
) -> Result<Says, LoadError> {
    let unfit = |expected| LoadError::Unsupported {
        path: folder.join("config.json"),
        field: "architectures",
        value: format!("a model for {}", kind.as_str()),
        expected,
    };
    let classifies = |config: &EncoderConfig| config.classifies;
    match (model, kind) {
        (_, ModelKind::Chat) => Err(unfit("this model embeds or ranks")),
        (Model::Bidirectional(encoder), ModelKind::Embedding) if classifies(encoder.config()) => {
            Err(unfit("this model ranks"))
        }
        (Model::Bidirectional(encoder), ModelKind::Reranker) if !classifies(encoder.config()) => {
            Err(unfit("this model embeds"))
        }
        (Model::Bidirectional(_), ModelKind::Reranker) => Ok(Says::Score),
        (Model::Decoder(_), ModelKind::Reranker) => Ok(Says::Choice),
        (_, ModelKind::Embedding) => Ok(Says::Vector(VectorShape {
            width,
            normalised: modules.normalises,
            nested: matches!(model, Model::Decoder(_)),
        })),
    }
}

/// The mean of rows, added up in their order.
fn mean(rows: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0; width];
    for row in rows.chunks_exact(width) {
        super::operations::add(&mut sums, row);
    }
    #[expect(clippy::cast_precision_loss, reason = "sequences are far shorter than 2^24")]
    let count = (rows.len() / width) as f32;
    for sum in &mut sums {
        *sum /= count;
    }
    sums
}

fn dot(left: &[f32], right: &[f32]) -> f32 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}
