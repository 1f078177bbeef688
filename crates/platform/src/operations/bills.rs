//! Bills: what an account used and paid in some days, summed up.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use silica_billing::BillingDay;
use silica_storage::{ApiKey, BillTotals, KeyStatus, api_keys, bills};
use silica_types::{AccountId, ApiKeyId, ModelName, code_enum};
use tokio::sync::oneshot;
use tracing::Instrument as _;

use crate::validate::invalid;
use crate::{Platform, PlatformError};

/// Bills and ledgers are read for people who wait; a database that takes longer counts as down.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a statement may run on when nobody waits for it: as long as PostgreSQL lets it.
const LINGER: Duration = Duration::from_secs(10);
/// Three years and a leap day.
const LONGEST_RANGE_DAYS: i32 = 3 * 366;

code_enum! {
    /// What the rows of a bill stand for.
    BillGrouping, "grouping", {
        /// A calendar day.
        Day = "day",
        /// A calendar month.
        Month = "month",
        /// A model.
        Model = "model",
        /// A key.
        Key = "key",
    }
}

/// The days of a bill, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BillRange {
    first: BillingDay,
    last: BillingDay,
}

impl BillRange {
    /// The days from `first` to `last`.
    ///
    /// # Errors
    /// [`PlatformError::Invalid`] when they are in the wrong order or more than three years apart.
    pub fn days(first: Date, last: Date) -> Result<Self, PlatformError> {
        if last < first {
            return Err(invalid("to", "must not lie before from"));
        }
        let days = first.until(last).map_or(i32::MAX, |span| span.get_days());
        if days >= LONGEST_RANGE_DAYS || first.year() < 0 {
            return Err(invalid("from", "a bill covers three years at most"));
        }
        Ok(Self {
            first: BillingDay::from_date(first),
            last: BillingDay::from_date(last),
        })
    }

    /// The days of the month in which `day` lies.
    pub fn month_of(day: Date) -> Self {
        Self {
            first: BillingDay::from_date(day.first_of_month()),
            last: BillingDay::from_date(day.last_of_month()),
        }
    }

    /// The first day.
    pub const fn first(&self) -> BillingDay {
        self.first
    }

    /// The last day.
    pub const fn last(&self) -> BillingDay {
        self.last
    }
}

/// An account's bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    /// Its days.
    pub range: BillRange,
    /// What its rows stand for.
    pub grouping: BillGrouping,
    /// The rows with calls, in the order of days, model names or ages of keys.
    pub rows: Vec<(BillSubject, BillTotals)>,
    /// The sum of the rows.
    pub total: BillTotals,
}

/// What a row of a bill stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BillSubject {
    /// A day.
    Day(BillingDay),
    /// A month, as `yyyymm`.
    Month(i32),
    /// A model, which need not be in the catalogue any more.
    Model(ModelName),
    /// The console's playground, which calls without a key.
    Playground,
    /// A key, deleted ones included.
    Key {
        /// Its id.
        id: ApiKeyId,
        /// What its holder wrote about it.
        description: String,
        /// The last characters of its text.
        hint: String,
        /// Whether it works; `None` when its row is gone.
        status: Option<KeyStatus>,
    },
}

impl Platform {
    /// The calendar day that it is now in the zone of bills.
    pub fn today(&self) -> Date {
        self.shared.zone.to_datetime(self.shared.clock.now()).date()
    }

    /// Sums up what an account used and paid. Reads roll-ups only, so it is as fast for many calls
    /// as for few; calls of the last second may be missing.
    ///
    /// # Errors
    /// [`PlatformError::TooSlow`] or [`PlatformError::Storage`].
    pub async fn bill(
        &self,
        account: AccountId,
        range: BillRange,
        grouping: BillGrouping,
    ) -> Result<Bill, PlatformError> {
        let platform = self.clone();
        let reading = async move { platform.bill_rows(account, range, grouping).await };
        let rows = self.in_time(reading).await?;
        let mut total = BillTotals::default();
        for (_, row) in &rows {
            total.add(row);
        }
        Ok(Bill {
            range,
            grouping,
            rows,
            total,
        })
    }

    /// Waits for what somebody wants to read, but not for long.
    ///
    /// A database goes on with a statement that nobody waits for any more, and so does the
    /// connection. The reading therefore keeps its place among the readers until it really ends,
    /// or people who ask again and again would take all connections from the calls' money.
    pub(super) async fn in_time<T: Send + 'static>(
        &self,
        reading: impl Future<Output = Result<T, PlatformError>> + Send + 'static,
    ) -> Result<T, PlatformError> {
        let readers = Arc::clone(&self.shared.readers);
        let (mut answer, answered) = oneshot::channel();
        let task = async move {
            let place = tokio::select! {
                place = readers.acquire_owned() => place,
                () = answer.closed() => return,
            };
            // Never closed, so there is always a place in the end.
            let Ok(_place) = place else { return };
            let read = tokio::select! {
                read = reading => Some(read),
                () = given_up(&mut answer) => None,
            };
            // Nobody may be there to take it.
            let _ = read.map(|read| answer.send(read));
        };
        self.shared.readings.spawn(task.in_current_span());
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(read)) => read,
            Ok(Err(_)) | Err(_) => Err(PlatformError::TooSlow),
        }
    }

    async fn bill_rows(
        &self,
        account: AccountId,
        BillRange { first, last }: BillRange,
        grouping: BillGrouping,
    ) -> Result<Vec<(BillSubject, BillTotals)>, PlatformError> {
        let storage = &self.shared.storage;
        let rows = match grouping {
            BillGrouping::Day => named(
                bills::by_day(storage, account, first, last).await?,
                BillSubject::Day,
            ),
            BillGrouping::Month => by_month(&bills::by_day(storage, account, first, last).await?),
            BillGrouping::Model => named(
                bills::by_model(storage, account, first, last).await?,
                BillSubject::Model,
            ),
            BillGrouping::Key => {
                let rows = bills::by_key(storage, account, first, last).await?;
                let ids: Vec<ApiKeyId> = rows.iter().map(|(id, _)| *id).collect();
                let keys = api_keys::find_all(storage, account, &ids).await?;
                by_key(rows, keys)
            }
        };
        Ok(rows)
    }
}

/// Waits until nobody waits for an answer, and then for the statement that runs.
async fn given_up<T>(answer: &mut oneshot::Sender<T>) {
    answer.closed().await;
    tokio::time::sleep(LINGER).await;
}

fn named<T>(
    rows: impl IntoIterator<Item = (T, BillTotals)>,
    mut subject: impl FnMut(T) -> BillSubject,
) -> Vec<(BillSubject, BillTotals)> {
    let rows = rows.into_iter();
    rows.map(|(of, totals)| (subject(of), totals)).collect()
}

fn by_month(days: &[(BillingDay, BillTotals)]) -> Vec<(BillSubject, BillTotals)> {
    let mut months = BTreeMap::<i32, BillTotals>::new();
    for (day, totals) in days {
        months.entry(day.month()).or_default().add(totals);
    }
    named(months, BillSubject::Month)
}

fn by_key(rows: Vec<(ApiKeyId, BillTotals)>, keys: Vec<ApiKey>) -> Vec<(BillSubject, BillTotals)> {
    let mut keys: HashMap<ApiKeyId, ApiKey> = keys.into_iter().map(|key| (key.id, key)).collect();
    named(rows, |id| match keys.remove(&id) {
        _ if id == ApiKeyId::PLAYGROUND => BillSubject::Playground,
        Some(key) => BillSubject::Key {
            id,
            description: key.description,
            hint: key.hint,
            status: Some(key.status),
        },
        None => BillSubject::Key {
            id,
            description: String::new(),
            hint: String::new(),
            status: None,
        },
    })
}

#[cfg(test)]
mod tests {
    use silica_types::Money;

    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_are_in_order_and_bounded() {
        let range = BillRange::days(date("2025-02-13"), date("2025-02-13")).unwrap();
        assert_eq!(range.first(), range.last());
        assert!(BillRange::days(date("2022-02-14"), date("2025-02-13")).is_ok());
        for (first, last) in [
            ("2025-02-14", "2025-02-13"),
            ("2020-01-01", "2025-02-13"),
            ("-000001-12-31", "0000-01-01"),
        ] {
            assert!(
                BillRange::days(date(first), date(last)).is_err(),
                "{first} {last}"
            );
        }
        let month = BillRange::month_of(date("2024-02-13"));
        assert_eq!(month.last().to_string(), "2024-02-29");
    }

    #[test]
    fn months_are_the_sums_of_their_days() {
        let day = |text: &str, nano| {
            let totals = BillTotals {
                calls: 1,
                gift: Money::from_nano(nano),
                ..BillTotals::default()
            };
            (text.parse().unwrap(), totals)
        };
        let days = [day("2025-01-31", 1), day("2025-02-01", 2), day("2025-02-28", 4)];
        let months = by_month(&days);
        let shown: Vec<_> = months
            .iter()
            .map(|(subject, totals)| (subject.clone(), totals.calls, totals.gift.nano()))
            .collect();
        let expected = [
            (BillSubject::Month(202_501), 1, 1),
            (BillSubject::Month(202_502), 2, 6),
        ];
        assert_eq!(shown, expected);
    }
}
