//! The memory that large bodies may take together.
//!
//! Each body is bounded by itself, but thousands of connections times the largest body is more than
//! any machine has. Small bodies are not counted, so that nobody's large ones refuse them. A share
//! ends with the last of its body's bytes: with the parsing, or, where they are kept to be forwarded,
//! when no engine needs them any more. What else is kept of a request is bounded by its model's
//! context, and the calls that may run by `limits.max_running_calls`.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one permit; a body takes whole ones.
const UNIT: usize = 1024;

/// Bodies up to this size are not counted; connections and their streams bound them already.
const UNCOUNTED: usize = 64 * 1024;

/// A number of bytes that requests share. Clones are the same budget.
#[derive(Debug, Clone)]
pub(crate) struct BodyBudget(Arc<Semaphore>);

/// What one body has taken; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct BodyShare {
    budget: BodyBudget,
    taken: Option<OwnedSemaphorePermit>,
}

/// The bodies of the other requests leave no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl BodyBudget {
    /// A budget of so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(
            (bytes / UNIT).min(Semaphore::MAX_PERMITS),
        )))
    }

    /// Begins to count a body.
    pub(crate) fn share(&self) -> BodyShare {
        BodyShare {
            budget: self.clone(),
            taken: None,
        }
    }
}

impl BodyShare {
    /// Takes enough for a body of so many bytes.
    ///
    /// # Errors
    /// [`NoRoom`] when the others leave too little; what was taken before stays taken.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), NoRoom> {
        if bytes <= UNCOUNTED {
            return Ok(());
        }
        let has = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let needs = bytes.div_ceil(UNIT).saturating_sub(has);
        if needs == 0 {
            return Ok(());
        }
        let needs = u32::try_from(needs).map_err(|_| NoRoom)?;
        let more = Arc::clone(&self.budget.0)
            .try_acquire_many_owned(needs)
            .map_err(|_| NoRoom)?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}

impl BodyShare {
    /// Binds the share to the bytes that it was taken for: it ends with the last clone and slice.
    pub(crate) fn over(self, bytes: Bytes) -> Bytes {
        if self.taken.is_none() {
            return bytes;
        }
        Bytes::from_owner(Counted { bytes, _share: self })
    }
}

/// Bytes with what they have taken.
struct Counted {
    bytes: Bytes,
    _share: BodyShare,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_taken_once_and_come_back() {
        let large = UNCOUNTED + UNIT;
        let budget = BodyBudget::new(2 * large);
        let (mut first, mut second) = (budget.share(), budget.share());
        first.grow_to(1).unwrap();
        first.grow_to(large).unwrap();
        first.grow_to(large).unwrap();
        assert_eq!(second.grow_to(large + 1), Err(NoRoom));
        second.grow_to(UNCOUNTED).unwrap();
        second.grow_to(large).unwrap();
        drop(first);
        second.grow_to(2 * large).unwrap();
    }

    #[test]
    fn a_share_ends_with_the_last_of_its_bytes() {
        let large = UNCOUNTED + UNIT;
        let budget = BodyBudget::new(large);
        let mut share = budget.share();
        share.grow_to(large).unwrap();
        let bytes = share.over(vec![b'x'; large].into());
        let slice = bytes.slice(7..8);
        drop(bytes);
        assert_eq!(budget.share().grow_to(large), Err(NoRoom));
        drop(slice);
        budget.share().grow_to(large).unwrap();
    }
}
