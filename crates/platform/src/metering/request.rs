//! The counting of a request.

use std::sync::Arc;

use silica_billing::{Need, Payer, Scope};
use silica_types::Money;

use super::{Meter, Refusal};
use crate::Caller;
use crate::cluster::{Asked, Book};

/// A request and whose limits count it. Where several nodes count together it is counted with its reservation,
/// and if none comes, when this is dropped.
pub(super) struct Request {
    meter: Meter,
    caller: Caller,
    /// Shared with the counting that outlasts it.
    scopes: Arc<[Scope]>,
    is_counted: bool,
}

impl Request {
    pub(super) async fn begin(meter: &Meter, caller: &Caller, scopes: Vec<Scope>) -> Result<Self, Refusal> {
        let mut request = Self {
            meter: meter.clone(),
            caller: caller.clone(),
            scopes: scopes.into(),
            // Until it may be: a request that is refused is not counted.
            is_counted: true,
        };
        match meter.platform().book() {
            Some(book) if book.member().is_some() => request.is_counted = false,
            book => request.count_alone(book).await?,
        }
        Ok(request)
    }

    pub(super) fn scopes(&self) -> &Arc<[Scope]> {
        &self.scopes
    }

    /// Notes that the reservation counts it; says whether it was counted before.
    pub(super) fn is_with_reservation(&mut self) -> bool {
        std::mem::replace(&mut self.is_counted, true)
    }

    /// Counts it now, unless that was done.
    ///
    /// # Errors
    /// [`Refusal::Limit`] or [`Refusal::NoCounters`].
    pub(super) async fn count(&mut self) -> Result<(), Refusal> {
        if std::mem::replace(&mut self.is_counted, true) {
            return Ok(());
        }
        let book = self.meter.platform().book();
        if let Some(book) = book
            && let Some(counted) = ask(&self.meter, book, &self.caller, &self.scopes).await
        {
            return counted;
        }
        self.count_alone(book).await
    }

    /// Counts it in this process.
    pub(super) async fn count_alone(&self, book: Option<&Book>) -> Result<(), Refusal> {
        let shared = &*self.meter.0;
        let moment = self.meter.moment(shared.clock.now());
        let Some(book) = book else {
            return Ok(shared.counters.begin(&self.scopes, moment).await?);
        };
        if book.outage().refuses() {
            return Err(Refusal::NoCounters);
        }
        let share = book.outage().share(&self.scopes);
        Ok(shared.counters.begin(&share, moment).await?)
    }
}

/// Counts a request in Redis; `None` when there is none.
async fn ask(meter: &Meter, book: &Book, caller: &Caller, scopes: &[Scope]) -> Option<Result<(), Refusal>> {
    let now = meter.0.clock.now();
    let asked = Asked {
        account: caller.account,
        key: caller.key,
        scopes,
        need: Need::NOTHING,
        amount: Money::ZERO,
        cap: None,
        payer: Payer::Any,
        now,
        at: meter.moment(now),
    };
    let counted = book.count(&asked).await?;
    Some(counted.map_err(Refusal::from))
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.is_counted {
            return;
        }
        let (meter, caller, scopes) = (self.meter.clone(), self.caller.clone(), Arc::clone(&self.scopes));
        let Some(book) = meter.platform().book().cloned() else {
            return;
        };
        // It has failed already; whether its limit was reached changes nothing.
        let _nobody_waits = book.clone().later(async move {
            let _counted = ask(&meter, &book, &caller, &scopes).await;
        });
    }
}
