//! A request's body in pieces, so that a large one is not copied to change a name in it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use silica_engine::{Spent, Usage};

/// Bytes that follow each other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pieces {
    waiting: VecDeque<Bytes>,
    left: u64,
    /// Told when the last piece is taken.
    spent: Option<Box<(Spent, Usage)>>,
}

impl Pieces {
    /// Appends a piece; an empty one adds nothing.
    pub(crate) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.left += u64::try_from(piece.len()).unwrap_or(u64::MAX);
            self.waiting.push_back(piece);
        }
    }

    /// Tells `spent` when everything is on its way that this much is owed.
    pub(crate) fn costing(mut self, spent: Spent, usage: Usage) -> Self {
        self.spent = Some(Box::new((spent, usage)));
        self
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

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.waiting.pop_front();
        if let Some(piece) = &next {
            self.left -= u64::try_from(piece.len()).unwrap_or(u64::MAX);
        }
        if self.waiting.is_empty()
            && let Some(told) = self.spent.take()
        {
            let (spent, usage) = *told;
            spent.tell(usage);
        }
        Poll::Ready(next.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
