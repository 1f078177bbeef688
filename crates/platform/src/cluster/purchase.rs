//! The price of something that is bought from the charge balance, beside the calls that hold it.

use std::time::Duration;

use jiff::Timestamp;
use silica_billing::{BillingDay, Bucket, Hold, Insufficient, Moment, Need, Payer, Settlement, Wallets};
use silica_cluster::Finish;
use silica_types::{AccountId, ApiKeyId, Money};

use super::{Admission, Asked, Book, Told};
use crate::{Platform, PlatformError};

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
}

impl PriceHold {
    /// Holds `price` of the charge balance.
    ///
    /// # Errors
    /// [`PlatformError::Insufficient`], or [`PlatformError::Apart`] where other nodes spend from the same balance and
    /// cannot be asked; nothing is held then.
    pub(crate) async fn take(
        platform: &Platform,
        account: AccountId,
        price: Money,
        now: Timestamp,
    ) -> Result<Self, PlatformError> {
        let Some(book) = platform.book() else {
            return Self::ask(platform, account, price, now).await;
        };
        let platform = platform.clone();
        // To the end, also when the operator leaves meanwhile: what comes then is given back.
        let asking = book.later(async move { Self::ask(&platform, account, price, now).await });
        asking.await.map_err(|_panicked| PlatformError::Apart)?
    }

    async fn ask(
        platform: &Platform,
        account: AccountId,
        price: Money,
        now: Timestamp,
    ) -> Result<Self, PlatformError> {
        let wallets = platform.wallets().clone();
        let at = Moment {
            monotonic: Duration::ZERO,
            day: BillingDay::of(now, &platform.shared.zone),
            until_midnight: Duration::ZERO,
        };
        let Some(book) = platform.book().cloned() else {
            let hold = wallets.reserve(account, price, Payer::ChargeOnly, now)?;
            let shared = None;
            return Ok(Self {
                hold,
                account,
                wallets,
                shared,
            });
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
        let hold = match book.admit(platform.storage(), &asked).await {
            Admission::Granted(granted) => granted.hold,
            Admission::Balance(available) => {
                return Err(PlatformError::Insufficient(Insufficient {
                    needed: price,
                    available,
                }));
            }
            // Neither a limit nor a cap was asked for.
            Admission::Away | Admission::Limit(_) | Admission::Cap(_) => return Err(PlatformError::Apart),
        };
        let shared = Some(Shared { book, at });
        Ok(Self {
            hold,
            account,
            wallets,
            shared,
        })
    }

    /// Goes from held to taken and on to the new balance, so that no call sees the money in between. Where several
    /// nodes count together, they must know the new balance by now.
    pub(crate) fn paid(self, price: Money, charge: &Bucket, now: Timestamp) {
        self.end(|hold, wallets| {
            let taken = hold.settle(price, now);
            let taken = taken.as_ref().map_or(Money::ZERO, Settlement::paid);
            // A poll may have read the new balance already; what is taken beside it is given back here.
            wallets.applied(charge, taken);
        });
    }

    fn end(&self, close: impl FnOnce(&Hold, &Wallets)) {
        let Some(Shared { book, at }) = &self.shared else {
            return close(&self.hold, &self.wallets);
        };
        book.change(|_, _| {
            close(&self.hold, &self.wallets);
            let told = Some(Told::Finished {
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
