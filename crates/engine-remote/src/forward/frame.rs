//! What is read of an answer's JSON, a frame of a stream or a whole one, and what is written into it.

use std::iter;
use std::ops::Range;

use bytes::{BufMut as _, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;
use silica_engine::Usage;
use silica_protocol::openai::chat as protocol;

use super::choice::{Choice, Choices};
use super::edit::{present, span};
use crate::RemoteError;
use crate::wire::{Fault, Scalar, UsageReport, reported_fault};

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
    code: Option<Scalar>,
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

    /// What the text becomes, piece by piece.
    pub(super) fn pieces(&self, text: &[u8]) -> impl Iterator<Item = Written> {
        debug_assert!(self.end <= text.len(), "the places are of this text");
        let kept = iter::once(0).chain(self.changed.iter().map(|(at, _)| at.end));
        let changed = kept
            .zip(&self.changed)
            .flat_map(|(from, (at, part))| [Written::Kept(from..at.start), part.written()]);
        let rest = self.changed.last().map_or(0, |(at, _)| at.end)..self.end;
        let added = self.added.iter().flatten();
        let added = added.flat_map(|part| [Written::Word(part.member()), part.written()]);
        changed
            .chain(iter::once(Written::Kept(rest)))
            .chain(added)
            .chain(iter::once(Written::Word("}")))
    }

    /// Appends the text with its changes.
    pub(super) fn write(&self, text: &[u8], identity: &Identity, usage: Usage, out: &mut BytesMut) {
        out.reserve(text.len() + ROOM);
        for piece in self.pieces(text) {
            match piece {
                Written::Kept(range) => out.put_slice(text.get(range).unwrap_or_default()),
                Written::Id => out.put_slice(&identity.id),
                Written::Model => out.put_slice(&identity.model),
                Written::Usage => write_usage(usage, out),
                Written::Word(word) => out.put_slice(word.as_bytes()),
            }
        }
    }
}

/// A piece of a text that is written anew.
#[derive(Debug)]
pub(super) enum Written {
    /// What stands there.
    Kept(Range<usize>),
    Id,
    Model,
    Usage,
    Word(&'static str),
}

/// What is usually added to a frame, in bytes.
const ROOM: usize = 384;

impl Part {
    /// What comes before the value of a member that is added.
    const fn member(self) -> &'static str {
        match self {
            Self::Id => ",\"id\":",
            Self::Model => ",\"model\":",
            Self::Usage => ",\"usage\":",
            Self::Name(name) => name,
        }
    }

    const fn written(self) -> Written {
        match self {
            Self::Id => Written::Id,
            Self::Model => Written::Model,
            Self::Usage => Written::Usage,
            Self::Name(name) => Written::Word(name),
        }
    }
}

/// Appends [`protocol::Usage`], of which every frame has one: by hand at a tenth of the cost.
pub(super) fn write_usage(usage: Usage, out: &mut BytesMut) {
    let usage = protocol::Usage::new(
        usage.prompt.get(),
        usage.cached.get(),
        usage.completion.get(),
        usage.reasoning.get(),
    );
    let members = [
        ("{\"prompt_tokens\":", usage.prompt_tokens),
        (",\"completion_tokens\":", usage.completion_tokens),
        (",\"total_tokens\":", usage.total_tokens),
        (
            ",\"completion_tokens_details\":{\"reasoning_tokens\":",
            usage.completion_tokens_details.reasoning_tokens,
        ),
        (
            "},\"prompt_tokens_details\":{\"cached_tokens\":",
            usage.prompt_tokens_details.cached_tokens,
        ),
        ("},\"prompt_cache_hit_tokens\":", usage.prompt_cache_hit_tokens),
        (",\"prompt_cache_miss_tokens\":", usage.prompt_cache_miss_tokens),
    ];
    let mut digits = itoa::Buffer::new();
    for (name, count) in members {
        out.put_slice(name.as_bytes());
        out.put_slice(digits.format(count).as_bytes());
    }
    out.put_u8(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_is_written_as_the_protocol_has_it() {
        let counts = silica_types::TokenCount;
        let usage = Usage {
            prompt: counts(1234),
            cached: counts(56),
            completion: counts(789),
            reasoning: counts(10),
            ..Usage::default()
        };
        let mut out = BytesMut::new();
        write_usage(usage, &mut out);
        let expected = serde_json::to_vec(&protocol::Usage::new(1234, 56, 789, 10)).unwrap();
        assert_eq!(out, expected);
    }
}
