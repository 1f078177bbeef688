//! A request in pieces, so that a large body is not copied to change a name in it.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf as _, Bytes};
use silica_engine::{Spent, Usage};

/// Bytes that follow each other, on their way to an engine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pieces {
    /// None of them is empty.
    waiting: VecDeque<Bytes>,
    /// Told when the last piece is taken.
    spent: Option<Box<(Spent, Usage)>>,
}

impl Pieces {
    pub(crate) const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            spent: None,
        }
    }

    /// Appends a piece; an empty one adds nothing.
    pub(crate) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.waiting.push_back(piece);
        }
    }

    /// Puts a piece, which is not empty, before all others.
    pub(crate) fn put_first(&mut self, piece: Bytes) {
        debug_assert!(!piece.is_empty(), "a piece has bytes");
        self.waiting.push_front(piece);
    }

    /// Tells `spent` when everything is on its way that this much is owed.
    pub(crate) fn costing(mut self, spent: Spent, usage: Usage) -> Self {
        self.spent = Some(Box::new((spent, usage)));
        self
    }

    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.iter().map(Bytes::len).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Shows the first pieces for writing; returns how many.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        for (slice, piece) in slices.iter_mut().zip(&self.waiting) {
            *slice = IoSlice::new(piece);
        }
        self.waiting.len().min(slices.len())
    }

    /// Drops so many bytes, which were written. What is written keeps no memory.
    pub(crate) fn advance(&mut self, mut written: usize) {
        while let Some(piece) = self.waiting.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.waiting.pop_front();
        }
        self.waiting = VecDeque::new();
        if let Some(told) = self.spent.take() {
            let (spent, usage) = *told;
            spent.tell(usage);
        }
    }

    /// Everything in one piece.
    #[cfg(test)]
    pub(super) fn concat(&self) -> Vec<u8> {
        self.waiting.iter().flatten().copied().collect()
    }
}

impl From<Bytes> for Pieces {
    fn from(bytes: Bytes) -> Self {
        let mut pieces = Self::default();
        pieces.push(bytes);
        pieces
    }
}

#[cfg(test)]
mod tests {
    use silica_types::TokenCount;

    use super::*;

    #[test]
    fn pieces_are_written_in_order_and_owe_nothing_before_the_last_byte() {
        let spent = Spent::default();
        let usage = Usage {
            prompt: TokenCount(3),
            ..Usage::default()
        };
        let mut pieces = Pieces::from(Bytes::from_static(b"body"));
        pieces.push(Bytes::new());
        pieces.push(Bytes::from_static(b"end"));
        pieces.put_first(Bytes::from_static(b"head"));
        let mut pieces = pieces.costing(spent.clone(), usage);
        assert_eq!(pieces.len(), 11);
        pieces.advance(6);
        assert_eq!(pieces.concat(), b"dyend");
        let mut slices = [IoSlice::new(&[]); 1];
        assert_eq!(pieces.slices(&mut slices), 1);
        assert_eq!(&*slices[0], b"dy");
        pieces.advance(4);
        assert!(!pieces.is_empty() && spent.usage().is_none());
        pieces.advance(1);
        assert!(pieces.is_empty());
        assert_eq!(spent.usage(), Some(usage));
    }
}
