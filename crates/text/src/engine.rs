//! The chat engine on top of a token engine.

use std::fmt;
use std::num::NonZero;
use std::sync::Arc;

use async_trait::async_trait;
use silica_engine::{
    AnswerForm, ChatEngine, ChatRequest, ChatStream, EngineError, Feature, GenerateRequest, PreparedChat,
    Sampling, TokenEngine,
};
use silica_types::{SharedClock, SystemClock, TokenCount, UsageSource};
use tokio::sync::Semaphore;

use crate::answer::{ChoiceSettings, Patterns};
use crate::model::{Prompt, TextModel};
use crate::size::text_bytes;
use crate::stream::Answer;
use crate::{TextError, TextFiles};

/// Requests with more text than this, more messages, any tools or a form are rendered and tokenized on the
/// blocking pool, since what takes more than half a millisecond must leave the async threads.
/// Measured with the demo model (release build, one busy core of a small virtual machine): 0.1 ms
/// for 256 bytes, 0.3 ms for 1 KB in one message or in 16, 1.3 ms for 4 KB, 31 ms for 64 KB.
const LARGEST_DIRECT_BYTES: usize = 1024;
/// See [`LARGEST_DIRECT_BYTES`].
const MOST_DIRECT_MESSAGES: usize = 16;

/// Lifts a [`TokenEngine`] to a [`ChatEngine`].
///
/// - `Continuation::Prefix` needs a chat template and turns reasoning off where the template can;
///   models that always reason refuse it.
/// - `Continuation::FillInMiddle` is a raw prompt; the messages have no place in it.
/// - Stop texts apply to the visible answer, not to reasoning or tool calls.
/// - Tools are shown to the model unless `ToolChoice::None` hides them, and calls are read from the answer.
/// - A form, a forced call and the arguments of strict tools are kept whatever the model's weights are: the
///   engine draws among the tokens that the grammar allows. Reasoning before the answer is free.
/// - Special tokens that users and tools spell in their texts reach the model as plain text.
pub struct TextEngine<E> {
    core: Arc<Core<E>>,
    /// One for each core: more long prompts at a time would only slow each other down.
    builders: Arc<Semaphore>,
}

/// What a request needs to run once its prompt is built.
struct Core<E> {
    model: Arc<TextModel>,
    engine: E,
    name: String,
    clock: SharedClock,
}

/// A request with its prompt.
struct PreparedText<E> {
    core: Arc<Core<E>>,
    prompt: Prompt,
    request: Arc<ChatRequest>,
    /// Tokens that a choice may have, at least 1: the request's limit within the context.
    max_tokens: TokenCount,
}

impl<E: TokenEngine> TextEngine<E> {
    /// Reads the text side of a Hugging Face folder, or of files in memory: `tokenizer.json`, and
    /// where present `tokenizer_config.json`, `generation_config.json`, `chat_template.jinja` or
    /// `chat_template.json`, and `config.json` for its end-of-text ids. Blocks; call it off the
    /// async threads. `name` appears in logs. Reads the system's clock; see
    /// [`TextEngine::load_with_clock`].
    ///
    /// # Errors
    /// Names the file that is missing or wrong.
    pub fn load(files: impl Into<TextFiles>, engine: E, name: impl Into<String>) -> Result<Self, TextError> {
        Self::load_with_clock(files, engine, name, Arc::new(SystemClock))
    }

    /// As [`TextEngine::load`]; templates (`strftime_now`) and the ids of tool calls take the time
    /// from `clock`.
    ///
    /// # Errors
    /// As [`TextEngine::load`].
    pub fn load_with_clock(
        files: impl Into<TextFiles>,
        engine: E,
        name: impl Into<String>,
        clock: SharedClock,
    ) -> Result<Self, TextError> {
        let name = name.into();
        let (logits, context) = (engine.vocabulary_size(), engine.context_length());
        let model = Arc::new(TextModel::load(files, logits, context, Arc::clone(&clock))?);
        if !model.has_stop_tokens() {
            tracing::warn!(
                engine.name = name,
                "{name} names no end-of-text token: every answer runs to its limit"
            );
        }
        let builders = std::thread::available_parallelism().map_or(1, NonZero::get);
        Ok(Self {
            core: Arc::new(Core {
                model,
                engine,
                name,
                clock,
            }),
            builders: Arc::new(Semaphore::new(builders)),
        })
    }

    /// Whether the folder provides for a feature (tools and switching the reasoning by the
    /// template, prefix by having one, fill in the middle by the tokens).
    pub fn supports(&self, feature: Feature) -> bool {
        self.core.model.supports(feature)
    }

    /// Builds the prompt, on the blocking pool unless it is small.
    async fn prompt(&self, request: &Arc<ChatRequest>) -> Result<Prompt, EngineError> {
        let is_small =
            text_bytes(request) <= LARGEST_DIRECT_BYTES && request.messages.len() <= MOST_DIRECT_MESSAGES;
        if is_small && request.tools.is_empty() && request.form == AnswerForm::Text {
            return self.core.model.prompt(request);
        }
        let permit = Arc::clone(&self.builders)
            .acquire_owned()
            .await
            .map_err(EngineError::failed)?;
        let (model, request) = (Arc::clone(&self.core.model), Arc::clone(request));
        let building = tokio::task::spawn_blocking(move || {
            // Held to the end of the work, which goes on when the caller is gone.
            let _permit = permit;
            model.prompt(&request)
        });
        building.await.map_err(EngineError::failed)?
    }
}

impl<E: TokenEngine> Core<E> {
    /// Returns the tokens that a choice may have after this prompt, at least 1.
    fn room(&self, prompt: &Prompt) -> Result<TokenCount, EngineError> {
        let limit = self.engine.context_length();
        let prompt = TokenCount::of(&prompt.tokens);
        match limit.get().saturating_sub(prompt.get()) {
            0 => Err(EngineError::ContextExceeded { prompt, limit }),
            room => Ok(TokenCount(room)),
        }
    }
}

impl<E: TokenEngine> PreparedText<E> {
    fn submit(&self) -> Result<Answer, EngineError> {
        let Self {
            core,
            prompt,
            request,
            max_tokens,
        } = self;
        let settings = Arc::new(ChoiceSettings {
            vocabulary: Arc::clone(core.model.vocabulary()),
            clock: Arc::clone(&core.clock),
            stop_tokens: prompt.stop_tokens.clone(),
            stops: Patterns::new(request.stop.iter().map(String::as_str)),
            opening: prompt.opening,
            tools: prompt.tools,
            continues: prompt.continues,
        });
        let constrained = if request.form == AnswerForm::Text {
            Feature::ForcedCalls
        } else {
            Feature::JsonMode
        };
        let mut answer = Answer::new(TokenCount::of(&prompt.tokens), constrained);
        for choice in 0..request.choices.max(1) {
            // An error drops `answer`, which cancels the choices already queued.
            let sequence = core.engine.generate(GenerateRequest {
                prompt: prompt.tokens.clone(),
                sampling: sampling(&request.sampling, choice),
                max_tokens: *max_tokens,
                stop_tokens: prompt.stop_tokens.clone(),
                logprobs: request.logprobs,
                span_limit: prompt.reasoning_limit.clone(),
                constraint: prompt.constraint.clone(),
                priority: request.priority,
                account: request.account,
            })?;
            answer.add(sequence, &settings);
        }
        Ok(answer)
    }
}

#[async_trait]
impl<E: TokenEngine + 'static> ChatEngine for TextEngine<E> {
    async fn prepare(&self, request: Arc<ChatRequest>) -> Result<Box<dyn PreparedChat>, EngineError> {
        if let Some(demand) = request.demands.iter().find(|demand| !self.supports(**demand)) {
            return Err(EngineError::Unsupported(*demand));
        }
        let prompt = self.prompt(&request).await?;
        let max_tokens = request.max_tokens.min(self.core.room(&prompt)?);
        Ok(Box::new(PreparedText {
            core: Arc::clone(&self.core),
            prompt,
            request,
            max_tokens,
        }))
    }
}

#[async_trait]
impl<E: TokenEngine> PreparedChat for PreparedText<E> {
    fn prompt_tokens(&self) -> TokenCount {
        TokenCount::of(&self.prompt.tokens)
    }

    fn completion_limit(&self) -> TokenCount {
        let choices = self.request.choices.max(1);
        TokenCount(self.max_tokens.get().saturating_mul(choices))
    }

    fn prompt_source(&self) -> UsageSource {
        UsageSource::Engine
    }

    async fn start(self: Box<Self>) -> Result<ChatStream, EngineError> {
        Ok(Box::pin(self.submit()?))
    }
}

impl<E> fmt::Debug for TextEngine<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TextEngine")
            .field("name", &self.core.name)
            .finish_non_exhaustive()
    }
}

/// Choices with the same seed would all be the same answer.
fn sampling(sampling: &Sampling, choice: u32) -> Sampling {
    let seed = sampling.seed.map(|seed| seed.wrapping_add(u64::from(choice)));
    Sampling {
        seed,
        ..sampling.clone()
    }
}

#[cfg(test)]
mod tests;
