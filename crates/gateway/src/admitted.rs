//! A request that was counted and may run.

use std::sync::Arc;
use std::time::Duration;

use silica_engine::{
    ChatRequest, Continuation, EmbedRequest, Embeddings, EngineError, Feature, Priority, Ranking,
    RerankRequest, ToolChoice, WholeAnswer,
};
use silica_platform::{CatalogueModel, Entry, Estimate, ModelFeature, Standings, Units, UsageLevel};
use silica_types::{RequestId, TokenCount};
use tokio::time::Instant;

use crate::images::image_tokens;
use crate::record::{CallRecord, Delivery};
use crate::replica::{Loaded, NoSeat, Seat, Tried};
use crate::work::{Ready, Work};
use crate::{Call, Gateway, GatewayError, Moderation};

/// No replica is tried anew when this much time has passed: the client has waited long enough.
const RETRY_BUDGET: Duration = Duration::from_mins(5);

/// A request that its caller's limits let in. Dropped without a chat, it is booked as cancelled.
#[must_use = "dropping it books a cancelled call"]
pub struct Admitted {
    gateway: Gateway,
    model: Arc<CatalogueModel>,
    entry: Entry,
    record: CallRecord,
}

impl Admitted {
    pub(crate) const fn new(
        gateway: Gateway,
        model: Arc<CatalogueModel>,
        entry: Entry,
        record: CallRecord,
    ) -> Self {
        Self {
            gateway,
            model,
            entry,
            record,
        }
    }

    /// The model that was asked for.
    pub const fn model(&self) -> &Arc<CatalogueModel> {
        &self.model
    }

    /// Books the request as failed: it is not valid for its model.
    pub fn invalid(mut self) {
        self.record.invalid();
    }

    /// The call's id; on the wire the `id` of the answer.
    pub fn id(&self) -> RequestId {
        self.record.id()
    }

    /// Builds the prompt, reserves the worst case and starts the chat. Dropping the future or the
    /// call cancels it; either way it is accounted for once.
    ///
    /// # Errors
    /// Anything known before the engine has begun to answer. What was reserved is given back.
    pub async fn chat(mut self, request: ChatRequest, delivery: Delivery) -> Result<Call, GatewayError> {
        let choices = request.choices;
        let request = ChatRequest {
            priority: priority_of(self.entry.level()),
            account: Some(self.entry.account()),
            ..request
        };
        let moderation = self.gateway.moderation().map(Arc::clone);
        let counted = match &moderation {
            // A judgement costs somebody something, so that nobody gets more of them than requests.
            Some(moderation) if moderation.judges_input() => self.entry.count().await,
            _ => Ok(()),
        };
        let work = match counted {
            Ok(()) => chat_work(&self.model, request, moderation.as_deref()).await,
            Err(refusal) => Err(refusal.into()),
        };
        let (record, seat, (first, stream)) = self.run(delivery, |_| work).await?;
        let checked = moderation.and_then(|moderation| moderation.of_answer(choices, delivery));
        Ok(Call::new(record, choices, first, stream, seat, checked))
    }

    /// Counts the tokens of a chat's prompt, as exactly as its engine can. No seat is taken, and
    /// nothing is reserved or charged; the account's limits on requests have counted it.
    ///
    /// # Errors
    /// What a chat would be refused with before it runs.
    pub async fn count(self, request: ChatRequest) -> Result<TokenCount, GatewayError> {
        let Self {
            gateway,
            model,
            mut entry,
            mut record,
        } = self;
        let sized = match entry.count().await {
            Ok(()) => chat_size(&gateway, &model, request).await,
            Err(refusal) => Err(refusal.into()),
        };
        looked_at(&mut record, &sized);
        let prompt = sized?.likely.prompt_tokens;
        Ok(TokenCount(u32::try_from(prompt).unwrap_or(u32::MAX)))
    }

    /// Says what a chat would be reserved by. As [`Admitted::count`], it takes nothing.
    ///
    /// # Errors
    /// What a chat would be refused with before it runs, but for limits and balance.
    pub async fn estimate_chat(mut self, request: ChatRequest) -> Result<Estimate, GatewayError> {
        let size = match self.entry.count().await {
            Ok(()) => chat_size(&self.gateway, &self.model, request).await,
            Err(refusal) => Err(refusal.into()),
        };
        self.estimated(size)
    }

    /// The same of vectors.
    ///
    /// # Errors
    /// As [`Admitted::estimate_chat`].
    pub async fn estimate_embed(mut self, request: EmbedRequest) -> Result<Estimate, GatewayError> {
        let size = match self.entry.count().await {
            Ok(()) => size(&self.gateway, &self.model, &Arc::new(request)).await,
            Err(refusal) => Err(refusal.into()),
        };
        self.estimated(size)
    }

    /// The same of an order of documents.
    ///
    /// # Errors
    /// As [`Admitted::estimate_chat`].
    pub async fn estimate_rerank(mut self, request: RerankRequest) -> Result<Estimate, GatewayError> {
        let size = match self.entry.count().await {
            Ok(()) => size(&self.gateway, &self.model, &Arc::new(request)).await,
            Err(refusal) => Err(refusal.into()),
        };
        self.estimated(size)
    }

    fn estimated(mut self, size: Result<Size, GatewayError>) -> Result<Estimate, GatewayError> {
        looked_at(&mut self.record, &size);
        let Size { likely, most } = size?;
        Ok(self.entry.estimate(likely, most, None))
    }

    /// Embeds texts. Dropping the future cancels the call; either way it is accounted for once.
    ///
    /// # Errors
    /// Whatever keeps the whole answer from the client; nothing is charged then.
    pub async fn embed(self, request: EmbedRequest) -> Result<Answered<Embeddings>, GatewayError> {
        self.whole(Arc::new(request)).await
    }

    /// Orders documents. Dropping the future cancels the call; either way it is accounted for once.
    ///
    /// # Errors
    /// As [`Admitted::embed`].
    pub async fn rerank(self, request: RerankRequest) -> Result<Answered<Ranking>, GatewayError> {
        self.whole(Arc::new(request)).await
    }

    /// Runs what is answered in one piece, to the end of its settlement.
    async fn whole<T, W>(self, work: W) -> Result<Answered<T>, GatewayError>
    where
        W: Work<Begun = WholeAnswer<T>>,
    {
        let (mut record, seat, answer) = self.run(Delivery::Whole, |_| Ok(work)).await?;
        drop(seat);
        record.answered(answer.usage);
        let standings = record.standings().cloned().unwrap_or_default();
        if let Some(commit) = record.complete() {
            commit.await.map_err(GatewayError::NotSettled)?;
        }
        Ok(Answered { answer, standings })
    }

    /// Makes the work of the request and starts it. An error is booked.
    async fn run<W: Work>(
        self,
        delivery: Delivery,
        work: impl FnOnce(&CatalogueModel) -> Result<W, GatewayError>,
    ) -> Result<(CallRecord, Seat, W::Begun), GatewayError> {
        let Self {
            gateway,
            model,
            entry,
            mut record,
        } = self;
        record.deliver(delivery);
        let begun = match work(&model) {
            Ok(work) => start(&gateway, &mut record, entry, &model, &work).await,
            Err(error) => Err(error),
        };
        match begun {
            Ok((seat, begun)) => Ok((record, seat, begun)),
            Err(error) => {
                // The engine has not begun, so there is nothing to settle and to wait for.
                drop(record.fail(&error));
                Err(error)
            }
        }
    }
}

/// An answer in one piece, settled, and how the account stood with its limits when it was admitted.
#[derive(Debug)]
pub struct Answered<T> {
    /// The answer.
    pub answer: WholeAnswer<T>,
    /// The limits on the model.
    pub standings: Standings,
}

/// A chat that may run, as far as can be said without an engine.
async fn chat_work(
    model: &CatalogueModel,
    request: ChatRequest,
    moderation: Option<&Moderation>,
) -> Result<Arc<ChatRequest>, GatewayError> {
    check_features(model, &request)?;
    let mut request = within_context(model, request);
    request.image_tokens = image_tokens(model, &request).await?;
    if let Some(moderation) = moderation {
        moderation.admit(&mut request).await?;
    }
    Ok(Arc::new(request))
}

/// What a request would be reserved by.
struct Size {
    likely: Units,
    most: Units,
}

/// The size of a chat, as exactly as any of its engines can tell.
async fn chat_size(
    gateway: &Gateway,
    model: &CatalogueModel,
    request: ChatRequest,
) -> Result<Size, GatewayError> {
    let request = chat_work(model, request, None).await?;
    size(gateway, model, &request).await
}

async fn size<W: Work>(gateway: &Gateway, model: &CatalogueModel, work: &W) -> Result<Size, GatewayError> {
    let loaded = gateway.engines_of(model)?;
    let engines = loaded.any_engines().ok_or(GatewayError::NotLoaded)?;
    let ready = work.prepare(engines).await.ok_or(GatewayError::NotLoaded)??;
    let Ready { likely, most, .. } = ready;
    Ok(Size { likely, most })
}

/// Books a request that was looked at only. Nothing was reserved, so there is no settlement to wait for.
fn looked_at<T>(record: &mut CallRecord, looked: &Result<T, GatewayError>) {
    drop(match looked {
        Ok(_) => record.complete(),
        Err(error) => record.fail(error),
    });
}

/// What starting a call needs from one attempt to the next.
struct Attempts<'a> {
    record: &'a mut CallRecord,
    /// `None` once the worst case is reserved.
    entry: Option<Entry>,
    begun: Instant,
    last_error: Option<EngineError>,
    /// Whether a replica was passed over because its engine cannot do such a thing.
    met_unable: bool,
}

/// Starts the call on one replica after the other until one begins to answer: those of the model's
/// deployment, then those of its fallbacks.
///
/// Until an answer begins nothing has gone to the client, so a fault of an engine moves the call to
/// the next replica. What is reserved stays the same.
async fn start<W: Work>(
    gateway: &Gateway,
    record: &mut CallRecord,
    entry: Entry,
    model: &CatalogueModel,
    work: &W,
) -> Result<(Seat, W::Begun), GatewayError> {
    let own = gateway.engines_of(model)?;
    let mut attempts = Attempts {
        record,
        entry: Some(entry),
        begun: Instant::now(),
        last_error: None,
        met_unable: false,
    };
    if let Some(begun) = start_at(&own, &mut attempts, work).await? {
        return Ok(begun);
    }
    for name in &own.deployment.fallbacks {
        let Some(fallback) = gateway.engines_of_deployment(name) else {
            continue;
        };
        if let Some(begun) = start_at(&fallback, &mut attempts, work).await? {
            return Ok(begun);
        }
    }
    Err(match attempts.last_error {
        Some(error) => error.into(),
        None if attempts.met_unable => GatewayError::NotLoaded,
        None => GatewayError::Overloaded,
    })
}

/// Tries the replicas of one deployment; `None` when none of them began to answer.
async fn start_at<W: Work>(
    engines: &Loaded,
    attempts: &mut Attempts<'_>,
    work: &W,
) -> Result<Option<(Seat, W::Begun)>, GatewayError> {
    let mut tried = Tried::default();
    let prefix = if engines.wants_prefix() {
        work.prefix()
    } else {
        None
    };
    loop {
        // Before a seat is taken: it may be the trial of a breaker, which would be lost.
        if attempts.last_error.is_some() && attempts.begun.elapsed() >= RETRY_BUDGET {
            break;
        }
        let seat = match engines.seat(&tried, prefix) {
            Ok(seat) => seat,
            Err(NoSeat::Full) => break,
            Err(NoSeat::Cooling(left)) => {
                // None is tried before it may be; whoever asked too often is told when to come back.
                let retry_after = Some(left);
                attempts
                    .last_error
                    .get_or_insert(EngineError::RateLimited { retry_after });
                break;
            }
        };
        tried.add(&seat);
        if attempts.last_error.is_some() {
            attempts.record.retried();
        }
        attempts.record.tries(&engines.deployment, &seat);
        match attempt(attempts, &seat, work).await {
            Ok(begun) => {
                seat.succeeded();
                return Ok(Some((seat, begun)));
            }
            Err(GatewayError::Engine(error)) if error.is_of_the_engine() => {
                seat.failed(&error);
                attempts.record.gave_up(&error);
                attempts.last_error = Some(error);
            }
            // Another replica, or one of a fallback, may be able.
            Err(GatewayError::NotLoaded) => attempts.met_unable = true,
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Runs the call on one replica until it begins to answer. Reserves when no attempt before it has.
async fn attempt<W: Work>(
    attempts: &mut Attempts<'_>,
    seat: &Seat,
    work: &W,
) -> Result<W::Begun, GatewayError> {
    let Some(ready) = work.prepare(seat.engines()).await else {
        return Err(GatewayError::NotLoaded);
    };
    let ready = ready?;
    if let Some(entry) = attempts.entry.take() {
        let facts = attempts.record.facts();
        let reserved = entry.reserve(facts, ready.likely, ready.most, None).await?;
        attempts.record.reserved(reserved);
    }
    attempts.record.spends(ready.spent);
    Ok(ready.start.await?)
}

/// Refuses what the catalogue says the model cannot do, before the engine sees it.
fn check_features(model: &CatalogueModel, request: &ChatRequest) -> Result<(), GatewayError> {
    let tools = !request.tools.is_empty() && request.tool_choice != ToolChoice::None;
    let needs = [
        (tools, ModelFeature::Tools, Feature::Tools),
        (
            matches!(request.continuation, Continuation::Prefix(_)),
            ModelFeature::Prefix,
            Feature::Prefix,
        ),
        (
            matches!(request.continuation, Continuation::FillInMiddle { .. }),
            ModelFeature::Fim,
            Feature::FillInMiddle,
        ),
        (
            request.thinking.enabled.is_some(),
            ModelFeature::Reasoning,
            Feature::Thinking,
        ),
    ];
    let demands = request
        .demands
        .iter()
        .map(|demand| (true, catalogue_feature(*demand), *demand));
    match needs
        .into_iter()
        .chain(demands)
        .find(|(needed, feature, _)| *needed && !model.features.contains(feature))
    {
        Some((_, _, feature)) => Err(GatewayError::Unsupported(feature)),
        None => Ok(()),
    }
}

/// What the catalogue calls a feature.
const fn catalogue_feature(feature: Feature) -> ModelFeature {
    match feature {
        Feature::JsonMode => ModelFeature::Json,
        Feature::Tools | Feature::ForcedCalls | Feature::StrictTools => ModelFeature::Tools,
        Feature::Prefix => ModelFeature::Prefix,
        Feature::FillInMiddle => ModelFeature::Fim,
        Feature::Thinking | Feature::ThinkingBudget => ModelFeature::Reasoning,
        Feature::Vision => ModelFeature::Vision,
    }
}

/// The higher an account's usage level, the sooner its turn comes in engines of our own.
fn priority_of(level: UsageLevel) -> Priority {
    let index = UsageLevel::ALL.iter().position(|known| *known == level);
    Priority(
        index
            .and_then(|index| u8::try_from(index).ok())
            .unwrap_or_default(),
    )
}

/// Cuts `max_tokens` to the model's context: clients send "as much as you can" as a large number.
fn within_context(model: &CatalogueModel, mut request: ChatRequest) -> ChatRequest {
    if let Some(context) = model.context_length {
        request.max_tokens = request.max_tokens.min(TokenCount(context.max(1)));
    }
    request
}
