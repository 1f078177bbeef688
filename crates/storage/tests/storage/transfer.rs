//! Moving everything from one database to another.

mod filled;

use std::time::Duration;

use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::sqlx::{self, ConnectOptions as _};
use sea_orm::{ConnectionTrait, Database, Statement};
use silica_billing::BucketKind;
use silica_storage::transfer::{self, Outcome, Progress, Step, TableContent, TransferError, Transferred};
use silica_storage::{DatabaseUrl, Storage, ledger, prices, revisions};
use silica_testkit::database::{self, EmptyDatabase, TestDatabase};
use tokio::sync::oneshot;

use self::filled::{FIRST_KEPT, fill, price, state};
use super::money::{call, charged, credit, new_account, store};
use super::records::begin_catalogue;

/// Fills a database and leaves it alone, as a server that has ended would.
async fn source(database: TestDatabase) -> TestDatabase {
    fill(&database.storage()).await;
    database.storage().close().await.unwrap();
    database
}

async fn run(from: &DatabaseUrl, to: &DatabaseUrl) -> Result<Transferred, TransferError> {
    Box::pin(transfer::run(from, to, &mut |_| ())).await
}

/// Asks a database of either kind for a list of texts.
async fn texts(url: &str, sql: &str) -> Vec<String> {
    let connection = Database::connect(url).await.unwrap();
    let query = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(query).await.unwrap();
    let texts = rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
    connection.close().await.unwrap();
    texts
}

/// Moves a filled database, and looks at the other one as a server would.
async fn moves(from: TestDatabase, to: EmptyDatabase) {
    let from = source(from).await;
    let mut steps: Vec<Progress> = Vec::new();
    let moved = Box::pin(transfer::run(from.url(), to.url(), &mut |step| steps.push(step))).await;
    let moved = moved.unwrap();
    assert_eq!(moved.outcome, Outcome::Copied);
    assert!(moved.comparison.is_same());
    assert_eq!(moved.comparison.source_discrepancies, []);
    for step in [Step::Copying, Step::Comparing] {
        let ledger = steps
            .iter()
            .filter(|told| told.step == step && told.table == "ledger");
        let rows: Vec<_> = ledger.map(|told| told.rows).collect();
        assert!(
            rows.len() > 4 && rows.is_sorted(),
            "several pages of several days: {rows:?}"
        );
        let told = steps
            .iter()
            .rfind(|told| told.step == step && told.table == "ledger")
            .unwrap();
        assert_eq!(told.rows, told.of);
    }

    let again = run(from.url(), to.url()).await.unwrap();
    assert_eq!(
        (again.outcome, again.comparison),
        (Outcome::WasThere, moved.comparison)
    );

    let (old, new) = (from.reopen().await, Storage::open(to.url()).await.unwrap());
    assert_eq!(state(&new).await, state(&old).await);
    assert_eq!(ledger::verify(&new).await.unwrap(), []);
    goes_on(&old, &new).await;
}

/// Changes follow where the old database stopped.
async fn goes_on(old: &Storage, new: &Storage) {
    let before = prices::all(old).await.unwrap();
    let write = begin_catalogue(new).await;
    let version = prices::insert(&write, &price("m/a", "9")).await.unwrap();
    let number = write.commit().await.unwrap();
    assert_eq!(version.0, before.last().unwrap().0.0 + 1);
    assert_eq!(number, revisions::current(old).await.unwrap().latest + 1);
    let charge = charged(new, "10").await;
    ledger::apply(new, &[call(&[(&charge, "1.000000001")])])
        .await
        .unwrap();
    assert_eq!(ledger::verify(new).await.unwrap(), []);
}

#[tokio::test]
async fn sqlite_moves_to_postgres() {
    moves(database::sqlite().await, database::empty_postgres().await).await;
}

#[tokio::test]
async fn postgres_moves_to_sqlite() {
    moves(database::postgres().await, database::empty_sqlite()).await;
}

#[tokio::test]
async fn sqlite_moves_to_sqlite() {
    moves(database::sqlite().await, database::empty_sqlite()).await;
}

#[tokio::test]
async fn postgres_moves_to_postgres() {
    moves(database::postgres().await, database::empty_postgres().await).await;
}

#[tokio::test]
async fn days_get_their_partitions_and_what_was_pruned_stays_in_the_rest() {
    let (from, to) = (
        source(database::sqlite().await).await,
        database::empty_postgres().await,
    );
    run(from.url(), to.url()).await.unwrap();
    let places = "SELECT DISTINCT tableoid::regclass::text || ' ' || day FROM ledger ORDER BY 1";
    assert_eq!(
        texts(to.url_text(), places).await,
        [
            "ledger_20250214 20250214",
            "ledger_20250215 20250215",
            "ledger_20250216 20250216",
            "ledger_rest 20250213",
        ]
    );
    assert_eq!(FIRST_KEPT, "2025-02-14");
}

/// Cuts a move after so many steps, as the end of the process would; whether there were as many.
async fn cut_after(steps: usize, from: &DatabaseUrl, to: &DatabaseUrl) -> bool {
    let (send, cut) = oneshot::channel();
    let (mut send, mut left) = (Some(send), steps);
    let mut tell = |_| {
        left = left.saturating_sub(1);
        if left == 0
            && let Some(send) = send.take()
        {
            send.send(()).unwrap();
        }
    };
    tokio::select! {
        biased;
        _ = cut => true,
        moved = Box::pin(transfer::run(from, to, &mut tell)) => { moved.unwrap(); false }
    }
}

async fn survives_cuts(to: TestDatabase) {
    let from = source(database::sqlite().await).await;
    let mut cuts = 0;
    for steps in [1, 3, 8, 12, 16, 20, 28] {
        if !cut_after(steps, from.url(), to.url()).await {
            break;
        }
        cuts += 1;
        let left = "SELECT 'account' FROM accounts UNION ALL SELECT 'bucket' FROM buckets \
                    UNION ALL SELECT 'row' FROM ledger";
        assert!(texts(to.url_text(), left).await.is_empty(), "after {steps} steps");
    }
    assert!(cuts >= 5, "cut while copying and while comparing");
    assert_eq!(run(from.url(), to.url()).await.unwrap().outcome, Outcome::Copied);
    assert_eq!(state(&to.storage()).await, state(&from.reopen().await).await);
}

#[tokio::test]
async fn a_move_to_postgres_that_was_cut_leaves_nothing_and_is_repeated() {
    survives_cuts(database::postgres().await).await;
}

#[tokio::test]
async fn a_move_to_sqlite_that_was_cut_leaves_nothing_and_is_repeated() {
    survives_cuts(database::sqlite().await).await;
}

#[tokio::test]
async fn nobody_writes_to_the_source_while_it_moves() {
    let from = source(database::sqlite().await).await;
    let to = database::empty_postgres().await;
    let (send, half_way) = oneshot::channel();
    let mut send = Some(send);
    let mut tell = |step: Progress| {
        if step.table == "buckets"
            && let Some(send) = send.take()
        {
            send.send(()).unwrap();
        }
    };
    let mut moving = Box::pin(transfer::run(from.url(), to.url(), &mut tell));
    tokio::select! {
        biased;
        _ = half_way => {}
        moved = &mut moving => panic!("it has ended before anybody could write: {moved:?}"),
    }
    let impatient = SqliteConnectOptions::new()
        .filename(from.url().sqlite_path().unwrap())
        .busy_timeout(Duration::ZERO);
    let mut other = impatient.connect().await.unwrap();
    let written = sqlx::query("UPDATE revisions SET revision = revision + 1")
        .execute(&mut other)
        .await;
    written.expect_err("the move holds the lock");
    assert_eq!(moving.await.unwrap().outcome, Outcome::Copied);
}

#[tokio::test]
async fn a_target_with_tables_of_something_else_is_refused_as_it_is() {
    let from = source(database::sqlite().await).await;
    for (to, tables) in [
        (
            database::empty_postgres().await,
            "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'",
        ),
        (database::empty_sqlite(), "SELECT name FROM sqlite_master"),
    ] {
        let url = format!(
            "{}{}",
            to.url_text(),
            if to.url().sqlite_path().is_some() {
                "?mode=rwc"
            } else {
                ""
            }
        );
        let connection = Database::connect(url).await.unwrap();
        connection
            .execute_unprepared("CREATE TABLE orders (id integer)")
            .await
            .unwrap();
        connection.close().await.unwrap();
        let refused = run(from.url(), to.url()).await.unwrap_err();
        assert!(
            matches!(&refused, TransferError::ForeignTables { table } if table == "orders"),
            "{refused:?}"
        );
        assert_eq!(texts(to.url_text(), tables).await, ["orders"]);
    }
}

#[tokio::test]
async fn a_target_with_other_rows_is_refused_as_it_is() {
    let from = source(database::sqlite().await).await;
    let to = database::postgres().await;
    let gift = credit(new_account(&to.storage()).await, BucketKind::Gift, "1");
    store(&to.storage(), &gift).await;
    let before = state(&to.storage()).await;
    let TransferError::OtherData { comparison } = run(from.url(), to.url()).await.unwrap_err() else {
        panic!()
    };
    let accounts = comparison
        .tables
        .iter()
        .find(|table| table.table == "accounts")
        .unwrap();
    assert_eq!(
        (accounts.target_rows, accounts.content),
        (1, TableContent::Different)
    );
    assert_eq!(state(&to.storage()).await, before);
}

#[tokio::test]
async fn a_nano_or_a_letter_that_differs_is_found() {
    let from = source(database::sqlite().await).await;
    let to = database::postgres().await;
    run(from.url(), to.url()).await.unwrap();
    for (there, back, table) in [
        (
            "balance_nano = balance_nano + 1",
            "balance_nano = balance_nano - 1",
            "buckets",
        ),
        ("hint = 'x' || hint", "hint = substr(hint, 2)", "api_keys"),
        (
            "amount_nano = amount_nano - 1",
            "amount_nano = amount_nano + 1",
            "ledger",
        ),
        ("position = 5", "position = 0", "deployment_models"),
    ] {
        let only = if table == "deployment_models" {
            " WHERE model_id = 'm/a'"
        } else {
            ""
        };
        to.sabotage(&format!("UPDATE {table} SET {there}{only}")).await;
        let TransferError::OtherData { comparison } = run(from.url(), to.url()).await.unwrap_err() else {
            panic!("{table}")
        };
        let different = comparison
            .tables
            .iter()
            .filter(|table| table.content != TableContent::Same);
        assert_eq!(different.map(|table| table.table).collect::<Vec<_>>(), [table]);
        assert_eq!(comparison.balances.different.is_empty(), table != "buckets");
        assert_eq!(
            comparison.target_discrepancies.is_empty(),
            table != "buckets" && table != "ledger"
        );
        to.sabotage(&format!("UPDATE {table} SET {back}{only}")).await;
    }
    assert_eq!(
        run(from.url(), to.url()).await.unwrap().outcome,
        Outcome::WasThere
    );
}

#[tokio::test]
async fn a_copy_that_comes_back_different_is_undone() {
    let from = source(database::sqlite().await).await;
    let to = database::postgres().await;
    to.sabotage(
        "CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN NEW.balance_nano := NEW.balance_nano + 1; RETURN NEW; END $$; \
         CREATE TRIGGER more BEFORE INSERT ON buckets FOR EACH ROW EXECUTE FUNCTION more()",
    )
    .await;
    let TransferError::CopyDiffers { comparison } = run(from.url(), to.url()).await.unwrap_err() else {
        panic!()
    };
    assert_eq!(comparison.balances.different.len(), 5, "each bucket");
    assert!(
        texts(to.url_text(), "SELECT email FROM accounts")
            .await
            .is_empty()
    );
    to.sabotage("DROP TRIGGER more ON buckets").await;
    assert_eq!(run(from.url(), to.url()).await.unwrap().outcome, Outcome::Copied);
}

#[tokio::test]
async fn books_that_did_not_add_up_move_as_they_are() {
    let from = source(database::sqlite().await).await;
    from.sabotage("UPDATE buckets SET balance_nano = balance_nano + 1 WHERE kind = 'gift'")
        .await;
    let moved = run(from.url(), database::empty_postgres().await.url())
        .await
        .unwrap();
    let found = moved.comparison.source_discrepancies;
    assert_eq!(found.len(), 1);
    assert_eq!(moved.comparison.target_discrepancies, found);
}

#[tokio::test]
async fn a_source_that_is_in_use_or_is_none_is_refused() {
    for from in [database::sqlite().await, database::postgres().await] {
        let storage = from.storage();
        new_account(&storage).await;
        let target = database::empty_sqlite();
        let refused = run(from.url(), target.url()).await.unwrap_err();
        assert!(matches!(refused, TransferError::InUse), "{refused:?}");
        storage.close().await.unwrap();
        let same = run(from.url(), from.url()).await.unwrap_err();
        assert!(matches!(same, TransferError::SameDatabase), "{same:?}");
        assert_eq!(
            run(from.url(), target.url()).await.unwrap().outcome,
            Outcome::Copied
        );
    }
    let empty = database::empty_postgres().await;
    let refused = run(empty.url(), database::empty_sqlite().url())
        .await
        .unwrap_err();
    assert!(matches!(refused, TransferError::NotOurs), "{refused:?}");
    let missing = database::empty_sqlite();
    let refused = run(missing.url(), empty.url()).await.unwrap_err();
    assert!(matches!(refused, TransferError::NoSource), "{refused:?}");
    assert!(!missing.url().sqlite_path().unwrap().exists(), "and is not made");
    std::fs::write(missing.url().sqlite_path().unwrap(), "").unwrap();
    let refused = run(missing.url(), empty.url()).await.unwrap_err();
    assert!(matches!(refused, TransferError::NotOurs), "{refused:?}");
}
