//! A moderation service elsewhere, in the form of OpenAI's `/moderations`.

mod wire;

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use silica_engine::{EngineError, Judgements, ModerationError, ModerationRequest, Moderator, WireRoute};
use silica_types::Secret;

use self::wire::Answer;
use crate::client::{Client, Expected};
use crate::engine::json_text;
use crate::whole::read_whole;
use crate::{Authorities, OptionsError, RemoteOptions};

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
    /// The longest wait for an answer. Not zero.
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
    categories: Vec<String>,
    threshold: Option<f64>,
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
            whole_limit: options.limit,
            health_path: Some(String::new()),
            authorities: options.authorities,
            ..RemoteOptions::new(options.base_url, "moderation")
        };
        Ok(Self {
            client: Client::new(&remote)?,
            model: options.model,
            limit: options.limit,
            categories: options.categories,
            threshold: options.threshold,
        })
    }

    /// Asks about so many inputs.
    async fn ask(
        &self,
        input: &[u8],
        model: Option<&str>,
        inputs: usize,
    ) -> Result<Judgements, ModerationError> {
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
        let judged = asked.map_err(|error| match error {
            // These were not the client's words, so it is nobody's fault but the service's.
            ModerationError::Invalid(_) => ModerationError::unavailable("the service refuses the question"),
            ModerationError::Unavailable(_) => error,
        })?;
        Ok(judged.results.iter().any(|result| self.counts(result)))
    }

    fn counts(&self, result: &silica_engine::Judgement) -> bool {
        let is_meant = |name: &String| self.categories.is_empty() || self.categories.contains(name);
        match self.threshold {
            Some(least) => result
                .scores
                .iter()
                .any(|(name, score)| is_meant(name) && *score >= least),
            None if self.categories.is_empty() => result.flagged,
            None => result
                .categories
                .iter()
                .any(|(name, is_so)| *is_so && is_meant(name)),
        }
    }
}

#[async_trait]
impl Moderator for RemoteModerator {
    async fn refuses(&self, texts: Vec<String>) -> Result<bool, ModerationError> {
        let questions: Vec<Vec<String>> = texts.chunks(MOST_TEXTS).map(<[String]>::to_vec).collect();
        let mut answers = stream::iter(questions)
            .map(|texts| self.refuses_any(texts))
            .buffer_unordered(MOST_QUESTIONS);
        while let Some(refused) = answers.try_next().await? {
            if refused {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn judge(&self, request: ModerationRequest) -> Result<Judgements, ModerationError> {
        let model = self.model.as_ref().or(request.model.as_ref());
        self.ask(&request.input, model.map(String::as_str), request.texts.len())
            .await
    }
}
