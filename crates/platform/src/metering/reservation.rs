//! The worst case, taken before a call runs, and its settlement.

use std::sync::Arc;

use jiff::Timestamp;
use silica_billing::{CallStatus, Need, Payer, Price, PriceVersion, Units, UsageEvent, UsageLevel};
use silica_journal::Commit;
use silica_types::{AccountId, ModelName, Money, RequestId, TraceId, UsageSource};
use tokio::sync::OwnedSemaphorePermit;

use super::estimate::{amount, price_now};
use super::stake::{Stake, Wanted};
use super::{Entry, Meter, Refusal, Standings};
use crate::Caller;

/// What names a call in the ledger.
#[derive(Debug, Clone)]
pub struct CallFacts {
    /// Its id.
    pub id: RequestId,
    /// The trace id of its response.
    pub trace: TraceId,
    /// When it began.
    pub started_at: Timestamp,
}

/// How a call ended.
#[derive(Debug, Clone, Copy)]
pub struct Settled {
    /// What it used.
    pub units: Units,
    /// Who counted that.
    pub source: UsageSource,
    /// How it ended.
    pub status: CallStatus,
}

/// What was taken for one call. Ends in exactly one settlement or release; dropping it releases.
#[must_use = "dropping a reservation gives everything back"]
pub struct Reservation {
    standings: Standings,
    open: Option<Open>,
}

/// What must be booked. Each part gives back by its own drop what was taken for it.
struct Open {
    meter: Meter,
    caller: Caller,
    model: ModelName,
    facts: CallFacts,
    price: Option<(PriceVersion, Price)>,
    stake: Stake,
    place: OwnedSemaphorePermit,
}

impl Entry {
    /// The account that is limited and billed.
    pub const fn account(&self) -> AccountId {
        self.caller.account
    }

    /// The usage level of the caller's account as it is now.
    pub fn level(&self) -> UsageLevel {
        self.meter.0.platform.level_of(&self.caller)
    }

    /// Counts the request now, where it is counted with its reservation otherwise: for what is answered without
    /// one.
    ///
    /// # Errors
    /// [`Refusal::Limit`], or [`Refusal::NoCounters`].
    pub async fn count(&mut self) -> Result<(), Refusal> {
        self.request.count().await
    }

    /// Takes the worst case of a call: its price from the wallet and the key's monthly cap by `most`,
    /// tokens and images from the limits by `likely`, which is the same where the engine counts
    /// exactly. All or nothing.
    ///
    /// # Errors
    /// [`Refusal`]: the first limit that is reached, the cap, or the balance, in this order.
    pub async fn reserve(
        self,
        facts: CallFacts,
        likely: Units,
        most: Units,
        mode: Option<&str>,
    ) -> Result<Reservation, Refusal> {
        let Self {
            meter,
            caller,
            model,
            mut request,
            place,
        } = self;
        let now = meter.0.clock.now();
        let price = price_now(&model, now, mode);
        let wanted = Wanted {
            caller: caller.clone(),
            scopes: Arc::clone(request.scopes()),
            need: need(&likely),
            amount: amount(price.as_ref().map(|(_, price)| price), &most),
            payer: if model.charge_only {
                Payer::ChargeOnly
            } else {
                Payer::Any
            },
            now,
            at: meter.moment(now),
        };
        let (stake, standings) = Stake::take(&meter, &wanted, &mut request).await?;
        Ok(Reservation {
            standings,
            open: Some(Open {
                model: model.id.clone(),
                meter: meter.clone(),
                caller,
                facts,
                price,
                stake,
                place,
            }),
        })
    }
}

impl Reservation {
    /// How the account stood with its limits on this model when the call was admitted.
    pub fn standings(&self) -> &Standings {
        &self.standings
    }

    /// Books what the call used. The answer may end when the returned commit has resolved.
    /// `None` when the reservation has ended before.
    pub fn settle(&mut self, settled: &Settled) -> Option<(Money, Commit)> {
        self.open.take().map(|open| open.settle(settled))
    }

    /// Gives everything back, as if the call had not been; the request itself stays counted.
    pub fn release(&mut self) {
        self.open = None;
    }
}

impl Open {
    fn settle(self, settled: &Settled) -> (Money, Commit) {
        let shared = &*self.meter.0;
        let now = shared.clock.now();
        let moment = self.meter.moment(now);
        let cost = self
            .price
            .as_ref()
            .map_or(Ok(Money::ZERO), |(_, price)| price.cost(&settled.units));
        let amount = cost.unwrap_or_else(|error| {
            tracing::error!(error = %error, request.id = %self.facts.id, "usage beyond any amount; its reservation is charged");
            self.stake.reserved()
        });
        let paid = self.stake.settle(amount, need(&settled.units), now, moment);
        let event = UsageEvent {
            id: self.facts.id,
            account: self.caller.account,
            key: self.caller.key,
            model: self.model,
            units: settled.units,
            source: settled.source,
            price: self.price.map(|(version, _)| version),
            amount,
            shortfall: paid.shortfall,
            parts: paid.parts,
            trace: self.facts.trace,
            status: settled.status,
            started_at: self.facts.started_at,
            settled_at: now,
            day: moment.day,
        };
        (amount, shared.journal.append_with(event, Some(self.place)))
    }
}

/// What the token and image limits count of some units.
const fn need(units: &Units) -> Need {
    Need {
        tokens: units.tokens(),
        images: units.images.saturating_add(units.videos),
    }
}
