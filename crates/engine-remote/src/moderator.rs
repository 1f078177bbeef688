//! A moderation service elsewhere, in the form of OpenAI's `/moderations`.

mod wire;

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt as _};
use silica_engine::{EngineError, Judgements, ModerationError, ModerationRequest, Moderator, WireRoute};
use silica_types::Secret;
use tokio::time::{Instant, timeout_at};

use self::wire::{Answer, Counted};
use crate::client::{Client, Expected};
use crate::engine::json_text;
use crate::whole::read_whole;
use crate::{Authorities, OptionsError, RemoteError, RemoteOptions};

/// The most texts of one question.
const MOST_TEXTS: usize = 16;
/// The most questions about one text at the same time: a long one is asked about in parts.
const MOST_QUESTIONS: usize = 4;
/// The most bytes of an answer, and the most for each text.
const LONGEST_ANSWER: usize = 64 * 1024;
const LONGEST_RESULT: usize = 64 * 1024;

/// Where a moderation service is and what counts of what it says.
#[derive(Debug, Clone)]
pub struct ModeratorOptions {
    /// The address below which `/moderations` stands, such as `https://api.openai.com/v1`.
    pub base_url: String,
    /// Sent as bearer token, if given.
    pub api_key: Option<Secret>,
    /// The model to judge with; `None` leaves it to the service, or to the client that asks.
    pub model: Option<String>,
    /// Whether the service may be at an address that is not public.
    pub allow_private: bool,
    /// The longest wait for a judgement, however many questions it takes. Not zero.
    pub limit: Duration,
    /// The categories that count; none at all means that the service's own word does.
    pub categories: Vec<String>,
    /// The score from which on a category counts, 0 to 1; `None` leaves that to the service.
    pub threshold: Option<f64>,
    /// Who may vouch for the service beside the system's authorities.
    pub authorities: Option<Authorities>,
}

/// A moderation service. Judges whatever it is asked, a few texts at a time.
#[derive(Debug)]
pub struct RemoteModerator {
    client: Client,
    model: Option<String>,
    limit: Duration,
    counted: Counted,
}

impl RemoteModerator {
    /// Makes one. Nothing is connected to before the first question.
    ///
    /// # Errors
    /// When the options are no service's.
    pub fn new(options: ModeratorOptions) -> Result<Self, OptionsError> {
        if options.limit.is_zero() {
            return Err(OptionsError::Limit("answer"));
        }
        let remote = RemoteOptions {
            api_key: options.api_key,
            allow_private: options.allow_private,
            connect_limit: options.limit,
            // A judgement's own limit ends first, so that it is known what was answered until then.
            whole_limit: options.limit.saturating_mul(2),
            health_path: Some(String::new()),
            authorities: options.authorities,
            ..RemoteOptions::new(options.base_url, "moderation")
        };
        Ok(Self {
            client: Client::new(&remote)?,
            model: options.model,
            limit: options.limit,
            counted: Counted {
                categories: options.categories,
                threshold: options.threshold,
            },
        })
    }

    /// Asks about so many inputs.
    async fn ask(&self, input: &[u8], model: Option<&str>, inputs: usize) -> Result<Answer, ModerationError> {
        let mut body = BytesMut::with_capacity(input.len() + 64);
        body.extend_from_slice(b"{\"input\":");
        body.extend_from_slice(input);
        if let Some(model) = model {
            body.extend_from_slice(b",\"model\":");
            body.extend_from_slice(&json_text(model));
        }
        body.extend_from_slice(b"}");
        let (answer, by) = self
            .client
            .send(WireRoute::Moderations, body.freeze().into(), Expected::Json)
            .await
            .map_err(|error| match error {
                EngineError::InvalidRequest(text) => ModerationError::Invalid(text),
                other => ModerationError::unavailable(other),
            })?;
        let longest = LONGEST_ANSWER + inputs * LONGEST_RESULT;
        let text: Bytes = read_whole(answer, by, self.limit, longest)
            .await
            .map_err(ModerationError::unavailable)?;
        Answer::read(&text, inputs).map_err(ModerationError::unavailable)
    }

    /// Whether any of the texts is refused; they are few enough for one question.
    async fn refuses_any(&self, texts: Vec<String>) -> Result<bool, ModerationError> {
        let input = serde_json::to_vec(&texts).map_err(ModerationError::unavailable)?;
        let asked = self.ask(&input, self.model.as_deref(), texts.len()).await;
        let answer = asked.map_err(|error| match error {
            // The service's words may be the client's: they are not for the log.
            ModerationError::Invalid(_) => {
                ModerationError::Invalid("the service refuses the question".to_owned())
            }
            ModerationError::Unavailable(_) => error,
        })?;
        let refused = answer.refuses(&self.counted);
        refused.map_err(ModerationError::unavailable)
    }

    /// Asks about all texts, whatever becomes of the first questions: a refusal goes before a failure.
    async fn refuses_by(&self, texts: &[String], by: Instant) -> Result<bool, ModerationError> {
        let questions: Vec<Vec<String>> = texts.chunks(MOST_TEXTS).map(<[String]>::to_vec).collect();
        let mut answers = stream::iter(questions)
            .map(|texts| self.refuses_any(texts))
            .buffer_unordered(MOST_QUESTIONS);
        let (mut is_answered, mut failure) = (false, None);
        loop {
            match timeout_at(by, answers.next()).await {
                Ok(Some(Ok(true))) => return Ok(true),
                Ok(Some(Ok(false))) => is_answered = true,
                Ok(Some(Err(error))) => failure = Some(graver(failure, error)),
                Ok(None) => return failure.map_or(Ok(false), Err),
                Err(_) => return Err(graver(failure, self.late(is_answered))),
            }
        }
    }

    /// A service that answers some questions is not away: the texts are too many for it.
    fn late(&self, is_answered: bool) -> ModerationError {
        if is_answered {
            ModerationError::Invalid("the texts take too long to judge".to_owned())
        } else {
            ModerationError::unavailable(RemoteError::Silent(self.limit))
        }
    }
}

/// Of two failures the one that is due to the texts.
fn graver(before: Option<ModerationError>, error: ModerationError) -> ModerationError {
    match before {
        Some(before @ ModerationError::Invalid(_)) => before,
        _ => error,
    }
}

#[async_trait]
impl Moderator for RemoteModerator {
    async fn refuses(&self, texts: Vec<String>) -> Result<bool, ModerationError> {
        self.refuses_by(&texts, Instant::now() + self.limit).await
    }

    async fn judge(&self, request: ModerationRequest) -> Result<Judgements, ModerationError> {
        let model = self.model.as_ref().or(request.model.as_ref());
        let asked = self.ask(&request.input, model.map(String::as_str), request.texts.len());
        let answer = timeout_at(Instant::now() + self.limit, asked).await;
        let answer = answer.unwrap_or_else(|_| Err(self.late(false)))?;
        Ok(answer.into_judgements())
    }
}
