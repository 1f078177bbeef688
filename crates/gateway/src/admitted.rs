//! A request that was counted and may run.

use std::sync::Arc;

use silica_engine::{ChatRequest, ChatStream, Continuation, Feature, ToolChoice};
use silica_platform::{CatalogueModel, Entry, ModelFeature, Units};
use silica_types::TokenCount;

use crate::record::{CallRecord, Delivery};
use crate::replica::Seat;
use crate::{Call, Gateway, GatewayError};

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

async fn start(
    gateway: &Gateway,
    record: &mut CallRecord,
    entry: Entry,
    model: &CatalogueModel,
    request: ChatRequest,
) -> Result<(Seat, ChatStream), GatewayError> {
    check_features(model, &request)?;
    let seat = gateway.seat(model)?;
    let prepared = seat.engine().prepare(within_context(model, request)).await?;
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
    let stream = prepared.start().await?;
    Ok((seat, stream))
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
