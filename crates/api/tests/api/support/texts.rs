//! Engines for embeddings and rerank that compute what a test can foresee.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use axum::body::Bytes;
use silica_engine::{
    EmbedEngine, EmbedRequest, Embeddings, EngineError, PreparedWhole, RankedDocument, Ranking, RerankEngine,
    RerankRequest, Usage, WholeAnswer, WholeContent,
};
use silica_types::{TokenCount, UsageSource};

/// Counts one token for each byte. Clones are the same engine.
#[derive(Clone, Default)]
pub(crate) struct TextEngine(Arc<Mutex<State>>);

#[derive(Default)]
pub(crate) struct State {
    pub(crate) embeds: Vec<Arc<EmbedRequest>>,
    pub(crate) reranks: Vec<Arc<RerankRequest>>,
    /// What the next answers are, as an engine wrote them.
    pub(crate) forwarded: Option<Bytes>,
    /// What the next calls are refused with.
    pub(crate) refusal: Option<fn() -> EngineError>,
}

impl TextEngine {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prepared<T: Send + 'static>(
        &self,
        tokens: usize,
        content: T,
    ) -> Result<Box<dyn PreparedWhole<T>>, EngineError> {
        let state = self.state();
        if let Some(refusal) = state.refusal {
            return Err(refusal());
        }
        let content = match state.forwarded.clone() {
            Some(bytes) => WholeContent::Forwarded(bytes),
            None => WholeContent::Computed(content),
        };
        Ok(Box::new(Prepared {
            tokens: TokenCount(u32::try_from(tokens).unwrap()),
            content,
        }))
    }
}

struct Prepared<T> {
    tokens: TokenCount,
    content: WholeContent<T>,
}

#[async_trait]
impl<T: Send + 'static> PreparedWhole<T> for Prepared<T> {
    fn prompt_tokens(&self) -> TokenCount {
        self.tokens
    }

    async fn run(self: Box<Self>) -> Result<WholeAnswer<T>, EngineError> {
        Ok(WholeAnswer {
            usage: Usage {
                prompt: self.tokens,
                source: UsageSource::Engine,
                ..Usage::default()
            },
            content: self.content,
        })
    }
}

/// The vector of a text is its length, its half and its negative, cut to the dimensions.
#[async_trait]
impl EmbedEngine for TextEngine {
    async fn prepare(
        &self,
        request: Arc<EmbedRequest>,
    ) -> Result<Box<dyn PreparedWhole<Embeddings>>, EngineError> {
        self.state().embeds.push(Arc::clone(&request));
        let dimensions = request.dimensions.map_or(3, |dimensions| dimensions as usize);
        let vector = |text: &String| {
            let length = f32::from(u16::try_from(text.len()).unwrap());
            [length, length / 2.0, -length]
                .into_iter()
                .cycle()
                .take(dimensions)
                .collect()
        };
        let tokens = request.inputs.iter().map(String::len).sum();
        self.prepared(tokens, Embeddings(request.inputs.iter().map(vector).collect()))
    }
}

/// The later a document, the better.
#[async_trait]
impl RerankEngine for TextEngine {
    async fn prepare(
        &self,
        request: Arc<RerankRequest>,
    ) -> Result<Box<dyn PreparedWhole<Ranking>>, EngineError> {
        self.state().reranks.push(Arc::clone(&request));
        let count = u16::try_from(request.documents.len()).unwrap();
        let place = |index: u16| RankedDocument {
            index: u32::from(index),
            score: f32::from(index + 1) / 16.0,
        };
        let most = request.top_n.map_or(usize::MAX, |most| most as usize);
        let tokens = request.query.len() + request.documents.iter().map(String::len).sum::<usize>();
        self.prepared(tokens, Ranking((0..count).rev().map(place).take(most).collect()))
    }
}
