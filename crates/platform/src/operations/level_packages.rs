//! Level packages: an account pays for a usage level in advance.

use jiff::{SignedDuration, Timestamp};
use silica_billing::{BillingDay, Monthly, UsageLevel};
use silica_storage::{Account, Conflict, LevelPackage, Page, Scope, accounts, level_packages};
use silica_types::{AccountId, BucketId, CreditId, LevelPackageId};

use super::accounts::must_exist as account_must_exist;
use super::credits::room_for_a_voucher;
use crate::cluster::PriceHold;
use crate::validate::{self, invalid};
use crate::{Platform, PlatformError};

/// A package to sell.
#[derive(Debug, Clone)]
pub struct NewLevelPackage {
    /// The level to buy, from L1.
    pub level: UsageLevel,
    /// Marks repetitions of one request: the same text of the same account buys once.
    pub idempotency_key: Option<String>,
}

/// A package as it was sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoldPackage {
    /// The package.
    pub package: LevelPackage,
    /// When the level that it gives ends: the end of the month after that of the purchase.
    pub level_until: Timestamp,
    /// Whether the request was answered before: nothing was bought now.
    pub repeated: bool,
}

impl Platform {
    /// Sells an account a level: its price leaves the charge balance, a voucher of the same value
    /// comes, and the level is in force at once, in this month and the next. The purchase is no
    /// consumption; what calls spend of the voucher is.
    ///
    /// # Errors
    /// [`PlatformError::NotFound`] for an unknown account, [`PlatformError::Invalid`],
    /// [`PlatformError::Insufficient`] when the charge balance has less free than the price (what
    /// running calls hold of it is not free), [`PlatformError::Conflict`] when the idempotency key
    /// belongs to another purchase, or [`PlatformError::Storage`].
    pub async fn buy_level(
        &self,
        account: AccountId,
        new: NewLevelPackage,
    ) -> Result<SoldPackage, PlatformError> {
        let package = self.check_package(account, &new)?;
        let _in_order = self.shared.operations.lock().await;
        let write = self.shared.storage.begin(Scope::Accounts).await?;
        let mut owner = account_must_exist(&write, account).await?;
        if let Some(key) = &package.idempotency_key
            && let Some(earlier) = level_packages::find_by_key(&write, account, key).await?
        {
            if earlier.level != package.level {
                return Err(PlatformError::Conflict(Conflict::IdempotencyKeyReused));
            }
            return Ok(self.sold(earlier, true));
        }
        room_for_a_voucher(&write, account).await?;
        // Taken from what calls may hold before the database is asked, and given back by its drop.
        let hold = PriceHold::take(self, account, package.price, package.created_at).await?;
        let credit = CreditId::new(self.shared.clock.as_ref());
        let buckets = level_packages::insert(&write, &package, credit).await?;
        raise(&mut owner, &package);
        owner.updated_at = package.created_at;
        accounts::update(&write, &owner).await?;
        let revision = write.commit().await?;
        if self.book().is_some() {
            self.show_buckets_now(std::slice::from_ref(&buckets.charge)).await;
        }
        hold.paid(package.price, &buckets.charge, package.created_at);
        self.show_buckets_now(std::slice::from_ref(&buckets.voucher))
            .await;
        self.shared.keys.apply_account(revision, &owner);
        tracing::info!(
            account.id = %account, package.id = %package.id, package.level = %package.level, revision,
            "level {} sold", package.level
        );
        Ok(self.sold(package, false))
    }

    /// Lists at most `limit` packages of an account after `cursor`, oldest first.
    ///
    /// # Errors
    /// [`PlatformError::NotFound`] for an unknown account, or [`PlatformError::Storage`].
    pub async fn level_packages(
        &self,
        account: AccountId,
        cursor: Option<LevelPackageId>,
        limit: u32,
    ) -> Result<Page<SoldPackage, LevelPackageId>, PlatformError> {
        let storage = &self.shared.storage;
        account_must_exist(storage, account).await?;
        let page = level_packages::list(storage, account, cursor, limit).await?;
        let rows = page.rows.into_iter();
        Ok(Page {
            rows: rows.map(|package| self.sold(package, false)).collect(),
            next: page.next,
        })
    }

    /// The level that an account bought and that is in force now, with its end; `None` when no
    /// package is. It may have one that lasts longer and is lower: that one follows.
    pub fn bought_level(&self, account: &Account) -> Option<(UsageLevel, Timestamp)> {
        let month = self.month();
        let level = account.bought.best(month);
        let (this, _) = account.bought.both(month);
        let last = if this == level {
            Monthly::<UsageLevel>::month_after(month)
        } else {
            month
        };
        (level != UsageLevel::L0).then(|| (level, self.end_of(last)))
    }

    fn sold(&self, package: LevelPackage, repeated: bool) -> SoldPackage {
        let last = Monthly::<UsageLevel>::month_after(package.day.month());
        SoldPackage {
            level_until: self.end_of(last),
            package,
            repeated,
        }
    }

    /// The first moment after a month.
    fn end_of(&self, month: i32) -> Timestamp {
        let first = Monthly::<UsageLevel>::month_after(month) * 100 + 1;
        let date = BillingDay::from_number(first).ok().and_then(BillingDay::date);
        date.and_then(|date| self.shared.zone.to_timestamp(date.at(0, 0, 0, 0)).ok())
            .unwrap_or(Timestamp::MAX)
    }

    fn check_package(
        &self,
        account: AccountId,
        new: &NewLevelPackage,
    ) -> Result<LevelPackage, PlatformError> {
        if new.level == UsageLevel::L0 {
            return Err(invalid("level", "must be L1 to L5; everybody has L0"));
        }
        let (now, clock) = (self.now(), self.shared.clock.as_ref());
        let days = i64::from(self.shared.level_package_days);
        Ok(LevelPackage {
            id: LevelPackageId::new(clock),
            account,
            level: new.level,
            price: new.level.threshold(),
            voucher: BucketId::new(clock),
            voucher_expires_at: now
                .checked_add(SignedDuration::from_hours(24 * days))
                .unwrap_or(now),
            idempotency_key: new
                .idempotency_key
                .as_deref()
                .map(validate::idempotency_key)
                .transpose()?,
            day: BillingDay::of(now, &self.shared.zone),
            created_at: now,
        })
    }
}

/// Notes the level in the month of the purchase, unless a higher one was bought in it. With a clock
/// that is behind, in the month of the last purchase, so that nobody pays for nothing.
fn raise(owner: &mut Account, package: &LevelPackage) {
    let month = package.day.month().max(owner.bought.month());
    if let Some(level) = owner.bought.of(month) {
        *level = package.level.max(*level);
    }
}
