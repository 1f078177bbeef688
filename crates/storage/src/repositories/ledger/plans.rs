//! That questions which are asked often are answered by an index, however large the tables are.
//! SQLite tells its plans in one line a table; PostgreSQL has the same keys and indexes.

use sea_orm::sea_query::IntoTableRef;
use sea_orm::{ConnectionTrait, DbBackend, QueryTrait, Statement, StatementBuilder};
use silica_billing::BillingDay;
use silica_types::AccountId;
use uuid::Uuid;

use super::list::{next_day_query, of_day_query};
use super::prune::{border_query, stretch_deletion};
use super::verify;
use crate::entities::ledger_row;
use crate::repositories::bills;
use crate::{DatabaseUrl, LedgerCursor, Storage};

async fn plan(storage: &Storage, statement: Statement) -> String {
    let explain = Statement {
        sql: format!("EXPLAIN QUERY PLAN {}", statement.sql),
        ..statement
    };
    let rows = storage.writer().query_all_raw(explain).await.unwrap();
    let details = rows
        .iter()
        .map(|row| row.try_get::<String>("", "detail").unwrap());
    details.collect::<Vec<_>>().join("\n")
}

fn built(statement: &impl StatementBuilder) -> Statement {
    statement.build(&DbBackend::Sqlite)
}

#[tokio::test]
async fn frequent_questions_use_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::sqlite(folder.path().join("silica.db"));
    let storage = Storage::open(&url).await.unwrap();
    let (account, event) = (AccountId::from_uuid(Uuid::max()), Uuid::max());
    let day: BillingDay = "2025-02-14".parse().unwrap();
    let cursor = LedgerCursor {
        day,
        event,
        position: 0,
    };
    let (ledger, key) = (ledger_row::Entity.into_table_ref(), (1, event, event, 0));
    let place = || [event.into(), event.into(), 1.into()];
    let stretch: Vec<_> = [1.into()]
        .into_iter()
        .chain(place())
        .chain(place())
        .chain([1.into()])
        .collect();
    let raw = |sql| Statement::from_sql_and_values(DbBackend::Sqlite, sql, stretch.clone());
    for (question, statement, expected) in [
        (
            "a bill",
            built(&bills::bill_query(
                account,
                day,
                day,
                crate::entities::usage_day::Column::Day,
            )),
            "SEARCH usage_days USING PRIMARY KEY (account_id=? AND day>? AND day<?)",
        ),
        (
            "the roll-ups of days",
            built(&bills::stretch_query(
                &(1, event, event, String::new()),
                202_502,
                &[crate::entities::usage_day::Column::Calls],
            )),
            "SEARCH usage_days USING INDEX usage_days_by_day ((day,account_id,key_id,model)>(?,?,?,?) AND day<?)",
        ),
        (
            "the next day of an account: calls",
            built(&next_day_query(account, 1, 1)),
            "SEARCH usage_days USING PRIMARY KEY (account_id=? AND day>?)",
        ),
        (
            "the next day of an account: credits",
            built(&next_day_query(account, 1, 1)),
            "SEARCH credits USING COVERING INDEX credits_by_day (account_id=? AND day>?)",
        ),
        (
            "the next day of an account: ended vouchers",
            built(&next_day_query(account, 1, 1)),
            "SEARCH buckets USING COVERING INDEX buckets_by_expired_day (account_id=? AND expired_day>?)",
        ),
        (
            "a page of the ledger",
            of_day_query(account, day, Some(cursor), 10).build(DbBackend::Sqlite),
            "SEARCH ledger USING PRIMARY KEY (day=? AND account_id=? AND (event_id,position)>(?,?))",
        ),
        (
            "where a stretch to delete ends",
            built(&border_query(&ledger, day, Some(key))),
            "SEARCH ledger USING PRIMARY KEY ((day,account_id,event_id,position)>(?,?,?,?) AND day<?)",
        ),
        (
            "a stretch to delete",
            built(&stretch_deletion(&ledger, day, Some(key), Some(key))),
            "SEARCH ledger USING PRIMARY KEY",
        ),
        (
            "balances to verify",
            raw(verify::BALANCES),
            "SEARCH c USING INDEX credits_by_bucket (bucket_id=?)",
        ),
        (
            "balances to verify: packages",
            raw(verify::BALANCES),
            "SEARCH p USING INDEX level_packages_by_bucket (charge_bucket_id=?)",
        ),
        (
            "rows to verify",
            raw(verify::SUM_OF_ROWS),
            "SEARCH ledger USING PRIMARY KEY (day=? AND (account_id,event_id,position)>(?,?,?) AND (account_id,event_id,position)<(?,?,?))",
        ),
        (
            "where rows to verify end",
            raw(verify::NEXT_ROWS),
            "SEARCH ledger USING PRIMARY KEY (day=? AND (account_id,event_id,position)>(?,?,?) AND (account_id,event_id,position)<(?,?,?))",
        ),
    ] {
        let plan = plan(&storage, statement).await;
        assert!(plan.contains(expected), "{question}:\n{plan}");
        assert!(
            !plan.contains("SCAN ledger") && !plan.contains("SCAN usage_days"),
            "{question}:\n{plan}"
        );
        assert!(!plan.contains("TEMP B-TREE FOR ORDER BY"), "{question}:\n{plan}");
    }
}
