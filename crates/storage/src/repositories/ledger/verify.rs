//! Compares sums with what they sum up. Finds differences and repairs none.

use std::collections::BTreeMap;

use sea_orm::sea_query::Value;
use sea_orm::{ConnectionTrait, QueryResult, Statement};
use silica_billing::BillingDay;
use silica_types::{AccountId, ApiKeyId, BucketId, Money};
use uuid::Uuid;

use super::TABLE;
use super::prune::first_kept;
use crate::error::driver;
use crate::{Discrepancy, Snapshot, Source, Storage, StorageError};

const FAILED: &str = "verify the ledger";
/// Buckets of one statement.
const BUCKETS: i32 = 1000;
/// Accounts of one statement.
const ACCOUNTS: i32 = 200;
/// Days that [`verify`] compares with their rows; earlier ones were, when they were new.
const DAYS: usize = 2;
/// What is found beyond this says nothing new.
const MOST: usize = 1000;

// One statement sees one state of the database, in SQLite and in PostgreSQL.
pub(super) const BALANCES: &str = "SELECT b.id, b.balance_nano, b.expired_nano, \
    CAST(COALESCE((SELECT SUM(c.amount_nano) FROM credits c WHERE c.bucket_id = b.id), 0) AS bigint) AS credited, \
    CAST(COALESCE((SELECT SUM(d.spent_nano) FROM bucket_days d WHERE d.bucket_id = b.id), 0) AS bigint) AS spent \
    FROM buckets b WHERE b.id > $1 ORDER BY b.id LIMIT $2";
const LAST_DAY: &str = "SELECT MAX(day) AS day FROM usage_days WHERE day < $1";
const NEXT_ACCOUNTS: &str = "SELECT DISTINCT account_id FROM usage_days WHERE day = $1 AND account_id > $2 ORDER BY account_id LIMIT $3";
pub(super) const USAGE_ROWS: &str = "SELECT account_id, key_id, model, \
    CAST(SUM(CASE WHEN position = 0 THEN 1 ELSE 0 END) AS bigint) AS calls, \
    CAST(SUM(CASE WHEN bucket_kind = 'voucher' THEN -amount_nano ELSE 0 END) AS bigint) AS voucher_nano, \
    CAST(SUM(CASE WHEN bucket_kind = 'gift' THEN -amount_nano ELSE 0 END) AS bigint) AS gift_nano, \
    CAST(SUM(CASE WHEN bucket_kind = 'charge' THEN -amount_nano ELSE 0 END) AS bigint) AS charge_nano, \
    CAST(SUM(shortfall_nano) AS bigint) AS shortfall_nano \
    FROM ledger WHERE day = $1 AND account_id > $2 AND account_id <= $3 AND kind = 'call' \
    GROUP BY account_id, key_id, model";
const USAGE_SUMS: &str = "SELECT account_id, key_id, model, calls, voucher_nano, gift_nano, charge_nano, \
    shortfall_nano FROM usage_days WHERE day = $1 AND account_id > $2 AND account_id <= $3";
const SPENDING_ROWS: &str = "SELECT bucket_id, CAST(SUM(-amount_nano) AS bigint) AS spent_nano \
    FROM ledger WHERE day = $1 AND account_id > $2 AND account_id <= $3 AND kind = 'call' \
    AND bucket_id IS NOT NULL GROUP BY bucket_id";
const SPENDING_SUMS: &str = "SELECT d.bucket_id, d.spent_nano FROM buckets b JOIN bucket_days d \
    ON d.bucket_id = b.id AND d.day = $1 WHERE b.account_id > $2 AND b.account_id <= $3";

/// Compares every balance with the sums behind it, and the sums of the last two days with the rows
/// of their calls. Returns at most a thousand differences.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn verify(storage: &Storage) -> Result<Vec<Discrepancy>, StorageError> {
    let mut found = balances(storage).await?;
    let mut before = i32::MAX;
    for _ in 0..DAYS {
        let rows = query(storage, LAST_DAY, [before.into()]).await?;
        let day: Option<i32> = rows.first().map(|row| get(row, "day")).transpose()?.flatten();
        let Some(day) = day.and_then(|day| BillingDay::from_number(day).ok()) else {
            break;
        };
        found.extend(verify_day(storage, day).await?);
        before = day.number();
    }
    found.truncate(MOST);
    Ok(found)
}

/// Compares the sums of one day with the rows of its calls; finds nothing on a day whose rows were
/// pruned. Returns at most a thousand differences.
///
/// # Errors
/// [`StorageError::Driver`] or [`StorageError::InvalidData`].
pub async fn verify_day(storage: &Storage, day: BillingDay) -> Result<Vec<Discrepancy>, StorageError> {
    let mut found = Vec::new();
    let mut after = Uuid::nil();
    while found.len() < MOST {
        let snapshot = storage.snapshot().await?;
        if day.number() < first_kept(&snapshot).await? {
            break;
        }
        let next = query(
            &snapshot,
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
        let stretch = [day.number().into(), after.into(), to.into()];
        usage(&snapshot, day, &stretch, &mut found).await?;
        spending(&snapshot, day, &stretch, &mut found).await?;
        if is_last {
            break;
        }
        after = to;
    }
    found.truncate(MOST);
    Ok(found)
}

async fn balances(storage: &Storage) -> Result<Vec<Discrepancy>, StorageError> {
    let mut found = Vec::new();
    let mut after = Uuid::nil();
    loop {
        let rows = query(storage, BALANCES, [after.into(), BUCKETS.into()]).await?;
        let Some(last) = rows.last() else {
            return Ok(found);
        };
        after = get(last, "id")?;
        for row in &rows {
            let bucket: Uuid = get(row, "id")?;
            let number = |column| get::<i64>(row, column).map(i128::from);
            let expected = number("credited")? - number("spent")? - number("expired_nano")?;
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

async fn usage(
    snapshot: &Snapshot,
    day: BillingDay,
    stretch: &[Value; 3],
    found: &mut Vec<Discrepancy>,
) -> Result<(), StorageError> {
    let mut both: BTreeMap<UsageKey, [[i64; COMPARED.len()]; 2]> = BTreeMap::new();
    for (side, sql) in [USAGE_SUMS, USAGE_ROWS].into_iter().enumerate() {
        for row in query(snapshot, sql, stretch.clone()).await? {
            let key = (
                get(&row, "account_id")?,
                get(&row, "key_id")?,
                get(&row, "model")?,
            );
            let mut numbers = [0; COMPARED.len()];
            for (number, column) in numbers.iter_mut().zip(COMPARED) {
                *number = get(&row, column)?;
            }
            both.entry(key).or_default()[side] = numbers;
        }
    }
    for ((account, key, model), [sums, rows]) in both {
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
    Ok(())
}

async fn spending(
    snapshot: &Snapshot,
    day: BillingDay,
    stretch: &[Value; 3],
    found: &mut Vec<Discrepancy>,
) -> Result<(), StorageError> {
    let mut both: BTreeMap<Uuid, [i64; 2]> = BTreeMap::new();
    for (side, sql) in [SPENDING_SUMS, SPENDING_ROWS].into_iter().enumerate() {
        for row in query(snapshot, sql, stretch.clone()).await? {
            both.entry(get(&row, "bucket_id")?).or_default()[side] = get(&row, "spent_nano")?;
        }
    }
    let differing = both
        .into_iter()
        .filter(|(_, [rolled_up, rows])| rolled_up != rows);
    found.extend(
        differing.map(|(bucket, [rolled_up, rows])| Discrepancy::Spending {
            day,
            bucket: BucketId::from_uuid(bucket),
            rolled_up: Money::from_nano(rolled_up),
            rows: Money::from_nano(rows),
        }),
    );
    Ok(())
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
