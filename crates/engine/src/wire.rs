//! A request as its client wrote it, for engines that speak the same dialect.
//!
//! Reading a body and writing it anew loses what the reader does not know and costs time. An engine
//! that speaks OpenAI's dialect may therefore forward what came, and hand back what it was answered.

mod images;
mod texts;

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use silica_types::{MediaParts, ModelName};

pub use self::images::WireImage;
pub use self::texts::UnreadableBody;

/// The body of a request in OpenAI's dialect. It says the same as the request that carries it; an
/// engine that does not speak the dialect passes it over.
#[derive(Clone)]
pub struct WireRequest {
    /// A JSON object in UTF-8, checked by whoever made the request of it.
    pub body: Bytes,
    /// Names of members of the body and where their values stand in it: every one that an engine may
    /// be told in other words, each once.
    pub members: Vec<(&'static str, Range<usize>)>,
    /// What was asked.
    pub route: WireRoute,
    /// The `id` that the answer carries.
    pub id: String,
    /// The `model` that the answer names: the caller's name for it, not the engine's.
    pub model: ModelName,
    /// What its messages have beside texts, which the request that carries it does not say.
    pub media: MediaParts,
    /// Whether the answer is a stream of events, or one JSON object.
    pub streams: bool,
    /// Whether somebody here has to read the answer, whatever the client gets: it comes as events then,
    /// not as the engine wrote it.
    pub is_read: bool,
}

impl WireRequest {
    /// Where the value of a member stands in the body; `None` when it is not there.
    pub fn member(&self, name: &str) -> Option<Range<usize>> {
        let mut members = self.members.iter();
        members
            .find(|(known, _)| *known == name)
            .map(|(_, span)| span.clone())
    }

    /// Every text of the body and the names of its members, whoever knows what they are for, a line each; not
    /// the words of the dialect itself, nor the media of messages.
    ///
    /// # Errors
    /// When the body is nested more than about a hundred times, or is no JSON.
    pub fn texts(&self) -> Result<String, UnreadableBody> {
        texts::all(&self.body)
    }

    /// Shows the images of the body's messages, in their order, as far as they can be read.
    pub fn each_image(&self, show: impl FnMut(&WireImage<'_>)) {
        images::each(&self.body, show);
    }
}

/// The routes of OpenAI's dialect that are forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WireRoute {
    /// `/chat/completions`.
    ChatCompletions,
    /// `/completions`.
    Completions,
    /// `/embeddings`.
    Embeddings,
    /// `/rerank`, which is not OpenAI's, but everybody's.
    Rerank,
    /// `/moderations`.
    Moderations,
}

impl WireRoute {
    /// The path below an engine's base address.
    pub const fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/chat/completions",
            Self::Completions => "/completions",
            Self::Embeddings => "/embeddings",
            Self::Rerank => "/rerank",
            Self::Moderations => "/moderations",
        }
    }
}

/// Does not show the body: it is a prompt.
impl fmt::Debug for WireRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WireRequest")
            .field("bytes", &self.body.len())
            .field("route", &self.route)
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}
