//! Embeddings and rerank: one request upstream, one answer.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use silica_engine::{
    EmbedEngine, EmbedRequest, Embeddings, EngineError, PreparedWhole, RankedDocument, Ranking, RerankEngine,
    RerankRequest, Spent, Usage, WholeAnswer, WholeContent, WireRequest,
};
use silica_types::TokenCount;

use super::{RemoteEngine, Shared, estimated, identity};
use crate::RemoteError;
use crate::ceiling::repeated;
use crate::client::Expected;
use crate::estimate::PromptSize;
use crate::forward::{Answered, Pieces};
use crate::tally::{Report, Tally};
use crate::whole::read_whole;

/// The longest answer: 32 vectors of 8,192 numbers of some 20 characters, and as much again.
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;

#[async_trait]
impl EmbedEngine for RemoteEngine {
    async fn prepare(
        &self,
        request: Arc<EmbedRequest>,
    ) -> Result<Box<dyn PreparedWhole<Embeddings>>, EngineError> {
        let texts = request.inputs.iter();
        Ok(Box::new(PreparedEmbed {
            inputs: request.inputs.len(),
            prepared: Prepared::new(
                Arc::clone(&self.0),
                request.wire.as_ref(),
                PromptSize::of_texts(texts.map(String::len)),
            )?,
        }))
    }
}

#[async_trait]
impl RerankEngine for RemoteEngine {
    async fn prepare(
        &self,
        request: Arc<RerankRequest>,
    ) -> Result<Box<dyn PreparedWhole<Ranking>>, EngineError> {
        // The query is read with each document.
        let pairs = request
            .documents
            .iter()
            .map(|text| text.len() + request.query.len());
        Ok(Box::new(PreparedRerank {
            documents: request.documents.len(),
            top_n: request.top_n,
            prepared: Prepared::new(
                Arc::clone(&self.0),
                request.wire.as_ref(),
                PromptSize::of_texts(pairs),
            )?,
        }))
    }
}

/// What embeddings and rerank have in common.
struct Prepared {
    shared: Arc<Shared>,
    body: Pieces,
    prompt: PromptSize,
    wire: WireRequest,
    spent: Spent,
}

struct PreparedEmbed {
    prepared: Prepared,
    inputs: usize,
}

struct PreparedRerank {
    prepared: Prepared,
    documents: usize,
    top_n: Option<u32>,
}

impl Prepared {
    fn new(shared: Arc<Shared>, wire: Option<&WireRequest>, prompt: PromptSize) -> Result<Self, EngineError> {
        let wire = wire.cloned().ok_or_else(|| {
            EngineError::InvalidRequest("the engine takes requests in its own dialect only".to_owned())
        })?;
        let body = shared.forwarded(&wire, None);
        Ok(Self {
            shared,
            body,
            prompt,
            wire,
            spent: Spent::default(),
        })
    }

    /// Sends the request and reads the whole answer with `read`.
    async fn run<T: Send + 'static>(
        self,
        read: impl FnOnce(&[u8], &WireRequest, TokenCount) -> Result<T, RemoteError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let Self {
            shared,
            body,
            prompt,
            wire,
            spent,
        } = self;
        let body = body.costing(spent, estimated(prompt));
        let (body, by) = shared.client.send(wire.route, body, Expected::Json).await?;
        // Rankings may repeat the documents.
        let longest = LONGEST_ANSWER.saturating_add(usize::try_from(repeated(&wire)).unwrap_or(usize::MAX));
        let text = read_whole(body, by, shared.limits.whole, longest)
            .await
            .map_err(|error| error.into_engine_error(&shared.model))?;
        let read = move |text: &[u8]| read(text, &wire, prompt.likely());
        shared.read(text, read).await
    }
}

#[async_trait]
impl PreparedWhole<Embeddings> for PreparedEmbed {
    fn prompt_tokens(&self) -> TokenCount {
        self.prepared.prompt.ordinary()
    }

    fn prompt_limit(&self) -> TokenCount {
        self.prepared.prompt.upper_bound()
    }

    fn spent(&self) -> Option<Spent> {
        Some(self.prepared.spent.clone())
    }

    async fn run(self: Box<Self>) -> Result<WholeAnswer<Embeddings>, EngineError> {
        let Self { prepared, inputs } = *self;
        let run = prepared.run(move |text, wire, prompt| {
            let Vectors { data } = serde_json::from_slice(text).map_err(|error| RemoteError::json(&error))?;
            if data.len() != inputs {
                return Err(RemoteError::frame("another number of vectors than of inputs"));
            }
            let answer = Answered::read(text, &identity(wire), 0, prompt)?;
            Ok(WholeAnswer {
                usage: answer.usage,
                content: WholeContent::Forwarded(answer.bytes),
            })
        });
        run.await
    }
}

#[async_trait]
impl PreparedWhole<Ranking> for PreparedRerank {
    fn prompt_tokens(&self) -> TokenCount {
        self.prepared.prompt.ordinary()
    }

    fn prompt_limit(&self) -> TokenCount {
        self.prepared.prompt.upper_bound()
    }

    fn spent(&self) -> Option<Spent> {
        Some(self.prepared.spent.clone())
    }

    async fn run(self: Box<Self>) -> Result<WholeAnswer<Ranking>, EngineError> {
        let Self {
            prepared,
            documents,
            top_n,
        } = *self;
        prepared
            .run(move |text, _, prompt| {
                let ranked = Ranked::read(text).map_err(|error| RemoteError::json(&error))?;
                let usage = ranked.usage(prompt);
                Ok(WholeAnswer {
                    usage,
                    content: WholeContent::Computed(ranked.ranking(documents, top_n)?),
                })
            })
            .await
    }
}

/// As much of an answer with embeddings as shows that it is one.
#[derive(Deserialize)]
struct Vectors {
    data: Vec<serde::de::IgnoredAny>,
}

/// An answer with a ranking, in the forms of Jina, Cohere, vLLM and `SiliconFlow`; that of TEI is the list
/// alone.
#[derive(Deserialize)]
struct Ranked {
    results: Vec<Document>,
    usage: Option<RerankUsage>,
    meta: Option<Meta>,
    tokens: Option<RerankUsage>,
}

#[derive(Deserialize)]
struct Document {
    index: u32,
    #[serde(alias = "score")]
    relevance_score: f32,
}

#[derive(Deserialize)]
struct Meta {
    tokens: Option<RerankUsage>,
}

#[derive(Deserialize, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "the names of the wire")]
struct RerankUsage {
    prompt_tokens: Option<u32>,
    input_tokens: Option<u32>,
    total_tokens: Option<u32>,
}

impl RerankUsage {
    fn prompt(self) -> Option<u32> {
        self.prompt_tokens
            .or(self.input_tokens)
            .or(self.total_tokens)
            .filter(|tokens| *tokens > 0)
    }
}

impl Ranked {
    fn read(text: &[u8]) -> serde_json::Result<Self> {
        if text.trim_ascii_start().first() == Some(&b'[') {
            return Ok(Self {
                results: serde_json::from_slice(text)?,
                usage: None,
                meta: None,
                tokens: None,
            });
        }
        serde_json::from_slice(text)
    }

    fn usage(&self, likely: TokenCount) -> Usage {
        let meta = self.meta.as_ref().and_then(|meta| meta.tokens);
        let reports = [self.usage, meta, self.tokens];
        let prompt = reports.into_iter().flatten().find_map(RerankUsage::prompt);
        let mut tally = Tally::new(likely);
        tally.report(Report {
            prompt: prompt.map(TokenCount),
            cached: TokenCount::ZERO,
            completion: Some(TokenCount::ZERO),
            reasoning: TokenCount::ZERO,
        });
        tally.usage()
    }

    /// Best first, as many as are wanted.
    ///
    /// # Errors
    /// When there are fewer, or some are ranked twice or were not given.
    fn ranking(self, documents: usize, top_n: Option<u32>) -> Result<Ranking, RemoteError> {
        let results = self.results;
        let mut is_ranked = vec![false; documents];
        for document in &results {
            let is_ranked = usize::try_from(document.index)
                .ok()
                .and_then(|index| is_ranked.get_mut(index))
                .ok_or(RemoteError::frame("a document that was not given"))?;
            if std::mem::replace(is_ranked, true) {
                return Err(RemoteError::frame("a document twice"));
            }
            if !document.relevance_score.is_finite() {
                return Err(RemoteError::frame("a score beyond all numbers"));
            }
        }
        let wanted = top_n.map_or(documents, |most| usize::try_from(most).unwrap_or(usize::MAX));
        if results.len() < wanted.min(documents) {
            return Err(RemoteError::frame("fewer documents than were asked for"));
        }
        let mut ranked: Vec<RankedDocument> = results
            .into_iter()
            .map(|document| RankedDocument {
                index: document.index,
                score: document.relevance_score,
            })
            .collect();
        ranked.sort_by(|left, right| right.score.total_cmp(&left.score));
        // Servers exist that rank all, whatever is wanted.
        ranked.truncate(wanted);
        Ok(Ranking(ranked))
    }
}

#[cfg(test)]
mod tests;
