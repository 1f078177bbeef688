//! What a replica is asked for, of any kind: how its size is known, and how it begins.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;
use silica_engine::{
    ChatEvent, ChatRequest, ChatStream, EmbedRequest, Embeddings, EngineError, Engines, PreparedWhole,
    Ranking, RerankRequest, Spent, WholeAnswer,
};
use silica_platform::Units;
use silica_types::TokenCount;

use crate::affinity::Prefix;

/// A request that any replica with the fitting ability can take.
#[async_trait]
pub(crate) trait Work: Send + Sync {
    /// What there is when a replica has begun to answer.
    type Begun: Send;

    /// Checks and counts the request at a replica; `None` when the replica has no such ability.
    async fn prepare(&self, engines: &Engines) -> Option<Result<Ready<Self::Begun>, EngineError>>;

    /// The beginning of the conversation, by which its replica is chosen; `None` when it has none.
    fn prefix(&self) -> Option<Prefix> {
        None
    }
}

/// A request that may begin, once what it may cost is reserved.
pub(crate) struct Ready<B> {
    /// What it will likely use.
    pub(crate) likely: Units,
    /// The most that it can use.
    pub(crate) most: Units,
    /// What it costs if it is given up before it has begun to answer.
    pub(crate) spent: Option<Spent>,
    /// Begins it; dropping it leaves nothing behind.
    pub(crate) start: Pin<Box<dyn Future<Output = Result<B, EngineError>> + Send>>,
}

/// An answer that has begun: its first event, and the rest.
pub(crate) type BegunChat = (ChatEvent, ChatStream);

#[async_trait]
impl Work for Arc<ChatRequest> {
    type Begun = BegunChat;

    fn prefix(&self) -> Option<Prefix> {
        Some(Prefix::of(self))
    }

    async fn prepare(&self, engines: &Engines) -> Option<Result<Ready<BegunChat>, EngineError>> {
        let engine = engines.chat.as_ref()?;
        let prepared = match engine.prepare(Self::clone(self)).await {
            Ok(prepared) => prepared,
            Err(error) => return Some(Err(error)),
        };
        let completion = prepared.completion_limit();
        let units = |prompt: TokenCount| Units {
            completion_tokens: completion.get().into(),
            ..prompt_units(prompt)
        };
        Some(Ok(Ready {
            likely: units(prepared.prompt_tokens()),
            most: units(prepared.prompt_limit()),
            spent: prepared.spent(),
            start: Box::pin(async move {
                // Until the first event nothing has gone to the client, so it is waited for.
                let mut stream = prepared.start().await?;
                match stream.next().await {
                    Some(first) => Ok((first?, stream)),
                    None => Err(EngineError::Unavailable),
                }
            }),
        }))
    }
}

#[async_trait]
impl Work for Arc<EmbedRequest> {
    type Begun = WholeAnswer<Embeddings>;

    async fn prepare(&self, engines: &Engines) -> Option<Result<Ready<Self::Begun>, EngineError>> {
        Some(
            engines
                .embed
                .as_ref()?
                .prepare(Self::clone(self))
                .await
                .map(whole),
        )
    }
}

#[async_trait]
impl Work for Arc<RerankRequest> {
    type Begun = WholeAnswer<Ranking>;

    async fn prepare(&self, engines: &Engines) -> Option<Result<Ready<Self::Begun>, EngineError>> {
        Some(
            engines
                .rerank
                .as_ref()?
                .prepare(Self::clone(self))
                .await
                .map(whole),
        )
    }
}

fn whole<T: 'static>(prepared: Box<dyn PreparedWhole<T>>) -> Ready<WholeAnswer<T>> {
    Ready {
        likely: prompt_units(prepared.prompt_tokens()),
        most: prompt_units(prepared.prompt_limit()),
        spent: prepared.spent(),
        start: prepared.run(),
    }
}

fn prompt_units(prompt: TokenCount) -> Units {
    Units {
        prompt_tokens: prompt.get().into(),
        ..Units::default()
    }
}
