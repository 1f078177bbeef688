//! What one call holds of limits, of its key's month and of its wallet.

use std::sync::Arc;

use jiff::Timestamp;
use silica_billing::{
    BucketPart, CapReached, Hold, Insufficient, Moment, Need, Payer, Scope, Settlement, SpendHold, Taken,
    TakenPart,
};
use silica_cluster::{Correction, Epoch, Finish};
use silica_types::Money;

use super::request::Request;
use super::{Meter, Refusal, Standings};
use crate::Caller;
use crate::cluster::{Admission, AllowanceHold, Asked, Book, Granted, Told};

/// What a call takes.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) caller: Caller,
    pub(super) scopes: Arc<[Scope]>,
    pub(super) need: Need,
    pub(super) amount: Money,
    pub(super) payer: Payer,
    pub(super) now: Timestamp,
    pub(super) at: Moment,
}

impl Wanted {
    /// What the caller's key may spend in a month.
    fn cap(&self) -> Option<Money> {
        self.caller
            .limits
            .as_deref()
            .and_then(|limits| limits.monthly_spend)
    }
}

/// What it has taken. Ends once: by settling, or by its drop, which gives everything back.
pub(super) struct Stake {
    meter: Meter,
    caller: Caller,
    open: Option<Open>,
}

struct Open {
    hold: Hold,
    cap: SpendHold,
    limits: Limits,
    shared: Option<Shared>,
}

/// Where tokens and images were counted.
enum Limits {
    /// In this process.
    Here(Taken),
    /// In Redis, in an epoch.
    There(Vec<TakenPart>, Epoch),
}

/// What a node of a cluster must know to give it back.
struct Shared {
    /// What Redis holds of the key's month; `None` for keys without a cap.
    cap: Option<Money>,
    /// The generation that the call began in, when it began without Redis.
    alone_since: Option<u64>,
    allowance: Option<AllowanceHold>,
}

/// How a call ends.
struct End {
    /// What it costs; `None` when it did not run.
    amount: Option<Money>,
    used: Need,
    now: Timestamp,
    at: Moment,
}

impl Stake {
    /// Takes what a call needs, all or nothing; counts its request with it where nobody has yet.
    pub(super) async fn take(
        meter: &Meter,
        wanted: &Wanted,
        request: &mut Request,
    ) -> Result<(Self, Standings), Refusal> {
        let Some(book) = meter.platform().book() else {
            return Self::take_here(meter, wanted).await;
        };
        // It is asked for to the end, also when the client leaves meanwhile: what comes then is given back.
        let asking = book.later(Self::ask(meter.clone(), book.clone(), wanted.clone()));
        let was_counted = request.is_with_reservation();
        match asking.await {
            Ok(Some(answer)) => answer,
            Ok(None) => {
                if !was_counted {
                    request.count_alone(Some(book)).await?;
                }
                Self::take_alone(meter, book, wanted).await
            }
            Err(_panicked) => Err(Refusal::NoCounters),
        }
    }

    /// Asks Redis; `None` when there is none.
    async fn ask(meter: Meter, book: Book, wanted: Wanted) -> Option<Result<(Self, Standings), Refusal>> {
        let cap = wanted.cap();
        let asked = Asked {
            account: wanted.caller.account,
            key: wanted.caller.key,
            scopes: &wanted.scopes,
            need: wanted.need,
            amount: wanted.amount,
            cap,
            payer: wanted.payer,
            now: wanted.now,
            at: wanted.at,
        };
        Some(match book.admit(meter.platform().storage(), &asked).await {
            Admission::Granted(granted) => Ok(Self::granted(&meter, &wanted, granted)),
            Admission::Away => return None,
            Admission::Limit(limit) => Err(Refusal::Limit(limit)),
            Admission::Cap(spent) => Err(Refusal::SpendCap(CapReached {
                cap: cap.unwrap_or_default(),
                spent,
            })),
            Admission::Balance(available) => Err(Refusal::Balance(Insufficient {
                needed: wanted.amount,
                available,
            })),
        })
    }

    /// What Redis has granted.
    fn granted(meter: &Meter, wanted: &Wanted, granted: Granted) -> (Self, Standings) {
        // The cap was asked for there; here the sum goes on for the time without Redis.
        let spend = meter.0.caps.hold_granted(wanted.caller.key, wanted.amount);
        let stake = Self {
            meter: meter.clone(),
            caller: wanted.caller.clone(),
            open: Some(Open {
                hold: granted.hold,
                cap: spend,
                limits: Limits::There(granted.grant.taken, granted.epoch),
                shared: Some(Shared {
                    cap: wanted.cap().map(|_| wanted.amount),
                    alone_since: None,
                    allowance: None,
                }),
            }),
        };
        (stake, granted.grant.standings)
    }

    /// Takes without Redis, as much as the node may alone.
    async fn take_alone(meter: &Meter, book: &Book, wanted: &Wanted) -> Result<(Self, Standings), Refusal> {
        let (account, cap) = (wanted.caller.account, wanted.cap());
        let allowance = book
            .outage()
            .hold(account, wanted.amount)
            .ok_or(Refusal::NoCounters)?;
        let scopes = book.outage().share(&wanted.scopes);
        let limited = Limited::take(meter, wanted, &scopes).await?;
        // In one step for whoever writes down a claim: it has this call or not.
        let (held, generation) = book.change(|keys, generation| {
            let held = hold_here(meter, wanted);
            if held.is_ok() && cap.is_some() {
                keys.hold(wanted.caller.key, wanted.amount);
            }
            ((held, generation), None)
        });
        let shared = Shared {
            cap: cap.map(|_| wanted.amount),
            alone_since: Some(generation),
            allowance: Some(allowance),
        };
        Ok(Self::here(meter, wanted, &scopes, limited, held?, Some(shared)).await)
    }

    /// Takes from what this process counts.
    async fn take_here(meter: &Meter, wanted: &Wanted) -> Result<(Self, Standings), Refusal> {
        let limited = Limited::take(meter, wanted, &wanted.scopes).await?;
        let held = hold_here(meter, wanted)?;
        Ok(Self::here(meter, wanted, &wanted.scopes, limited, held, None).await)
    }

    async fn here(
        meter: &Meter,
        wanted: &Wanted,
        scopes: &[Scope],
        limited: Limited<'_>,
        (cap, hold): (SpendHold, Hold),
        shared: Option<Shared>,
    ) -> (Self, Standings) {
        // First, so that it is given back when this is dropped on its way.
        let stake = Self {
            meter: meter.clone(),
            caller: wanted.caller.clone(),
            open: Some(Open {
                hold,
                cap,
                limits: Limits::Here(limited.keep()),
                shared,
            }),
        };
        let standings = match scopes.first() {
            Some(scope) => meter.0.counters.standing(scope, wanted.at).await,
            None => Standings::new(),
        };
        (stake, standings)
    }

    /// How much of the wallet is held.
    pub(super) fn reserved(&self) -> Money {
        self.open
            .as_ref()
            .map_or(Money::ZERO, |open| open.hold.reserved())
    }

    /// Pays what the call costs and gives the rest back. What it ends a second time pays nothing.
    pub(super) fn settle(mut self, amount: Money, used: Need, now: Timestamp, at: Moment) -> Settlement {
        let unpaid = Settlement {
            parts: Vec::new(),
            shortfall: amount,
        };
        let Some(open) = self.open.take() else {
            return unpaid;
        };
        let end = End {
            amount: Some(amount),
            used,
            now,
            at,
        };
        self.end(open, &end).unwrap_or(unpaid)
    }

    fn end(&self, open: Open, end: &End) -> Option<Settlement> {
        let Open {
            hold,
            cap,
            limits,
            shared,
        } = open;
        let corrections = match limits {
            Limits::Here(taken) => {
                self.meter.0.counters.correct(taken, end.used, end.at);
                None
            }
            Limits::There(parts, epoch) => Some((parts, epoch)),
        };
        let (Some(book), Some(shared)) = (self.meter.platform().book(), shared) else {
            return close(&hold, &cap, end);
        };
        let settlement = book.change(|keys, generation| {
            let settlement = close(&hold, &cap, end);
            let paid = settlement
                .as_ref()
                .map(|paid| paid.parts.clone())
                .unwrap_or_default();
            let sum = settlement.as_ref().map_or(Money::ZERO, Settlement::paid);
            if let Some(held) = shared.cap {
                keys.release(self.caller.key, held);
                keys.settle(self.caller.account, self.caller.key, end.at.day.month(), sum);
            }
            // What began alone and after the last claim, Redis has never heard of.
            let is_held = shared.alone_since.is_none_or(|since| since < generation);
            let mut finish = self.finish(&hold, &shared, is_held, paid, sum, end);
            let epoch = corrections.map(|(parts, epoch)| {
                finish.corrections = corrected(parts, end.used);
                epoch
            });
            let finish = Box::new(finish);
            (settlement, Some(Told::Finished { finish, epoch }))
        });
        if let Some(allowance) = shared.allowance {
            allowance.settle(settlement.as_ref().map_or(Money::ZERO, Settlement::paid));
        }
        settlement
    }

    fn finish(
        &self,
        hold: &Hold,
        shared: &Shared,
        is_held: bool,
        paid: Vec<BucketPart>,
        sum: Money,
        end: &End,
    ) -> Finish {
        Finish {
            account: self.caller.account,
            key: self.caller.key,
            cap_held: shared.cap.map(|held| if is_held { held } else { Money::ZERO }),
            cap_paid: sum,
            held: if is_held {
                hold.parts().to_vec()
            } else {
                Vec::new()
            },
            paid,
            corrections: Vec::new(),
            at: end.at,
        }
    }
}

/// What must be changed of what was taken.
fn corrected(parts: Vec<TakenPart>, used: Need) -> Vec<Correction> {
    let corrections = parts.into_iter().map(|taken| Correction {
        used: used.of(taken.metric.counted()),
        taken,
    });
    corrections
        .filter(|correction| correction.used != correction.taken.amount)
        .collect()
}

/// Holds the worst case of a call in the key's month and in the wallet.
fn hold_here(meter: &Meter, wanted: &Wanted) -> Result<(SpendHold, Hold), Refusal> {
    let (own, caller) = (&*meter.0, &wanted.caller);
    // Counted for keys without a cap, too: one that is given later in the month finds the sum.
    let month = wanted.at.day.month();
    let cap = own.caps.reserve(caller.key, wanted.cap(), wanted.amount, month)?;
    let wallets = own.platform.wallets();
    let hold = wallets.reserve(caller.account, wanted.amount, wanted.payer, wanted.now)?;
    Ok((cap, hold))
}

/// Ends what this process holds.
fn close(hold: &Hold, cap: &SpendHold, end: &End) -> Option<Settlement> {
    let Some(amount) = end.amount else {
        hold.release();
        cap.release();
        return None;
    };
    let settlement = hold.settle(amount, end.now);
    // What nobody paid is not spent, here as in the sums that a restart begins with.
    let paid = settlement.as_ref().map_or(Money::ZERO, Settlement::paid);
    cap.settle(paid, end.at.day.month());
    settlement
}

impl Drop for Stake {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            let now = self.meter.0.clock.now();
            let end = End {
                amount: None,
                used: Need::NOTHING,
                now,
                at: self.meter.moment(now),
            };
            let _nothing = self.end(open, &end);
        }
    }
}

/// Tokens and images that were taken from the limits of this process. Dropped, it gives them back.
struct Limited<'a> {
    meter: &'a Meter,
    taken: Option<Taken>,
}

impl<'a> Limited<'a> {
    async fn take(meter: &'a Meter, wanted: &Wanted, scopes: &[Scope]) -> Result<Self, Refusal> {
        let taken = meter.0.counters.take(scopes, wanted.need, wanted.at).await?;
        Ok(Self {
            meter,
            taken: Some(taken),
        })
    }

    fn keep(mut self) -> Taken {
        self.taken.take().unwrap_or_default()
    }
}

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        if let Some(taken) = self.taken.take() {
            let at = self.meter.moment(self.meter.0.clock.now());
            self.meter.0.counters.correct(taken, Need::NOTHING, at);
        }
    }
}
