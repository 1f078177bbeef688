//! The memory that the bodies of all running requests may take together.
//!
//! Each body is bounded by itself, but thousands of connections times the largest body is more than
//! any machine has. A request's share is held until its answer is over, since what was parsed from
//! the body lives as long.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::GuardedBody;

/// Bytes of one permit; a body takes whole ones.
const UNIT: usize = 1024;

/// A number of bytes that requests share. Clones are the same budget.
#[derive(Debug, Clone)]
pub(crate) struct BodyBudget(Arc<Semaphore>);

/// What one request has taken.
#[derive(Debug, Clone)]
pub(crate) struct BodyShare {
    budget: BodyBudget,
    taken: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
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

    fn share(&self) -> BodyShare {
        BodyShare {
            budget: self.clone(),
            taken: Arc::default(),
        }
    }
}

impl BodyShare {
    /// Takes enough for a body of so many bytes.
    ///
    /// # Errors
    /// [`NoRoom`] when the others leave too little; what was taken before stays taken.
    pub(crate) fn grow_to(&self, bytes: usize) -> Result<(), NoRoom> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let has = taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let needs = bytes.div_ceil(UNIT).saturating_sub(has);
        if needs == 0 {
            return Ok(());
        }
        let needs = u32::try_from(needs).map_err(|_| NoRoom)?;
        let more = Arc::clone(&self.budget.0)
            .try_acquire_many_owned(needs)
            .map_err(|_| NoRoom)?;
        match &mut *taken {
            Some(taken) => taken.merge(more),
            None => *taken = Some(more),
        }
        Ok(())
    }
}

/// Gives a request its share of the budget, which is free again when the answer is over.
pub(crate) async fn share_budget(budget: BodyBudget, mut request: Request, next: Next) -> Response {
    let share = budget.share();
    request.extensions_mut().insert(share.clone());
    let response = next.run(request).await;
    response.map(|body| Body::new(GuardedBody::new(body, share)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_taken_once_and_come_back() {
        let budget = BodyBudget::new(4 * UNIT);
        let (first, second) = (budget.share(), budget.share());
        first.grow_to(1).unwrap();
        first.grow_to(2 * UNIT).unwrap();
        first.grow_to(UNIT).unwrap();
        assert_eq!(second.grow_to(2 * UNIT + 1), Err(NoRoom));
        second.grow_to(2 * UNIT).unwrap();
        drop(first);
        second.grow_to(4 * UNIT).unwrap();
    }
}
