//! Rows of the ledger, and the place between two of them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use silica_billing::{BillingDay, Bucket, BucketKind, CallStatus, Monthly, PriceVersion, Units};
use silica_types::{AccountId, ApiKeyId, BucketId, ModelName, Money, TraceId, UsageSource};
use uuid::Uuid;

/// One row: what a call or the price of a level package took from one bucket, what a credit put in,
/// or what a voucher lost at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// The day that it is booked on.
    pub day: BillingDay,
    /// The id of the call, the credit or the package; of the bucket for the end of a voucher.
    pub event: Uuid,
    /// Counts the rows of one event from zero.
    pub position: u16,
    /// The bucket; `None` for a call that no bucket paid for, such as one of a free model.
    pub bucket: Option<(BucketId, BucketKind)>,
    /// What the bucket got: negative for calls, packages and ends of vouchers.
    pub amount: Money,
    /// What no bucket could pay of a call; zero or more.
    pub shortfall: Money,
    /// When it was settled, whole microseconds.
    pub at: Timestamp,
    /// Why.
    pub cause: LedgerCause,
}

/// Why a row stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerCause {
    /// A call was settled.
    Call(Box<LedgerCall>),
    /// An operator credited money.
    Credit,
    /// A voucher ended with money in it.
    Expiry,
    /// A level package was paid for.
    Package,
}

/// The call of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerCall {
    /// The key that called.
    pub key: ApiKeyId,
    /// The model that was called.
    pub model: ModelName,
    /// What it consumed. Only on the call's first row, so that sums count a call once.
    pub units: Option<Units>,
    /// Who counted that.
    pub source: UsageSource,
    /// The price that applied; `None` when the model had none.
    pub price: Option<PriceVersion>,
    /// The trace id of the response.
    pub trace: TraceId,
    /// How the call ended.
    pub status: CallStatus,
    /// When it began, whole microseconds.
    pub started_at: Timestamp,
}

/// A place in an account's ledger, after one of its rows. Its text is opaque to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LedgerCursor {
    pub(crate) day: BillingDay,
    pub(crate) event: Uuid,
    pub(crate) position: u16,
}

/// The text is no place in a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of the ledger: send back what the page before said")]
pub struct InvalidLedgerCursor;

impl LedgerRow {
    /// Returns the place after this row.
    pub const fn cursor(&self) -> LedgerCursor {
        LedgerCursor {
            day: self.day,
            event: self.event,
            position: self.position,
        }
    }
}

impl fmt::Display for LedgerCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}-{}-{}",
            self.day.number(),
            self.event.simple(),
            self.position
        )
    }
}

impl FromStr for LedgerCursor {
    type Err = InvalidLedgerCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read_cursor(text).ok_or(InvalidLedgerCursor)
    }
}

fn read_cursor(text: &str) -> Option<LedgerCursor> {
    let mut parts = text.split('-');
    let (day, event, position) = (parts.next()?, parts.next()?, parts.next()?);
    let cursor = LedgerCursor {
        day: BillingDay::from_number(day.parse().ok()?).ok()?,
        event: Uuid::try_parse(event).ok()?,
        position: position.parse().ok()?,
    };
    // Printing back refuses what reading is too kind to, such as plus signs and a fourth part.
    (cursor.to_string() == text).then_some(cursor)
}

/// What a batch of settled calls did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The buckets that its calls named and that exist and can be read, by id.
    pub buckets: Vec<AppliedBucket>,
    /// Calls that were booked.
    pub new: usize,
    /// Calls that had been booked before; they changed nothing.
    pub known: usize,
    /// What the accounts whose calls took money have spent after it, by account.
    pub spent: BTreeMap<AccountId, Monthly<Money>>,
}

/// What a batch of settled calls did to one bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedBucket {
    /// The bucket after it.
    pub bucket: Bucket,
    /// What the calls of the batch had settled on it, those booked before included.
    pub settled: Money,
    /// What the batch took from it: less when it no longer held enough; the rest is booked as shortfall.
    pub taken: Money,
}

/// Two sums of the ledger that should be the same and are not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Discrepancy {
    /// A balance is not what came in less what went out.
    #[error(
        "bucket {bucket} holds {balance} instead of {expected}, which is its credits less what was spent, what packages cost and what ended"
    )]
    Balance {
        /// The bucket.
        bucket: BucketId,
        /// What the row says.
        balance: Money,
        /// What its credits, roll-ups, packages and end say.
        expected: Money,
    },
    /// A roll-up of a key and a model is not the sum of its calls.
    #[error(
        "{day}, account {account}, key {key}, model {model}: the roll-up's {what} is {rolled_up}, the rows' sum is {rows}"
    )]
    Usage {
        /// The day.
        day: BillingDay,
        /// The account.
        account: AccountId,
        /// The key.
        key: ApiKeyId,
        /// The model, as it is stored.
        model: String,
        /// What was summed: `calls`, or nano-CNY of a kind of bucket.
        what: &'static str,
        /// What the roll-up says.
        rolled_up: i64,
        /// What the rows say.
        rows: i64,
    },
    /// A roll-up of a bucket is not the sum of its rows.
    #[error("{day}, bucket {bucket}: the roll-up says that {rolled_up} were spent, the rows {rows}")]
    Spending {
        /// The day.
        day: BillingDay,
        /// The bucket.
        bucket: BucketId,
        /// What the roll-up says.
        rolled_up: Money,
        /// What the rows say.
        rows: Money,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursors_print_and_read_back(event: u128, position: u16, ordinal in 1_i16..=365) {
            let date = jiff::civil::Date::new(2025, 1, 1).unwrap();
            let cursor = LedgerCursor {
                day: BillingDay::from_date(date + jiff::Span::new().days(ordinal)),
                event: Uuid::from_u128(event),
                position,
            };
            prop_assert_eq!(cursor.to_string().parse::<LedgerCursor>(), Ok(cursor));
        }

        #[test]
        fn any_text_is_a_cursor_or_refused(text in "[0-9a-f+-]{0,60}") {
            if let Ok(cursor) = text.parse::<LedgerCursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }
}
