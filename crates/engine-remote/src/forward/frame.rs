//! What is read of an answer's JSON, a frame of a stream or a whole one, and what is written into it.

use std::ops::Range;

use bytes::{BufMut as _, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;
use silica_engine::Usage;
use silica_protocol::openai::chat as protocol;

use super::choice::{Choice, Choices};
use super::edit::{present, span};
use crate::RemoteError;
use crate::wire::{Fault, UsageReport, reported_fault};

/// Who the answer says it is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// `id`, as JSON.
    pub(crate) id: Vec<u8>,
    /// `model`, as JSON.
    pub(crate) model: Vec<u8>,
}

/// The members that matter.
#[derive(Deserialize)]
pub(super) struct Frame<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    model: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) choices: Choices<'a>,
    error: Option<Fault>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    code: Option<serde_json::Value>,
}

/// Where a frame's text is written anew, and with what. One serves all frames of a stream in turn.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// In the order of the text.
    changed: Vec<(Range<usize>, Part)>,
    /// Members that are absent, in the order in which they are added.
    added: [Option<Part>; 3],
    /// The brace that ends the object.
    end: usize,
}

/// What is written.
#[derive(Debug, Clone, Copy)]
enum Part {
    Id,
    Model,
    Usage,
    Name(&'static str),
}

impl<'a> Frame<'a> {
    /// Reads the text of a frame or an answer.
    ///
    /// # Errors
    /// When it is no JSON object, has members of wrong types, or reports a failure.
    pub(super) fn read(text: &'a [u8]) -> Result<Self, RemoteError> {
        // The reader would take a list of the members' values as well.
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err(RemoteError::frame("no object"));
        }
        let frame: Self = serde_json::from_slice(text).map_err(|error| RemoteError::json(&error))?;
        let says_error = frame.object.is_some_and(|object| object.get() == r#""error""#);
        match reported_fault(frame.error.as_ref(), says_error, frame.code.as_ref()) {
            Some(fault) => Err(fault),
            None => Ok(frame),
        }
    }

    /// What the engine reports as consumed.
    ///
    /// # Errors
    /// When it is no report.
    pub(super) fn usage(&self) -> Result<Option<UsageReport>, RemoteError> {
        let Some(raw) = self.usage else { return Ok(None) };
        serde_json::from_str(raw.get()).map_err(|error| RemoteError::json(&error))
    }
}

impl Places {
    /// Those of one frame, its usage among them.
    pub(super) fn of(frame: &Frame<'_>, text: &[u8]) -> Self {
        let mut places = Self::default();
        places.find(frame, text, false);
        places
    }

    /// Notes where `frame`, which was read from `text`, is to be changed: `id` and `model`, names of
    /// reasoning, and `usage` unless the engine's own may stay.
    pub(super) fn find(&mut self, frame: &Frame<'_>, text: &[u8], keeps_usage: bool) {
        self.changed.clear();
        self.added = [None; 3];
        // A text that was read as an object ends with a brace.
        self.end = text.trim_ascii_end().len().saturating_sub(1);
        let members = [
            (frame.id, Part::Id),
            (frame.model, Part::Model),
            (frame.usage, Part::Usage),
        ];
        for ((old, part), added) in members.into_iter().zip(&mut self.added) {
            match old {
                Some(_) if keeps_usage && matches!(part, Part::Usage) => {}
                Some(old) => self.changed.push((span(text, old), part)),
                None => *added = Some(part),
            }
        }
        for (name, word) in frame.choices.iter().flat_map(Choice::renamed) {
            let start = name.as_ptr().addr() - text.as_ptr().addr();
            self.changed.push((start..start + name.len(), Part::Name(word)));
        }
        self.changed.sort_unstable_by_key(|(at, _)| at.start);
    }

    /// Appends the text with its changes.
    pub(super) fn write(&self, text: &[u8], identity: &Identity, usage: Usage, out: &mut BytesMut) {
        out.reserve(text.len() + ROOM);
        let mut kept = 0;
        for (at, part) in &self.changed {
            out.put_slice(text.get(kept..at.start).unwrap_or_default());
            part.write(identity, usage, out);
            kept = at.end;
        }
        out.put_slice(text.get(kept..self.end).unwrap_or_default());
        for part in self.added.iter().flatten() {
            out.put_slice(b",\"");
            out.put_slice(part.name().as_bytes());
            out.put_slice(b"\":");
            part.write(identity, usage, out);
        }
        out.put_u8(b'}');
    }
}

/// What is usually added to a frame, in bytes.
const ROOM: usize = 384;

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Model => "model",
            Self::Usage => "usage",
            Self::Name(name) => name,
        }
    }

    fn write(self, identity: &Identity, usage: Usage, out: &mut BytesMut) {
        match self {
            Self::Id => out.put_slice(&identity.id),
            Self::Model => out.put_slice(&identity.model),
            Self::Name(name) => out.put_slice(name.as_bytes()),
            Self::Usage => {
                let usage = protocol::Usage::new(
                    usage.prompt.get(),
                    usage.cached.get(),
                    usage.completion.get(),
                    usage.reasoning.get(),
                );
                if let Err(error) = serde_json::to_writer(out.writer(), &usage) {
                    // Numbers can be written, and memory does not fail.
                    tracing::error!(%error, "a usage cannot be written");
                }
            }
        }
    }
}
