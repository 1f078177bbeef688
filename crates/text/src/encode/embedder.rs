//! The embedding engine on top of an encoding engine.

use std::sync::Arc;

use async_trait::async_trait;
use silica_engine::{
    EmbedEngine, EmbedRequest, Embeddings, EncodeEngine, EncodeRequest, EngineError, PreparedWhole, Says,
    VectorShape, WholeAnswer, WholeContent,
};
use silica_types::TokenCount;

use super::frame::Frame;
use super::tokens::Tokens;
use super::work::{Places, Sequences, usage};
use crate::folder::TOKENIZER;
use crate::{TextError, TextFiles};

/// The dimensions that models with nested vectors take, as far as they have them (contract section 6),
/// beside their own width.
const DIMENSIONS: [u32; 8] = [64, 128, 256, 512, 768, 1024, 2048, 4096];

/// Lifts an [`EncodeEngine`] that says vectors to an [`EmbedEngine`].
///
/// - A text with more tokens than the model takes is refused, never cut.
/// - `dimensions` are taken by models with nested vectors only; the cut vectors have length 1.
/// - Special tokens that texts spell reach the model as plain text.
pub struct TextEmbedder<E> {
    core: Arc<Core<E>>,
    places: Places,
}

struct Core<E> {
    engine: E,
    tokens: Tokens,
    frame: Frame,
    shape: VectorShape,
}

/// A request with its sequences.
struct PreparedTexts<E> {
    core: Arc<Core<E>>,
    sequences: Sequences,
    dimensions: Option<usize>,
}

impl<E: EncodeEngine> TextEmbedder<E> {
    /// Reads the text side of a Hugging Face folder: `tokenizer.json`. Blocks; call it off the async threads.
    ///
    /// # Errors
    /// Names the file that is missing or wrong. [`TextError::OtherUse`] when the engine says no vectors.
    pub fn load(files: impl Into<TextFiles>, engine: E) -> Result<Self, TextError> {
        let files = files.into();
        let file = files.path(TOKENIZER);
        let Says::Vector(shape) = engine.says() else {
            return Err(TextError::OtherUse { file });
        };
        let tokens = Tokens::read(&files, engine.vocabulary_size(), engine.context_length())?;
        let frame = Frame::of_one(tokens.tokenizer());
        Ok(Self {
            core: Arc::new(Core {
                frame: frame.map_err(|source| TextError::Tokenizer { file, source })?,
                engine,
                tokens,
                shape,
            }),
            places: Places::new(),
        })
    }
}

impl<E: EncodeEngine> Core<E> {
    fn sequences(&self, texts: &[String]) -> Result<Sequences, EngineError> {
        let around = self.frame.len();
        let most = (self.tokens.limit().get() as usize).saturating_sub(around);
        let mut sequences = Sequences::default();
        for text in texts {
            let ids = self.tokens.ids(text, most, around)?;
            sequences.push(self.frame.around(&[&ids]))?;
        }
        Ok(sequences)
    }

    /// Which dimensions are wanted; `None` for all of them.
    fn dimensions(&self, wanted: Option<u32>) -> Result<Option<usize>, EngineError> {
        let VectorShape { width, nested, .. } = self.shape;
        let Some(wanted) = wanted else {
            return Ok(None);
        };
        let is_known = wanted == width || (wanted < width && DIMENSIONS.contains(&wanted));
        if !nested || !is_known {
            return Err(EngineError::InvalidParameter("dimensions"));
        }
        Ok(Some(wanted as usize))
    }
}

#[async_trait]
impl<E: EncodeEngine + 'static> EmbedEngine for TextEmbedder<E> {
    async fn prepare(
        &self,
        request: Arc<EmbedRequest>,
    ) -> Result<Box<dyn PreparedWhole<Embeddings>>, EngineError> {
        let dimensions = self.core.dimensions(request.dimensions)?;
        let bytes = request.inputs.iter().map(String::len).sum();
        let core = Arc::clone(&self.core);
        let building = self.places.run(bytes, move || core.sequences(&request.inputs));
        Ok(Box::new(PreparedTexts {
            sequences: building.await?,
            core: Arc::clone(&self.core),
            dimensions,
        }))
    }
}

#[async_trait]
impl<E: EncodeEngine + 'static> PreparedWhole<Embeddings> for PreparedTexts<E> {
    fn prompt_tokens(&self) -> TokenCount {
        self.sequences.tokens()
    }

    async fn run(self: Box<Self>) -> Result<WholeAnswer<Embeddings>, EngineError> {
        let usage = usage(self.sequences.tokens());
        let request = EncodeRequest {
            sequences: self.sequences.all,
            choice: None,
        };
        let mut vectors = self.core.engine.encode(request)?.await?;
        if let Some(dimensions) = self.dimensions {
            for vector in &mut vectors {
                shorten(vector, dimensions);
            }
        }
        Ok(WholeAnswer {
            usage,
            content: WholeContent::Computed(Embeddings(vectors)),
        })
    }
}

/// Keeps the first numbers of a vector and makes its length 1 again.
fn shorten(vector: &mut Vec<f32>, dimensions: usize) {
    vector.truncate(dimensions);
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    if length > 0.0 {
        for number in vector {
            *number /= length;
        }
    }
}
