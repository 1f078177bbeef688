//! A request that was counted and may run.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use silica_engine::{ChatRequest, ChatStream, Continuation, EngineError, Feature, ToolChoice};
use silica_platform::{CatalogueModel, Entry, ModelFeature, Units};
use silica_types::TokenCount;
use tokio::time::Instant;

use crate::record::{CallRecord, Delivery};
use crate::replica::{Seat, Tried};
use crate::{Call, Gateway, GatewayError};

/// No replica is tried anew when this much time has passed: the client has waited long enough.
const RETRY_BUDGET: Duration = Duration::from_mins(1);

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

    /// Builds the prompt, reserves the worst case and starts the chat. Dropping the future or the
    /// call cancels it; either way it is accounted for once.
    ///
    /// # Errors
    /// Anything known before the engine has begun to answer. What was reserved is given back.
    pub async fn chat(self, request: ChatRequest, delivery: Delivery) -> Result<Call, GatewayError> {
        let Self {
            gateway,
            model,
            entry,
            mut record,
        } = self;
        record.deliver(delivery);
        let choices = request.choices;
        match start(&gateway, &mut record, entry, &model, request).await {
            Ok((seat, stream)) => Ok(Call::new(record, choices, stream, seat)),
            Err(error) => {
                // The engine has not begun, so there is nothing to settle and to wait for.
                drop(record.fail(&error));
                Err(error)
            }
        }
    }
}

/// Starts the call on one replica after the other until one begins to answer.
///
/// The first event is waited for here: until then nothing has gone to the client, and a fault of an
/// engine moves the call to the next replica. What is reserved stays the same.
async fn start(
    gateway: &Gateway,
    record: &mut CallRecord,
    entry: Entry,
    model: &CatalogueModel,
    request: ChatRequest,
) -> Result<(Seat, ChatStream), GatewayError> {
    check_features(model, &request)?;
    let engines = gateway.engines_of(model)?;
    let mut request = Some(within_context(model, request));
    let begun = Instant::now();
    let mut entry = Some(entry);
    let mut tried = Tried::default();
    let mut last_error = None;
    while let Some(seat) = engines.seat(&tried) {
        tried.add(&seat);
        // Kept only while another replica may need it.
        let attempted = if engines.replicas.len() > tried.count() {
            request.clone()
        } else {
            request.take()
        };
        let Some(attempted) = attempted else { break };
        let error = match attempt(record, &mut entry, &seat, attempted).await {
            Ok(stream) => {
                seat.succeeded();
                return Ok((seat, stream));
            }
            Err(GatewayError::Engine(error)) if error.is_of_the_engine() => error,
            Err(error) => return Err(error),
        };
        seat.failed(&error);
        if begun.elapsed() >= RETRY_BUDGET {
            return Err(error.into());
        }
        metrics::counter!("silica_retries_total", "model" => model.id.as_str().to_owned()).increment(1);
        last_error = Some(error);
    }
    Err(last_error.map_or(GatewayError::Overloaded, Into::into))
}

/// Runs the call on one replica up to its first event. Reserves when no attempt before it has.
async fn attempt(
    record: &mut CallRecord,
    entry: &mut Option<Entry>,
    seat: &Seat,
    request: ChatRequest,
) -> Result<ChatStream, GatewayError> {
    let prepared = seat.engine().prepare(request).await?;
    if let Some(entry) = entry.take() {
        let likely = Units {
            prompt_tokens: prepared.prompt_tokens().get().into(),
            completion_tokens: prepared.completion_limit().get().into(),
            ..Units::default()
        };
        let most = Units {
            prompt_tokens: prepared.prompt_limit().get().into(),
            ..likely
        };
        record.reserved(entry.reserve(record.facts(), likely, most, None).await?);
    }
    let mut stream = prepared.start().await?;
    match stream.next().await {
        Some(Ok(first)) => Ok(Box::pin(stream::iter([Ok(first)]).chain(stream))),
        Some(Err(error)) => Err(error.into()),
        None => Err(EngineError::Unavailable.into()),
    }
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
    match needs
        .into_iter()
        .find(|(needed, feature, _)| *needed && !model.features.contains(feature))
    {
        Some((_, _, feature)) => Err(GatewayError::Unsupported(feature)),
        None => Ok(()),
    }
}

/// Cuts `max_tokens` to the model's context: clients send "as much as you can" as a large number.
fn within_context(model: &CatalogueModel, mut request: ChatRequest) -> ChatRequest {
    if let Some(context) = model.context_length {
        request.max_tokens = request.max_tokens.min(TokenCount(context.max(1)));
    }
    request
}
