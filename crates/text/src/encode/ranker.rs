//! The ranking engine on top of an encoding engine.

use std::sync::Arc;

use async_trait::async_trait;
use silica_engine::{
    EncodeEngine, EncodeRequest, EngineError, PreparedWhole, RankedDocument, Ranking, RerankEngine,
    RerankRequest, Says, WholeAnswer, WholeContent,
};
use silica_types::TokenCount;

use super::frame::Frame;
use super::judge::Judge;
use super::pieces::Cut;
use super::tokens::Tokens;
use super::work::{Places, Sequences, usage};
use crate::folder::TOKENIZER;
use crate::{TextError, TextFiles};

/// The most pieces of a document, and the tokens that neighbours share, of requests that say nothing
/// (contract section 7).
const USUAL_PIECES: u32 = 1024;
/// See [`USUAL_PIECES`].
const USUAL_OVERLAP: u32 = 80;

/// Lifts an [`EncodeEngine`] that says scores or choices to a [`RerankEngine`].
///
/// - A model of scores reads query and document as a pair. A document that does not fit beside the query is
///   cut into pieces, and the best one's score is its own; one that needs more pieces than allowed is
///   refused, never cut off.
/// - A model of choices is asked in words, and a document that does not fit is refused. The request's
///   instruction is for such models only.
/// - Scores lie between 0 and 1; equal ones stay in the order of the documents.
pub struct TextRanker<E> {
    core: Arc<Core<E>>,
    places: Places,
}

struct Core<E> {
    engine: E,
    tokens: Tokens,
    form: Form,
}

/// How a query and a document become a sequence.
enum Form {
    Pair(Frame),
    Question(Judge),
}

/// A request with its sequences.
struct PreparedDocuments<E> {
    core: Arc<Core<E>>,
    request: Arc<RerankRequest>,
    built: Built,
}

/// Sequences, and which document each of them is of.
#[derive(Debug, Default)]
struct Built {
    sequences: Sequences,
    documents: Vec<usize>,
}

impl<E: EncodeEngine> TextRanker<E> {
    /// Reads the text side of a Hugging Face folder: `tokenizer.json`. Blocks; call it off the async threads.
    ///
    /// # Errors
    /// Names the file that is missing or wrong. [`TextError::OtherUse`] when the engine says vectors.
    pub fn load(files: impl Into<TextFiles>, engine: E) -> Result<Self, TextError> {
        let files = files.into();
        let file = files.path(TOKENIZER);
        let tokens = Tokens::read(&files, engine.vocabulary_size(), engine.context_length())?;
        let form = match engine.says() {
            Says::Vector(_) => return Err(TextError::OtherUse { file }),
            Says::Choice => Form::Question(Judge::read(&files)?),
            Says::Score => {
                let frame = Frame::of_pair(tokens.tokenizer());
                Form::Pair(frame.map_err(|source| TextError::Tokenizer { file, source })?)
            }
        };
        Ok(Self {
            core: Arc::new(Core { engine, tokens, form }),
            places: Places::new(),
        })
    }
}

impl<E: EncodeEngine> Core<E> {
    fn build(&self, request: &RerankRequest) -> Result<Built, EngineError> {
        match &self.form {
            Form::Pair(frame) => self.pairs(frame, request),
            Form::Question(judge) => self.questions(judge, request),
        }
    }

    fn pairs(&self, frame: &Frame, request: &RerankRequest) -> Result<Built, EngineError> {
        let limit = self.tokens.limit().get() as usize;
        // A piece has at least one token.
        let most = limit.saturating_sub(frame.len() + 1);
        let query = self.tokens.ids(&request.query, most, frame.len())?;
        let around = frame.len() + query.len();
        let overlap = request.overlap_tokens.unwrap_or(USUAL_OVERLAP) as usize;
        let cut = Cut::new(limit.saturating_sub(around), overlap);
        let pieces = request.max_chunks_per_document.unwrap_or(USUAL_PIECES) as usize;
        let mut built = Built::default();
        for (index, document) in request.documents.iter().enumerate() {
            let ids = self.tokens.ids(document, cut.capacity(pieces), around)?;
            for piece in cut.pieces(&ids) {
                built.sequences.push(frame.around(&[&query, piece]))?;
                built.documents.push(index);
            }
        }
        Ok(built)
    }

    fn questions(&self, judge: &Judge, request: &RerankRequest) -> Result<Built, EngineError> {
        let instruction = request.instruction.as_deref();
        let mut built = Built::default();
        for (index, document) in request.documents.iter().enumerate() {
            let question = judge.question(&self.tokens, instruction, &request.query, document)?;
            built.sequences.push(question)?;
            built.documents.push(index);
        }
        Ok(built)
    }
}

#[async_trait]
impl<E: EncodeEngine + 'static> RerankEngine for TextRanker<E> {
    async fn prepare(
        &self,
        request: Arc<RerankRequest>,
    ) -> Result<Box<dyn PreparedWhole<Ranking>>, EngineError> {
        let texts = request.documents.iter().map(String::len).sum::<usize>();
        let (core, asked) = (Arc::clone(&self.core), Arc::clone(&request));
        // The query stands beside each document, and before a model that is asked in words the instruction.
        let instruction = match core.form {
            Form::Pair(_) => 0,
            Form::Question(_) => request.instruction.as_ref().map_or(0, String::len),
        };
        let beside = request.query.len() + instruction + 1;
        let bytes = texts.saturating_add(beside.saturating_mul(request.documents.len()));
        let building = self.places.run(bytes, move || core.build(&asked));
        Ok(Box::new(PreparedDocuments {
            built: building.await?,
            core: Arc::clone(&self.core),
            request,
        }))
    }
}

#[async_trait]
impl<E: EncodeEngine + 'static> PreparedWhole<Ranking> for PreparedDocuments<E> {
    fn prompt_tokens(&self) -> TokenCount {
        self.built.sequences.tokens()
    }

    async fn run(self: Box<Self>) -> Result<WholeAnswer<Ranking>, EngineError> {
        let Self { core, request, built } = *self;
        let usage = usage(built.sequences.tokens());
        let asked = EncodeRequest {
            sequences: built.sequences.all,
            choice: match &core.form {
                Form::Pair(_) => None,
                Form::Question(judge) => Some(judge.choice()),
            },
        };
        let said = core.engine.encode(asked)?.await?;
        let mut best = vec![f32::NEG_INFINITY; request.documents.len()];
        for (document, said) in built.documents.into_iter().zip(said.into_iter().flatten()) {
            best[document] = best[document].max(said);
        }
        Ok(WholeAnswer {
            usage,
            content: WholeContent::Computed(ranking(&best, request.top_n)),
        })
    }
}

/// Orders documents by their scores before the logistic function, which makes neighbours of 1 equal.
fn ranking(scores: &[f32], top: Option<u32>) -> Ranking {
    let mut order: Vec<(u32, f32)> = (0..).zip(scores.iter().copied()).collect();
    // Stable, so that equal ones stay in order.
    order.sort_by(|(_, left), (_, right)| right.total_cmp(left));
    order.truncate(top.map_or(usize::MAX, |top| top as usize));
    let place = |(index, score): (u32, f32)| RankedDocument {
        index,
        score: 1.0 / (1.0 + (-score).exp()),
    };
    Ranking(order.into_iter().map(place).collect())
}
