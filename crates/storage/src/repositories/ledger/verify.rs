//! Compares sums with what they sum up. Finds differences and repairs none.

use std::collections::BTreeMap;
use std::ops::Range;

use sea_orm::sea_query::Value;
use sea_orm::{ConnectionTrait, QueryResult, Statement};
use silica_billing::BillingDay;
use silica_types::{AccountId, ApiKeyId, BucketId, Money};
use uuid::Uuid;

use super::TABLE;
use super::prune::first_kept;
use crate::error::driver;
use crate::{Discrepancy, Source, Storage, StorageError};

const FAILED: &str = "verify the ledger";
/// Buckets of one statement, each with the credits and the days of its whole life.
const BUCKETS: i32 = 100;
/// Accounts whose sums are compared at one moment.
const ACCOUNTS: i32 = 50;
/// Rows of one statement.
const ROWS: i64 = 5000;
/// Nobody spends from a voucher that was closed so much before a day: a month, in numbers `yyyymmdd`.
const MONTH: i32 = 100;
/// Days that [`verify`] compares with their rows; earlier ones were, when they were new.
const DAYS: usize = 2;
/// What is found beyond this says nothing new.
const MOST: usize = 1000;

// One statement sees one state of the database, in SQLite and in PostgreSQL.
pub(super) const BALANCES: &str = "SELECT b.id, b.balance_nano, b.expired_nano, \
    CAST(COALESCE((SELECT SUM(c.amount_nano) FROM credits c WHERE c.bucket_id = b.id), 0) AS bigint) AS credited, \
    CAST(COALESCE((SELECT SUM(d.spent_nano) FROM bucket_days d WHERE d.bucket_id = b.id), 0) AS bigint) AS spent, \
    CAST(COALESCE((SELECT SUM(p.price_nano) FROM level_packages p WHERE p.charge_bucket_id = b.id), 0) AS bigint) AS packages \
    FROM buckets b WHERE b.id > $1 AND (b.expired_day IS NULL OR b.expired_day >= $3) ORDER BY b.id LIMIT $2";
const LAST_DAY: &str = "SELECT MAX(day) AS day FROM usage_days WHERE day < $1";
const NEXT_ACCOUNTS: &str = "SELECT DISTINCT account_id FROM usage_days WHERE day = $1 AND account_id > $2 ORDER BY account_id LIMIT $3";
pub(super) const NEXT_ROWS: &str = "SELECT account_id, event_id, position FROM ledger \
    WHERE day = $1 AND (account_id, event_id, position) > ($2, $3, $4) \
    AND (account_id, event_id, position) <= ($5, $6, $7) \
    ORDER BY account_id, event_id, position LIMIT 1 OFFSET $8";
pub(super) const SUM_OF_ROWS: &str = "SELECT account_id, key_id, model, bucket_id, bucket_kind, \
    CAST(SUM(CASE WHEN position = 0 THEN 1 ELSE 0 END) AS bigint) AS calls, \
    CAST(SUM(-amount_nano) AS bigint) AS spent_nano, CAST(SUM(shortfall_nano) AS bigint) AS shortfall_nano \
    FROM ledger WHERE day = $1 AND (account_id, event_id, position) > ($2, $3, $4) \
    AND (account_id, event_id, position) <= ($5, $6, $7) AND kind = 'call' \
    GROUP BY account_id, key_id, model, bucket_id, bucket_kind";
const USAGE_SUMS: &str = "SELECT account_id, key_id, model, calls, voucher_nano, gift_nano, charge_nano, \
    shortfall_nano FROM usage_days WHERE day = $1 AND account_id > $2 AND account_id <= $3";
const SPENDING_SUMS: &str = "SELECT d.bucket_id, d.spent_nano FROM buckets b JOIN bucket_days d \
    ON d.bucket_id = b.id AND d.day = $1 WHERE b.account_id > $2 AND b.account_id <= $3 \
    AND (b.expired_day IS NULL OR b.expired_day >= $4)";

/// Compares every balance with the sums behind it, but for vouchers that were closed a month before
/// the last call, and the sums of the last two days with the rows of their calls. Returns at most a
/// thousand differences.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn verify(storage: &Storage) -> Result<Vec<Discrepancy>, StorageError> {
    let days = last_days(storage).await?;
    let mut found = balances(storage, recent(&days)).await?;
    for day in days {
        found.extend(verify_day(storage, day).await?);
    }
    found.truncate(MOST);
    Ok(found)
}

/// As [`verify`], in one transaction of the caller's.
pub(in crate::repositories) async fn verify_in(
    source: &impl Source,
) -> Result<Vec<Discrepancy>, StorageError> {
    let days = last_days(source).await?;
    let mut found = balances(source, recent(&days)).await?;
    for day in days {
        let mut after = Some(Uuid::nil());
        while let Some(account) = after.filter(|_| found.len() < MOST) {
            after = next_accounts(source, day, account, &mut found).await?;
        }
    }
    found.truncate(MOST);
    Ok(found)
}

/// The last days that have calls, the latest first.
async fn last_days(source: &impl Source) -> Result<Vec<BillingDay>, StorageError> {
    let mut days = Vec::new();
    let mut before = i32::MAX;
    for _ in 0..DAYS {
        let rows = query(source, LAST_DAY, [before.into()]).await?;
        let day: Option<i32> = rows.first().map(|row| get(row, "day")).transpose()?.flatten();
        let Some(day) = day.and_then(|day| BillingDay::from_number(day).ok()) else {
            break;
        };
        before = day.number();
        days.push(day);
    }
    Ok(days)
}

/// The day from which on vouchers that ended are compared.
fn recent(days: &[BillingDay]) -> i32 {
    days.first().map_or(0, |day| day.number() - MONTH)
}

/// Compares the sums of one day with the rows of its calls; finds nothing on a day whose rows were
/// pruned. Returns at most a thousand differences.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn verify_day(storage: &Storage, day: BillingDay) -> Result<Vec<Discrepancy>, StorageError> {
    let mut found = Vec::new();
    let mut after = Some(Uuid::nil());
    while let Some(account) = after.filter(|_| found.len() < MOST) {
        let snapshot = storage.snapshot().await?;
        after = next_accounts(&snapshot, day, account, &mut found).await?;
    }
    found.truncate(MOST);
    Ok(found)
}

/// Compares the sums of the next accounts after `after`; returns the last of them, `None` when there
/// are no more.
async fn next_accounts(
    source: &impl Source,
    day: BillingDay,
    after: Uuid,
    found: &mut Vec<Discrepancy>,
) -> Result<Option<Uuid>, StorageError> {
    if day.number() < first_kept(source).await? {
        return Ok(None);
    }
    let next = query(
        source,
        NEXT_ACCOUNTS,
        [day.number().into(), after.into(), ACCOUNTS.into()],
    )
    .await?;
    let is_last = i32::try_from(next.len()).is_ok_and(|count| count < ACCOUNTS);
    let to: Uuid = match next.last() {
        // The last stretch is open, so that rows without any sum are seen, too.
        Some(row) if !is_last => get(row, "account_id")?,
        _ => Uuid::max(),
    };
    stretch(source, day, after..to, found).await?;
    Ok((!is_last).then_some(to))
}

async fn balances(source: &impl Source, ended_from: i32) -> Result<Vec<Discrepancy>, StorageError> {
    let mut found = Vec::new();
    let mut after = Uuid::nil();
    loop {
        let rows = query(
            source,
            BALANCES,
            [after.into(), BUCKETS.into(), ended_from.into()],
        )
        .await?;
        let Some(last) = rows.last() else {
            return Ok(found);
        };
        after = get(last, "id")?;
        for row in &rows {
            let bucket: Uuid = get(row, "id")?;
            let number = |column| get::<i64>(row, column).map(i128::from);
            let expected =
                number("credited")? - number("spent")? - number("packages")? - number("expired_nano")?;
            let balance: i64 = get(row, "balance_nano")?;
            if i128::from(balance) != expected || balance < 0 {
                let limited = expected.clamp(i64::MIN.into(), i64::MAX.into());
                found.push(Discrepancy::Balance {
                    bucket: BucketId::from_uuid(bucket),
                    balance: Money::from_nano(balance),
                    expected: Money::from_nano(i64::try_from(limited).unwrap_or(i64::MAX)),
                });
            }
        }
        if found.len() >= MOST {
            return Ok(found);
        }
    }
}

const COMPARED: [&str; 5] = [
    "calls",
    "voucher_nano",
    "gift_nano",
    "charge_nano",
    "shortfall_nano",
];
type UsageKey = (Uuid, Uuid, String);
/// A roll-up's numbers in the order of [`COMPARED`]: as rolled up, and as the rows say.
type Both<const NUMBERS: usize> = [[i64; NUMBERS]; 2];

/// The sums of some accounts, from both sides.
#[derive(Default)]
struct Sums {
    usage: BTreeMap<UsageKey, Both<{ COMPARED.len() }>>,
    spending: BTreeMap<Uuid, [i64; 2]>,
}

/// Compares the sums of the accounts after `accounts.start` up to `accounts.end`, as the source
/// shows them.
async fn stretch(
    source: &impl Source,
    day: BillingDay,
    accounts: Range<Uuid>,
    found: &mut Vec<Discrepancy>,
) -> Result<(), StorageError> {
    let mut sums = Sums::default();
    let range: [Value; 3] = [day.number().into(), accounts.start.into(), accounts.end.into()];
    for row in query(source, USAGE_SUMS, range.clone()).await? {
        let numbers = &mut sums.usage.entry(usage_key(&row)?).or_default()[0];
        for (number, column) in numbers.iter_mut().zip(COMPARED) {
            *number = get(&row, column)?;
        }
    }
    let recent = Value::from(day.number() - MONTH);
    for row in query(source, SPENDING_SUMS, range.into_iter().chain([recent])).await? {
        sums.spending.entry(get(&row, "bucket_id")?).or_default()[0] = get(&row, "spent_nano")?;
    }
    // An account may have more rows than one statement can read in its time.
    let end = (accounts.end, Uuid::max(), i32::MAX);
    let mut after = (accounts.start, Uuid::max(), i32::MAX);
    loop {
        let border = border(source, day, after, end).await?;
        let part = part(day, after, border.unwrap_or(end));
        for row in query(source, SUM_OF_ROWS, part).await? {
            sums.add(&row)?;
        }
        match border {
            Some(border) => after = border,
            None => break,
        }
    }
    sums.compare(day, found);
    Ok(())
}

/// The key of a row in its day.
type Place = (Uuid, Uuid, i32);

fn part(day: BillingDay, after: Place, to: Place) -> Vec<Value> {
    let mut values = vec![day.number().into()];
    for (account, event, position) in [after, to] {
        values.extend([account.into(), event.into(), position.into()]);
    }
    values
}

/// Finds the last row of the part that begins after `after`; `None` for the last part.
async fn border(
    source: &impl Source,
    day: BillingDay,
    after: Place,
    end: Place,
) -> Result<Option<Place>, StorageError> {
    let mut values = part(day, after, end);
    values.push((ROWS - 1).into());
    let rows = query(source, NEXT_ROWS, values).await?;
    let place = |row: &QueryResult| {
        Ok((
            get(row, "account_id")?,
            get(row, "event_id")?,
            get(row, "position")?,
        ))
    };
    rows.first().map(place).transpose()
}

fn usage_key(row: &QueryResult) -> Result<UsageKey, StorageError> {
    Ok((get(row, "account_id")?, get(row, "key_id")?, get(row, "model")?))
}

impl Sums {
    /// Adds what some rows of an account, a key, a model and a bucket say.
    fn add(&mut self, row: &QueryResult) -> Result<(), StorageError> {
        let spent: i64 = get(row, "spent_nano")?;
        let kind: Option<String> = get(row, "bucket_kind")?;
        let of = |name| if kind.as_deref() == Some(name) { spent } else { 0 };
        let numbers = [
            get(row, "calls")?,
            of("voucher"),
            of("gift"),
            of("charge"),
            get(row, "shortfall_nano")?,
        ];
        let sums = &mut self.usage.entry(usage_key(row)?).or_default()[1];
        for (sum, number) in sums.iter_mut().zip(numbers) {
            *sum = sum.saturating_add(number);
        }
        if let Some(bucket) = get::<Option<Uuid>>(row, "bucket_id")? {
            let sum = &mut self.spending.entry(bucket).or_default()[1];
            *sum = sum.saturating_add(spent);
        }
        Ok(())
    }

    fn compare(self, day: BillingDay, found: &mut Vec<Discrepancy>) {
        for ((account, key, model), [sums, rows]) in self.usage {
            for (what, (rolled_up, rows)) in COMPARED.into_iter().zip(sums.into_iter().zip(rows)) {
                if rolled_up != rows {
                    found.push(Discrepancy::Usage {
                        day,
                        account: AccountId::from_uuid(account),
                        key: ApiKeyId::from_uuid(key),
                        model: model.clone(),
                        what,
                        rolled_up,
                        rows,
                    });
                }
            }
        }
        for (bucket, [rolled_up, rows]) in self.spending {
            if rolled_up != rows {
                found.push(Discrepancy::Spending {
                    day,
                    bucket: BucketId::from_uuid(bucket),
                    rolled_up: Money::from_nano(rolled_up),
                    rows: Money::from_nano(rows),
                });
            }
        }
    }
}

async fn query(
    source: &impl Source,
    sql: &'static str,
    values: impl IntoIterator<Item = Value>,
) -> Result<Vec<QueryResult>, StorageError> {
    let connection = source.executor().0;
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
    connection
        .query_all_raw(statement)
        .await
        .map_err(driver(FAILED, TABLE))
}

fn get<T: sea_orm::TryGetable>(row: &QueryResult, column: &str) -> Result<T, StorageError> {
    row.try_get("", column).map_err(driver(FAILED, TABLE))
}
