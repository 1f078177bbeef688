//! Judges what goes into a call and what comes out of it.

mod checked;

use std::fmt;
use std::sync::Arc;

use metrics::{Counter, counter};
use silica_engine::{
    ChatRequest, Continuation, EngineError, Judgements, ModerationError, ModerationRequest, Moderator,
    UnreadableBody, WireRequest,
};
use silica_moderation::{Windows, pieces, spellings};
use tokio::sync::Semaphore;

pub(crate) use self::checked::Checked;
use crate::record::Delivery;
use crate::{GatewayError, error_chain};

/// Texts that are no stream are judged in pieces of so many characters: about 4,000 tokens.
const PIECE: usize = 16_000;
/// Requests up to this size are looked through where they are; larger ones on the blocking pool, in bytes.
const LARGEST_DIRECT: usize = 64 * 1024;

/// What is judged, by whom, and how.
#[derive(Clone)]
pub struct ModerationOptions {
    /// Who judges.
    pub moderator: Arc<dyn Moderator>,
    /// Whether what clients send is judged, before an engine sees it.
    pub input: bool,
    /// Whether what engines answer is judged, before clients see it.
    pub output: bool,
    /// What becomes of texts that nobody judges because the moderator is away.
    pub on_failure: OnFailure,
    /// About how many characters of a stream are judged together. It grows to twice the overlap.
    pub window: usize,
    /// How many of them are judged with the window before, too. It grows to what the moderator says
    /// belongs together.
    pub overlap: usize,
    /// The most requests of clients for judgements that are answered at the same time.
    pub most_requests: usize,
}

/// What becomes of texts that nobody has judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// They are treated as refused would be, but for the error: 503.
    Refuse,
    /// They pass.
    Allow,
}

/// When a text was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModerationStage {
    /// Before a call.
    Input,
    /// Before its answer went out.
    Output,
}

impl fmt::Display for ModerationStage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Input => "input",
            Self::Output => "output",
        })
    }
}

/// Moderation in force.
pub struct Moderation {
    options: ModerationOptions,
    windows: Windows,
    input: Meters,
    output: Meters,
    requests: Arc<Semaphore>,
}

/// What is counted of one stage.
struct Meters {
    passed: Counter,
    refused: Counter,
    failed: Counter,
}

impl Moderation {
    /// Puts the options in force.
    pub fn new(options: ModerationOptions) -> Self {
        let overlap = options.overlap.max(options.moderator.reach());
        Self {
            windows: Windows {
                size: options.window.max(2 * overlap),
                overlap,
            },
            input: Meters::new(ModerationStage::Input),
            output: Meters::new(ModerationStage::Output),
            requests: Arc::new(Semaphore::new(options.most_requests)),
            options,
        }
    }

    /// Answers a client that asks for judgements itself. Dropping the future ends the question.
    ///
    /// # Errors
    /// [`ModerationError`], and [`GatewayError::Overloaded`] when too many ask.
    pub async fn judge(&self, mut request: ModerationRequest) -> Result<Judgements, GatewayError> {
        let place = Arc::clone(&self.requests).try_acquire_owned();
        request.place = Some(Arc::new(place.map_err(|_| GatewayError::Overloaded)?));
        let judged = self.options.moderator.judge(request).await;
        judged.map_err(|error| match error {
            ModerationError::Invalid(text) => EngineError::InvalidRequest(text).into(),
            ModerationError::Unavailable(_) => {
                tracing::error!(error = %error_chain(&error), "a client's texts were not judged");
                GatewayError::Unmoderated(error)
            }
        })
    }

    /// Judges a request before anything is done for it, and arranges that its answer can be judged.
    pub(crate) async fn admit(&self, request: &mut ChatRequest) -> Result<(), GatewayError> {
        if self.options.output
            && let Some(wire) = &mut request.wire
        {
            wire.is_read = true;
        }
        if !self.options.input {
            return Ok(());
        }
        let text = texts(request).await?;
        self.check(ModerationStage::Input, vec![text]).await
    }

    /// Whether requests are judged.
    pub(crate) const fn judges_input(&self) -> bool {
        self.options.input
    }

    /// What holds an answer back until it is judged; `None` when answers are not.
    pub(crate) fn of_answer(self: &Arc<Self>, choices: u32, delivery: Delivery) -> Option<Box<Checked>> {
        let windows = match delivery {
            Delivery::Streamed => Some(self.windows),
            Delivery::Whole => None,
        };
        let moderation = Arc::clone(self);
        self.options
            .output
            .then(|| Box::new(Checked::new(moderation, choices, windows)))
    }

    /// Judges texts.
    async fn check(&self, stage: ModerationStage, texts: Vec<String>) -> Result<(), GatewayError> {
        let overlap = self.windows.overlap;
        let texts: Vec<String> = texts
            .into_iter()
            .filter(|text| !text.is_empty())
            .flat_map(|text| pieces(text, PIECE.max(2 * overlap), overlap))
            .flat_map(spellings)
            .collect();
        if texts.is_empty() {
            return Ok(());
        }
        let meters = match stage {
            ModerationStage::Input => &self.input,
            ModerationStage::Output => &self.output,
        };
        match self.options.moderator.refuses(texts).await {
            Ok(false) => {
                meters.passed.increment(1);
                Ok(())
            }
            Ok(true) => {
                meters.refused.increment(1);
                Err(GatewayError::Moderated(stage))
            }
            Err(error) => {
                meters.failed.increment(1);
                match (&error, self.options.on_failure) {
                    // Whoever writes what nobody can judge does not decide that it passes.
                    (ModerationError::Invalid(_), _) | (_, OnFailure::Refuse) => {
                        Err(GatewayError::Unmoderated(error))
                    }
                    (ModerationError::Unavailable(_), OnFailure::Allow) => {
                        tracing::warn!(error = %error_chain(&error), "{stage} passes without a judgement");
                        Ok(())
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Moderation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Moderation")
            .field("windows", &self.windows)
            .field("on_failure", &self.options.on_failure)
            .finish_non_exhaustive()
    }
}

impl Meters {
    fn new(stage: ModerationStage) -> Self {
        let outcome = |outcome: &'static str| counter!("silica_moderation_checks_total", "stage" => stage.to_string(), "outcome" => outcome);
        Self {
            passed: outcome("passed"),
            refused: outcome("refused"),
            failed: outcome("failed"),
        }
    }
}

/// All that a model may read of a request, a text a line. Of a request that is forwarded as it came that is
/// every text in it: engines know members that nobody here does.
async fn texts(request: &ChatRequest) -> Result<String, GatewayError> {
    let Some(wire) = &request.wire else {
        return Ok(own_texts(request));
    };
    if wire.body.len() <= LARGEST_DIRECT {
        return wire_texts(wire);
    }
    let wire = wire.clone();
    let reading = tokio::task::spawn_blocking(move || wire_texts(&wire));
    reading.await.map_err(EngineError::failed)?
}

fn wire_texts(wire: &WireRequest) -> Result<String, GatewayError> {
    let invalid = |error: UnreadableBody| EngineError::InvalidRequest(error.to_string()).into();
    wire.texts().map_err(invalid)
}

fn own_texts(request: &ChatRequest) -> String {
    let mut all = String::new();
    let mut add = |text: &str| {
        all.push_str(text);
        all.push('\n');
    };
    for message in &request.messages {
        add(&message.content);
        let more = [&message.reasoning, &message.name];
        more.into_iter().flatten().for_each(|text| add(text));
        for call in &message.tool_calls {
            add(&call.name);
            add(&call.arguments);
        }
    }
    for tool in &request.tools {
        add(&tool.name);
        tool.description.iter().for_each(|text| add(text));
        tool.parameters.iter().for_each(|schema| add(&schema.to_string()));
    }
    if let silica_engine::AnswerForm::JsonSchema(schema) = &request.form {
        add(&schema.to_string());
    }
    match &request.continuation {
        Continuation::None => {}
        Continuation::Text(text) | Continuation::Prefix(text) => add(text),
        Continuation::FillInMiddle { prefix, suffix } => {
            add(prefix);
            add(suffix);
        }
    }
    all
}
