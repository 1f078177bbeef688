//! The port to whatever judges texts.

use std::any::Any;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

/// Judges texts: a list of words, or a service elsewhere.
#[async_trait]
pub trait Moderator: Send + Sync {
    /// Whether any of these texts is refused. Dropping the future ends the question.
    ///
    /// # Errors
    /// When there is no judgement: [`ModerationError::Invalid`] when the texts are why, so that nobody makes texts
    /// pass by writing them so. A refusal of any text goes before a failure.
    async fn refuses(&self, texts: Vec<String>) -> Result<bool, ModerationError>;

    /// The most characters that belong together: parts of a text that are judged alone share at least as
    /// many.
    fn reach(&self) -> usize {
        0
    }

    /// Answers a client that asks for judgements. Dropping the future ends the question.
    ///
    /// # Errors
    /// When there are none, or the request is not one that can be judged.
    async fn judge(&self, request: ModerationRequest) -> Result<Judgements, ModerationError>;
}

/// What a client wants judged.
#[derive(Clone)]
pub struct ModerationRequest {
    /// The model that the client names.
    pub model: Option<String>,
    /// The member `input` as it was written: JSON.
    pub input: Bytes,
    /// What is to be judged, in the order of the judgements; at least one.
    pub texts: Vec<String>,
    /// Whether there are images beside the texts.
    pub has_images: bool,
    /// Held as long as anything is done for the request, also when nobody waits for it any more.
    pub place: Option<Arc<dyn Any + Send + Sync>>,
}

/// What a request's texts were judged to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgements {
    /// Who judged.
    pub model: String,
    /// One for each text of the request.
    pub results: Vec<Judgement>,
}

/// What one text was judged to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judgement {
    /// Whether it is any of the categories.
    pub flagged: bool,
    /// Whether it is of each category.
    pub categories: BTreeMap<String, bool>,
    /// How surely, 0 to 1.
    pub scores: BTreeMap<String, f64>,
    /// Which kinds of input (`text`, `image`) each category was looked for in, where that is told.
    pub applied: BTreeMap<String, Vec<String>>,
}

/// Why there is no judgement.
#[derive(Debug, thiserror::Error)]
pub enum ModerationError {
    /// What was asked is not valid; the text is fit for the client.
    #[error("{0}")]
    Invalid(String),
    /// Whoever judges failed, is away or busy.
    #[error("the moderation did not answer")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

impl ModerationError {
    /// Wraps a failure of whoever judges.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }
}
