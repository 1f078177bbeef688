//! An answer in one piece that passes through.

use bytes::{Bytes, BytesMut};
use silica_engine::{FinishReason, Usage};
use silica_types::TokenCount;

use super::frame::{Frame, Identity, Places};
use crate::RemoteError;
use crate::tally::Tally;

/// A whole answer, fit for the client.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) bytes: Bytes,
    pub(crate) usage: Usage,
    pub(crate) has_text: bool,
    /// Why the last choice ended; `None` for answers without choices.
    pub(crate) end: Option<FinishReason>,
}

impl Answered {
    /// Reads an answer of this many choices (none: embeddings) to a prompt of about this many tokens.
    ///
    /// # Errors
    /// When it is not that, or reports a failure.
    pub(crate) fn read(
        text: &[u8],
        identity: &Identity,
        choices: u32,
        prompt: TokenCount,
    ) -> Result<Self, RemoteError> {
        let frame = Frame::read(text)?;
        let given = &frame.choices;
        if given.len() != usize::try_from(choices).unwrap_or(usize::MAX) {
            return Err(RemoteError::frame("another number of choices than was asked for"));
        }
        let mut tally = Tally::new(prompt);
        let (mut has_text, mut end) = (false, None);
        for choice in given.iter() {
            let (text, thought) = choice.measure();
            tally.forward(text.weight, thought.weight);
            has_text |= text.bytes > 0;
            end = choice.end()?;
            if end.is_none() {
                return Err(RemoteError::frame("a choice without its end"));
            }
        }
        if let Some(report) = frame.usage()? {
            let mut report = report.report();
            if choices == 0 {
                // Nothing is generated, and few say so.
                report.completion = Some(TokenCount::ZERO);
            }
            tally.report(report);
        }
        let usage = tally.usage();
        let mut bytes = BytesMut::new();
        Places::of(&frame, text).write(text, identity, usage, &mut bytes);
        Ok(Self {
            bytes: bytes.freeze(),
            usage,
            has_text,
            end,
        })
    }
}
