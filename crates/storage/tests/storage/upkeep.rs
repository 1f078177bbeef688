use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};
use silica_billing::{BillingDay, BucketKind, UsageEvent};
use silica_storage::{Discrepancy, LedgerCause, Storage, bills, buckets, ledger};
use silica_testkit::database::{self, TestDatabase};
use silica_testkit::on_each_database;
use silica_types::{AccountId, Money};

use super::money::{call, charged, credit, day, free_call, money, new_account, store, voucher};
use super::records::{later, time};

fn on(day: &str) -> BillingDay {
    day.parse().unwrap()
}

fn call_on(day: &str, event: UsageEvent) -> UsageEvent {
    UsageEvent {
        day: on(day),
        ..event
    }
}

/// Counts an account's rows by the days they stand on: calls, and others.
async fn rows(storage: &Storage, account: AccountId) -> Vec<(String, bool)> {
    let rows = ledger::list(storage, account, None, 10_000).await.unwrap().rows;
    let rows = rows.into_iter();
    rows.map(|row| (row.day.to_string(), matches!(row.cause, LedgerCause::Call(_))))
        .collect()
}

on_each_database! {
    async fn pruning_deletes_old_calls_and_keeps_sums_credits_and_ends(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let charge = store(&storage, &credit(account, BucketKind::Charge, "100")).await;
        let ended = store(&storage, &voucher(account, "1", time())).await;
        buckets::expire(&storage, later(), &[], later(), day()).await.unwrap();
        // More calls than one stretch of the deletion takes.
        let events: Vec<_> = (0..2300)
            .map(|index| call_on(["2025-02-12", "2025-02-13", "2025-02-14"][index % 3], call(&[(&charge, "0.01")])))
            .chain([call_on("2025-02-15", call(&[(&charge, "1")])), call_on("2025-02-16", free_call(account))])
            .collect();
        for batch in events.chunks(500) {
            ledger::apply(&storage, batch).await.unwrap();
        }
        let bill = bills::by_day(&storage, account, on("2025-01-01"), on("2025-12-31")).await.unwrap();

        for _ in 0..2 {
            ledger::prune(&storage, on("2025-02-15")).await.unwrap();
            let left = rows(&storage, account).await;
            let kept = |day: &str, is_call| (day.to_owned(), is_call);
            assert_eq!(left, [kept("2025-02-14", false), kept("2025-02-14", false), kept("2025-02-14", false),
                kept("2025-02-15", true), kept("2025-02-16", true)]);
        }
        assert_eq!(bills::by_day(&storage, account, on("2025-01-01"), on("2025-12-31")).await.unwrap(), bill);
        assert_eq!(ledger::verify(&storage).await.unwrap(), []);
        assert_eq!(ledger::verify_day(&storage, on("2025-02-13")).await.unwrap(), [], "pruned days are not compared");
        assert_eq!(buckets::of_account(&storage, account).await.unwrap()[0].balance, money("76"));
        assert_ne!(ended.id, charge.id);

        // A call of a pruned day that comes late is booked, and goes with the next pruning.
        let late = call_on("2025-02-13", call(&[(&charge, "1")]));
        ledger::apply(&storage, std::slice::from_ref(&late)).await.unwrap();
        assert_eq!(ledger::apply(&storage, std::slice::from_ref(&late)).await.unwrap().known, 1);
        assert_eq!(rows(&storage, account).await.len(), 5, "no pruned day is looked at for calls");
        ledger::prune(&storage, on("2025-02-15")).await.unwrap();
        assert_eq!(ledger::apply(&storage, &[late]).await.unwrap().known, 0, "its row is gone");
        ledger::prune(&storage, on("2025-02-15")).await.unwrap();
        assert_eq!(rows(&storage, account).await.len(), 5);
        ledger::prune(&storage, on("2025-02-10")).await.unwrap();
        assert_eq!(rows(&storage, account).await.len(), 5, "an earlier border brings nothing back");
        assert_eq!(ledger::verify(&storage).await.unwrap(), []);
    }

    async fn ledger_of_an_account_is_read_without_its_pruned_days(database) {
        let storage = database.storage();
        let charge = charged(&storage, "100").await;
        let events = [call_on("2025-02-13", free_call(charge.account)), call_on("2025-02-16", free_call(charge.account))];
        ledger::apply(&storage, &events).await.unwrap();
        ledger::prune(&storage, on("2025-02-15")).await.unwrap();
        // Whoever looked at the pruned day would fail.
        database.sabotage("UPDATE usage_days SET day = 7 WHERE day = 20250213").await;
        assert_eq!(rows(&storage, charge.account).await, [("2025-02-14".to_owned(), false), ("2025-02-16".to_owned(), true)]);
    }

    async fn pruning_an_empty_ledger_is_fine(database) {
        ledger::prune(&database.storage(), on("2025-02-15")).await.unwrap();
    }

    async fn every_sum_that_does_not_agree_is_found(database) {
        let storage = database.storage();
        let charge = charged(&storage, "10").await;
        let other = charged(&storage, "10").await;
        ledger::apply(&storage, &[call(&[(&charge, "1")]), call(&[(&other, "2")])]).await.unwrap();
        assert_eq!(ledger::verify(&storage).await.unwrap(), []);

        database.sabotage("UPDATE buckets SET balance_nano = balance_nano + 1 WHERE balance_nano = 9000000000").await;
        let [found] = &ledger::verify(&storage).await.unwrap()[..] else { panic!() };
        assert_eq!(*found, Discrepancy::Balance {
            bucket: charge.id, balance: Money::from_nano(9_000_000_001), expected: money("9"),
        });
        assert!(found.to_string().contains(&charge.id.to_string()), "{found}");
        database.sabotage("UPDATE buckets SET balance_nano = balance_nano - 1 WHERE balance_nano = 9000000001").await;

        database.sabotage("UPDATE usage_days SET calls = 3 WHERE charge_nano = 2000000000").await;
        let [Discrepancy::Usage { account, what: "calls", rolled_up: 3, rows: 1, .. }] =
            &ledger::verify(&storage).await.unwrap()[..] else { panic!() };
        assert_eq!(*account, other.account);
        database.sabotage("DELETE FROM usage_days WHERE calls = 3").await;
        let found = ledger::verify(&storage).await.unwrap();
        assert_eq!(found.len(), 2, "a missing sum differs in calls and charge: {found:?}");

        database.sabotage("DELETE FROM ledger WHERE amount_nano = -1000000000").await;
        let found = ledger::verify_day(&storage, day()).await.unwrap();
        let lost = Discrepancy::Spending { day: day(), bucket: charge.id, rolled_up: money("1"), rows: Money::ZERO };
        assert!(found.contains(&lost), "{found:?}");
    }

    async fn rows_of_a_busy_account_are_compared_in_parts(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        let gift = store(&storage, &credit(account, BucketKind::Gift, "100")).await;
        let charge = store(&storage, &credit(account, BucketKind::Charge, "100")).await;
        let events: Vec<_> = (0..2600).map(|_| call(&[(&gift, "0.01"), (&charge, "0.02")])).collect();
        for batch in events.chunks(500) {
            ledger::apply(&storage, batch).await.unwrap();
        }
        ledger::apply(&storage, &[call(&[(&charged(&storage, "1").await, "1")])]).await.unwrap();
        assert_eq!(ledger::verify(&storage).await.unwrap(), []);
        let last = "SELECT event_id FROM ledger WHERE position = 1 ORDER BY event_id DESC LIMIT 1";
        let sql = format!("UPDATE ledger SET amount_nano = 0 WHERE position = 1 AND event_id = ({last})");
        database.sabotage(&sql).await;
        let found = ledger::verify_day(&storage, day()).await.unwrap();
        assert!(matches!(found[..], [Discrepancy::Usage { what: "charge_nano", .. }, Discrepancy::Spending { .. }]), "{found:?}");
    }

    async fn vouchers_that_ended_long_ago_are_not_compared(database) {
        let storage = database.storage();
        let account = new_account(&storage).await;
        store(&storage, &voucher(account, "1", time())).await;
        buckets::expire(&storage, later(), &[], later(), day()).await.unwrap();
        ledger::apply(&storage, &[call_on("2025-03-10", free_call(account))]).await.unwrap();
        database.sabotage("UPDATE buckets SET balance_nano = 1").await;
        assert_eq!(ledger::verify(&storage).await.unwrap().len(), 1, "less than a month");
        ledger::apply(&storage, &[call_on("2025-04-01", free_call(account))]).await.unwrap();
        assert_eq!(ledger::verify(&storage).await.unwrap(), []);
    }

    async fn sums_of_many_accounts_are_compared_in_stretches(database) {
        let storage = database.storage();
        let mut buckets = Vec::new();
        for _ in 0..401 {
            buckets.push(charged(&storage, "1").await);
        }
        let events: Vec<_> = buckets.iter().map(|bucket| call(&[(bucket, "0.5")])).collect();
        ledger::apply(&storage, &events).await.unwrap();
        assert_eq!(ledger::verify(&storage).await.unwrap(), []);
        database.sabotage("UPDATE bucket_days SET spent_nano = spent_nano + 1").await;
        let found = ledger::verify(&storage).await.unwrap();
        assert_eq!(found.len(), 802, "each in the balance and in the day");
    }
}

/// Asks PostgreSQL for a list of texts.
async fn texts(database: &TestDatabase, sql: &str) -> Vec<String> {
    let connection = Database::connect(database.url_text()).await.unwrap();
    let rows = connection
        .query_all_raw(Statement::from_string(DbBackend::Postgres, sql))
        .await
        .unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

const PARTITIONS: &str =
    "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'ledger'::regclass ORDER BY 1";

#[tokio::test]
async fn postgres_has_a_partition_for_each_day_and_drops_it_whole() {
    let database = database::postgres().await;
    let storage = database.storage();
    // Credited before the day has a partition: the row waits in the rest and moves.
    let charge = charged(&storage, "10").await;
    assert_eq!(texts(&database, PARTITIONS).await, ["ledger_rest"]);
    ledger::apply(&storage, &[call(&[(&charge, "1")])]).await.unwrap();
    let made = [
        "ledger_20250214",
        "ledger_20250215",
        "ledger_20250216",
        "ledger_rest",
    ];
    assert_eq!(texts(&database, PARTITIONS).await, made);
    let places = "SELECT tableoid::regclass::text FROM ledger";
    assert_eq!(texts(&database, places).await, ["ledger_20250214"; 2]);

    // Another process knows nothing of them, and finds them.
    let other = database.reopen().await;
    ledger::apply(&other, &[call_on("2025-02-15", call(&[(&charge, "1")]))])
        .await
        .unwrap();
    let made = [
        "ledger_20250214",
        "ledger_20250215",
        "ledger_20250216",
        "ledger_20250217",
        "ledger_rest",
    ];
    assert_eq!(texts(&database, PARTITIONS).await, made);

    ledger::prune(&storage, on("2025-02-16")).await.unwrap();
    assert_eq!(
        texts(&database, PARTITIONS).await,
        ["ledger_20250216", "ledger_20250217", "ledger_rest"]
    );
    assert_eq!(
        texts(&database, places).await,
        ["ledger_rest"],
        "the credit is kept"
    );

    // The first process believes that the day has a partition still; the rest takes the row.
    ledger::apply(&storage, &[call_on("2025-02-14", call(&[(&charge, "1")]))])
        .await
        .unwrap();
    assert_eq!(texts(&database, places).await, ["ledger_rest"; 2]);
    let third = database.reopen().await;
    ledger::apply(&third, &[call_on("2025-02-14", free_call(charge.account))])
        .await
        .unwrap();
    assert_eq!(texts(&database, places).await, ["ledger_20250214"; 3]);
    ledger::prune(&storage, on("2025-02-16")).await.unwrap();
    assert_eq!(texts(&database, places).await, ["ledger_rest"]);
}

#[tokio::test]
async fn postgres_books_calls_while_a_reader_keeps_partitions_from_being_made() {
    let database = database::postgres().await;
    let storage = database.storage();
    let charge = charged(&storage, "10").await;
    let reader = storage.snapshot().await.unwrap();
    ledger::list(&reader, charge.account, None, 10).await.unwrap();

    let applied = ledger::apply(&storage, &[call(&[(&charge, "1")])]).await.unwrap();
    assert_eq!(applied.new, 1);
    assert_eq!(texts(&database, PARTITIONS).await, ["ledger_rest"]);
    drop(reader);
    ledger::apply(&database.reopen().await, &[call(&[(&charge, "1")])])
        .await
        .unwrap();
    assert_eq!(
        texts(&database, "SELECT tableoid::regclass::text FROM ledger").await,
        ["ledger_20250214"; 3]
    );
    assert_eq!(ledger::verify(&storage).await.unwrap(), []);
}

#[tokio::test]
async fn postgres_books_calls_when_it_refuses_to_make_partitions() {
    let database = database::postgres().await;
    let storage = database.storage();
    let charge = charged(&storage, "10").await;
    // An operator's table, or one that a restored backup has left outside.
    database
        .sabotage("CREATE TABLE ledger_20250214 (day integer)")
        .await;
    for _ in 0..2 {
        let applied = ledger::apply(&storage, &[call(&[(&charge, "1")])]).await.unwrap();
        assert_eq!(applied.new, 1);
    }
    let places = texts(&database, "SELECT tableoid::regclass::text FROM ledger").await;
    assert_eq!(places, ["ledger_rest"; 3]);
    assert_eq!(ledger::verify(&storage).await.unwrap(), []);
}

#[tokio::test]
async fn postgres_processes_that_make_a_partition_at_once_both_book() {
    let database = database::postgres().await;
    let charge = charged(&database.storage(), "10").await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let storage = database.reopen().await;
        let event = call(&[(&charge, "1")]);
        tasks.spawn(async move { ledger::apply(&storage, &[event]).await.unwrap() });
    }
    assert_eq!(
        tasks
            .join_all()
            .await
            .iter()
            .map(|applied| applied.new)
            .sum::<usize>(),
        4
    );
    assert_eq!(
        buckets::all(&database.storage()).await.unwrap()[0].balance,
        money("6")
    );
}

#[tokio::test]
async fn postgres_that_restarts_again_and_again_loses_and_doubles_no_call() {
    let database = database::postgres().await;
    let storage = database.storage();
    let charge = charged(&storage, "100").await;
    let events: Vec<_> = (0..600).map(|_| call(&[(&charge, "0.01")])).collect();
    let mut failures = 0;
    for (number, batch) in events.chunks(60).enumerate() {
        if number % 2 == 0 {
            tokio::join!(database.cut_connections(), async {
                failures += u32::from(ledger::apply(&storage, batch).await.is_err());
            });
        }
        while ledger::apply(&storage, batch).await.is_err() {
            failures += 1;
            assert!(failures < 100, "the database is back");
        }
    }
    let bill = bills::by_day(&storage, charge.account, day(), day())
        .await
        .unwrap()[0]
        .1;
    assert_eq!(
        (bill.calls, bill.charge, bill.shortfall),
        (600, money("6"), Money::ZERO)
    );
    assert_eq!(ledger::verify(&storage).await.unwrap(), []);
}
