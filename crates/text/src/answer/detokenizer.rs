//! Token ids to text, one token at a time.

use std::sync::Arc;

use silica_engine::TextLogprob;

use super::fragment::Fragment;
use super::markers::{Marker, Piece, push_text};
use crate::vocabulary::{LeadingSpace, Vocabulary};

/// Turns token ids into text and never emits half a character: bytes that are not yet a whole
/// character wait for the next token. Constant time per token.
///
/// Bytes that can be no UTF-8 become U+FFFD, one for each maximal invalid part. Tokens that are
/// flagged as special have no text, unless they are marks.
#[derive(Debug)]
pub(crate) struct Detokenizer {
    vocabulary: Arc<Vocabulary>,
    /// Marks that are single tokens.
    markers: Vec<(u32, Marker)>,
    /// What is still to be removed at the beginning of the text.
    leading: LeadingSpace,
    /// Bytes of an unfinished character.
    pending: Vec<u8>,
    /// Tokens that begin in `pending`, with their offsets there.
    pending_logprobs: Vec<(usize, TextLogprob)>,
}

impl Detokenizer {
    /// With `continues`, the text goes on after other text, so its first space is kept.
    pub(crate) fn new(vocabulary: Arc<Vocabulary>, markers: Vec<(u32, Marker)>, continues: bool) -> Self {
        let leading = if continues {
            LeadingSpace::Keep
        } else {
            vocabulary.leading_space()
        };
        Self {
            vocabulary,
            markers,
            leading,
            pending: Vec::new(),
            pending_logprobs: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, id: u32, logprob: Option<TextLogprob>, output: &mut Vec<Piece>) {
        if let Some((_, marker)) = self.markers.iter().find(|(marker_id, _)| *marker_id == id) {
            let marker = *marker;
            self.leading = LeadingSpace::Keep;
            self.flush(output);
            let logprobs = logprob.map(|entry| (0, entry)).into_iter().collect();
            output.push(Piece::Marker(
                marker,
                Fragment::new(marker.text().to_owned(), logprobs),
            ));
            return;
        }
        if self.vocabulary.is_special(id) {
            return;
        }
        let start = self.pending.len();
        self.pending.extend_from_slice(self.vocabulary.bytes(id));
        self.trim_leading();
        if self.pending.len() > start {
            self.pending_logprobs.extend(logprob.map(|entry| (start, entry)));
            push_text(self.take_whole(), output);
        }
    }

    /// Gives up on an unfinished character.
    pub(crate) fn flush(&mut self, output: &mut Vec<Piece>) {
        let unfinished = std::mem::take(&mut self.pending);
        let logprobs = self
            .pending_logprobs
            .drain(..)
            .map(|(_, entry)| (0, entry))
            .collect();
        push_text(
            Fragment::new(String::from_utf8_lossy(&unfinished).into_owned(), logprobs),
            output,
        );
    }

    /// Removes the space that the tokenizer's decoder removes at the beginning of a text.
    fn trim_leading(&mut self) {
        match &mut self.leading {
            LeadingSpace::Keep => return,
            LeadingSpace::FirstToken => self.pending.retain(|byte| *byte != b' '),
            LeadingSpace::AtMost(most) => {
                let spaces = self
                    .pending
                    .iter()
                    .take_while(|byte| **byte == b' ')
                    .count()
                    .min(*most);
                self.pending.drain(..spaces);
                *most -= spaces;
                if self.pending.is_empty() {
                    return;
                }
            }
        }
        self.leading = LeadingSpace::Keep;
    }

    /// Takes all characters that are complete or can never be.
    fn take_whole(&mut self) -> Fragment {
        let mut text = String::new();
        let mut logprobs = Vec::new();
        let mut read = 0;
        for chunk in self.pending.utf8_chunks() {
            let (valid, invalid) = (chunk.valid(), chunk.invalid());
            let base = text.len();
            text.push_str(valid);
            let inside = |offset: usize| base + valid.floor_char_boundary(offset);
            move_logprobs(
                &mut self.pending_logprobs,
                read,
                read + valid.len(),
                inside,
                &mut logprobs,
            );
            read += valid.len();
            // Only at the very end can more bytes still complete it.
            if read + invalid.len() == self.pending.len() && is_unfinished(invalid) {
                break;
            }
            let replacement = text.len();
            if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
            move_logprobs(
                &mut self.pending_logprobs,
                read,
                read + invalid.len(),
                |_| replacement,
                &mut logprobs,
            );
            read += invalid.len();
        }
        self.pending.drain(..read);
        for (offset, _) in &mut self.pending_logprobs {
            *offset -= read;
        }
        Fragment::new(text, logprobs)
    }
}

/// Moves the tokens that begin in `from..to`; `place` maps an offset relative to `from`.
fn move_logprobs(
    pending: &mut Vec<(usize, TextLogprob)>,
    from: usize,
    to: usize,
    place: impl Fn(usize) -> usize,
    moved: &mut Vec<(usize, TextLogprob)>,
) {
    let count = pending.partition_point(|(offset, _)| *offset < to);
    moved.extend(
        pending
            .drain(..count)
            .map(|(offset, entry)| (place(offset - from), entry)),
    );
}

/// Whether the bytes are the beginning of a character that more bytes could complete.
fn is_unfinished(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests;
