//! The price of something that is bought from the charge balance, beside the calls that hold it.

use std::time::Duration;

use jiff::Timestamp;
use silica_billing::{BillingDay, Bucket, Hold, Insufficient, Moment, Need, Payer, Wallets};
use silica_cluster::Finish;
use silica_types::{AccountId, ApiKeyId, Money};

use super::{Admission, Asked, Book, Told};
use crate::Platform;

/// Taken from what calls may hold. Dropped, it is given back.
pub(crate) struct PriceHold {
    hold: Hold,
    account: AccountId,
    wallets: Wallets,
    shared: Option<Shared>,
}

struct Shared {
    book: Book,
    at: Moment,
    /// The generation that it began in, when it began without Redis.
    alone_since: Option<u64>,
}

impl PriceHold {
    /// Holds `price` of the charge balance.
    ///
    /// # Errors
    /// [`Insufficient`]; nothing is held then.
    pub(crate) async fn take(
        platform: &Platform,
        account: AccountId,
        price: Money,
        now: Timestamp,
    ) -> Result<Self, Insufficient> {
        let wallets = platform.wallets().clone();
        let at = Moment {
            monotonic: Duration::ZERO,
            day: BillingDay::of(now, &platform.shared.zone),
            until_midnight: Duration::ZERO,
        };
        let alone = || wallets.reserve(account, price, Payer::ChargeOnly, now);
        let Some(book) = platform.book().cloned() else {
            let hold = alone()?;
            let shared = None;
            return Ok(Self { hold, account, wallets, shared });
        };
        let asked = Asked {
            account,
            key: ApiKeyId::PLAYGROUND,
            scopes: &[],
            need: Need::NOTHING,
            amount: price,
            cap: None,
            payer: Payer::ChargeOnly,
            now,
            at,
        };
        let (hold, alone_since) = match book.admit(platform.storage(), &asked).await {
            Admission::Granted(granted) => (granted.hold, None),
            Admission::Balance(available) => return Err(Insufficient { needed: price, available }),
            // Neither a limit nor a cap was asked for.
            Admission::Away | Admission::Limit(_) | Admission::Cap(_) => {
                let (hold, generation) = book.change(|_, generation| ((alone(), generation), None));
                (hold?, Some(generation))
            }
        };
        let shared = Some(Shared { book, at, alone_since });
        Ok(Self { hold, account, wallets, shared })
    }

    /// Goes from held to taken and on to the new balance, so that no call sees the money in between. Where several
    /// nodes count together, they must know the new balance by now.
    pub(crate) fn paid(self, price: Money, charge: &Bucket, now: Timestamp) {
        self.end(|hold, wallets| {
            let taken = hold.settle(price, now);
            let taken = taken.iter().flat_map(|taken| &taken.parts).map(|part| part.amount).sum();
            // A poll may have read the new balance already; what is taken beside it is given back here.
            wallets.applied(charge, taken);
        });
    }

    fn end(&self, close: impl FnOnce(&Hold, &Wallets)) {
        let Some(Shared { book, at, alone_since }) = &self.shared else {
            return close(&self.hold, &self.wallets);
        };
        book.change(|_, generation| {
            close(&self.hold, &self.wallets);
            let is_held = alone_since.is_none_or(|since| since < generation);
            let told = is_held.then(|| Told::Finished {
                finish: Box::new(Finish {
                    account: self.account,
                    key: ApiKeyId::PLAYGROUND,
                    cap_held: None,
                    cap_paid: Money::ZERO,
                    held: self.hold.parts().to_vec(),
                    paid: Vec::new(),
                    corrections: Vec::new(),
                    at: *at,
                }),
                epoch: None,
            });
            ((), told)
        });
    }
}

impl Drop for PriceHold {
    fn drop(&mut self) {
        if self.hold.is_open() {
            self.end(|hold, _| hold.release());
        }
    }
}
