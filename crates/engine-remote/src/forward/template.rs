//! The frames of a stream, which are nearly all the same but for one text.
//!
//! Whoever has read one frame knows all that matters of the next when every byte around the text is
//! the same: a comparison and a look at the text take the place of parsing and of rewriting.

use std::ops::Range;

use bytes::{BufMut as _, BytesMut};
use silica_engine::Usage;

use super::frame::{Frame, Identity, Places, Written, write_usage};
use super::measure::Measure;

/// The largest frame that a template is made of, in bytes: each stream keeps its own, and usual frames
/// have a few hundred.
const LARGEST_FRAME: usize = 2 * 1024;

/// What is the same in frames that differ in one text, as they come and as they go.
#[derive(Debug)]
pub(super) struct Template {
    /// What comes before the text, its quotation mark included.
    before: Vec<u8>,
    /// What comes after it, from its quotation mark on.
    after: Vec<u8>,
    /// What is written before the text, up to the usage and behind the usage.
    written: [Vec<u8>; 3],
    /// Of the choice, within the number that was asked for.
    pub(super) choice: usize,
    is_reasoning: bool,
}

impl Template {
    /// That of frames like this one, which was read from `text`; `None` when it says more than one
    /// plain text, its usage does not stand behind it, or it is large.
    pub(super) fn of(frame: &Frame<'_>, text: &[u8], places: &Places, identity: &Identity) -> Option<Self> {
        let mut choices = frame.choices.iter();
        let (Some(choice), None) = (choices.next(), choices.next()) else {
            return None;
        };
        let plain = choice.plain_text()?;
        // Line feeds outside of texts are written as blanks.
        if text.len() > LARGEST_FRAME || memchr::memchr(b'\n', text).is_some() {
            return None;
        }
        let start = plain.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
        let at = start..start + plain.len();
        Some(Self {
            before: text.get(..at.start)?.to_vec(),
            after: text.get(at.end..)?.to_vec(),
            written: written(places, text, &at, identity)?,
            choice: usize::try_from(choice.index).ok()?,
            is_reasoning: choice.is_reasoning(),
        })
    }

    /// The text of a frame that is the same in everything else; `None` when it is not, or when its
    /// text has escapes.
    pub(super) fn text<'a>(&self, frame: &'a [u8]) -> Option<&'a str> {
        let text = frame
            .strip_prefix(self.before.as_slice())?
            .strip_suffix(self.after.as_slice())?;
        let is_plain = |byte: &u8| *byte >= b' ' && *byte != b'"' && *byte != b'\\';
        text.iter()
            .all(is_plain)
            .then(|| std::str::from_utf8(text).ok())
            .flatten()
    }

    /// All text of such a frame, and the reasoning in it.
    pub(super) fn measure(&self, text: &str) -> (Measure, Measure) {
        let all = Measure::of(text);
        let reasoning = if self.is_reasoning { all } else { Measure::NOTHING };
        (all, reasoning)
    }

    /// Appends the event of such a frame.
    pub(super) fn write(&self, text: &str, usage: Usage, out: &mut BytesMut) {
        let [before, after, end] = &self.written;
        out.reserve(before.len() + text.len() + after.len() + end.len() + 256);
        out.put_slice(before);
        out.put_slice(text.as_bytes());
        out.put_slice(after);
        write_usage(usage, out);
        out.put_slice(end);
    }
}

/// The event of a frame without the text at `at` and without its usage.
fn written(places: &Places, text: &[u8], at: &Range<usize>, identity: &Identity) -> Option<[Vec<u8>; 3]> {
    let mut parts = [b"data: ".to_vec(), Vec::new(), Vec::new()];
    let mut part = 0;
    for piece in places.pieces(text) {
        match piece {
            Written::Kept(range) if range.contains(&at.start) && part == 0 => {
                parts[0].extend_from_slice(text.get(range.start..at.start)?);
                parts[1].extend_from_slice(text.get(at.end..range.end)?);
                part = 1;
            }
            Written::Kept(range) => parts[part].extend_from_slice(text.get(range)?),
            Written::Usage if part == 1 => part = 2,
            Written::Usage => return None,
            Written::Word(word) => parts[part].extend_from_slice(word.as_bytes()),
            Written::Id => parts[part].extend_from_slice(&identity.id),
            Written::Model => parts[part].extend_from_slice(&identity.model),
        }
    }
    parts[part].extend_from_slice(b"\n\n");
    (part == 2).then_some(parts)
}
