//! One text of an answer, while it is written and judged.

use crate::border::{back, border};

/// What a text is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Answer,
    Reasoning,
    /// The call with this position.
    Call(u32),
}

/// A text, of which so much is kept as has to be judged, and what it is judged with.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) kind: Kind,
    /// From `start` on.
    kept: String,
    /// The bytes before `kept`, which have gone.
    start: usize,
    /// The bytes that were judged.
    judged: usize,
    /// The characters after them.
    unjudged: usize,
    /// Whether the model writes at it, so that its last characters may be the begin of something.
    is_growing: bool,
}

impl Text {
    pub(super) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            kept: String::new(),
            start: 0,
            judged: 0,
            unjudged: 0,
            is_growing: true,
        }
    }

    /// Appends to it; returns where it ends.
    pub(super) fn add(&mut self, more: &str, parted: bool) -> usize {
        self.is_growing = true;
        self.kept.push_str(more);
        self.unjudged += more.chars().count();
        let end = self.end();
        if parted {
            self.kept.push('\n');
            self.unjudged += 1;
        }
        end
    }

    /// Takes note that the model writes something else.
    pub(super) const fn rest(&mut self) {
        self.is_growing = false;
    }

    pub(super) const fn unjudged_characters(&self) -> usize {
        self.unjudged
    }

    /// What has to be judged, and where that ends; nothing when all was.
    pub(super) fn to_judge(&self) -> Option<(&str, usize)> {
        if self.unjudged == 0 {
            return None;
        }
        let length = if self.is_growing {
            // The last character may be joined by the next one.
            border(&self.kept, self.kept.len())
        } else {
            self.kept.len()
        };
        let at = self.start + length;
        (at > self.judged).then(|| (self.kept.get(..length).unwrap_or_default(), at))
    }

    /// Takes note that the text up to this place has passed; of it so many characters stay.
    pub(super) fn passed(&mut self, at: usize, overlap: usize) {
        self.judged = at;
        let length = at - self.start;
        self.unjudged = self.kept.get(length..).map_or(0, |rest| rest.chars().count());
        let gone = border(&self.kept, back(&self.kept, length, overlap)).min(length);
        self.kept.drain(..gone);
        self.start += gone;
    }

    /// Up to where events may go on. What a growing text is judged with once more stays.
    pub(super) const fn may_go(&self) -> usize {
        if self.is_growing { self.start } else { self.judged }
    }

    const fn end(&self) -> usize {
        self.start + self.kept.len()
    }
}
