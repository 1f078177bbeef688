use std::collections::BTreeSet;

use sea_orm::{DbErr, RuntimeErr};
use silica_storage::{Scope, Storage, StorageError, accounts, revisions};
use silica_testkit::database::{self, EmptyDatabase};
use silica_testkit::on_each_database;
use tokio::task::JoinSet;

use super::records::{account, begin};

const PER_WRITER: usize = 10;

/// Adds accounts one change at a time, reading inside each change before it writes.
async fn write_accounts(storage: Storage, writer: usize) -> Result<Vec<i64>, StorageError> {
    let mut numbers = Vec::new();
    for index in 0..PER_WRITER {
        let email = format!("{writer}-{index}@example.org");
        let write = begin(&storage).await;
        assert_eq!(accounts::find_by_email(&write, &email).await?, None);
        accounts::insert(&write, &account(&email)).await?;
        numbers.push(write.commit().await?);
    }
    Ok(numbers)
}

on_each_database! {
    /// Two sets of connections stand for two processes, four writers in each.
    async fn concurrent_writers_wait_for_each_other_and_none_fails(database) {
        let mut writers = JoinSet::new();
        for storage in [database.storage(), database.reopen().await] {
            for _ in 0..4 {
                let writer = writers.len();
                writers.spawn(write_accounts(storage.clone(), writer));
            }
        }
        let mut numbers = BTreeSet::new();
        while let Some(done) = writers.join_next().await {
            let done = done.unwrap().unwrap();
            assert!(done.is_sorted());
            numbers.extend(done);
        }
        let expected = i64::try_from(8 * PER_WRITER).unwrap();
        assert_eq!(numbers, (1..=expected).collect(), "every change has a number of its own");
        assert_eq!(revisions::current(&database.storage()).await.unwrap().latest, expected);
    }

    async fn readers_do_not_wait_for_an_open_change(database) {
        let storage = database.storage();
        let write = begin(&storage).await;
        accounts::insert(&write, &account("ada@example.org")).await.unwrap();
        assert!(accounts::list(&storage, None, 10).await.unwrap().rows.is_empty());
        write.commit().await.unwrap();
        assert_eq!(accounts::list(&storage, None, 10).await.unwrap().rows.len(), 1);
    }
}

#[tokio::test]
async fn postgres_change_behind_a_stuck_one_fails_in_time() {
    let database = database::postgres().await;
    let _stuck = begin(&database.storage()).await;

    let url = format!("{}?options[lock_timeout]=50ms", database.url_text());
    let waiting = Storage::open(&url.parse().unwrap()).await.unwrap();
    let error = waiting.begin(Scope::Accounts).await.err().unwrap();
    assert_eq!(postgres_code(&error), "55P03", "{error:?}");
}

#[tokio::test]
async fn postgres_statement_that_takes_too_long_fails_in_time() {
    let database = database::postgres().await;
    let _stuck = begin(&database.storage()).await;

    let url = format!("{}?options[statement_timeout]=50ms", database.url_text());
    let waiting = Storage::open(&url.parse().unwrap()).await.unwrap();
    let error = waiting.begin(Scope::Accounts).await.err().unwrap();
    assert_eq!(postgres_code(&error), "57014", "{error:?}");
}

#[tokio::test]
async fn postgres_change_that_is_forgotten_lets_the_next_one_pass() {
    let database = database::postgres().await;
    let url = format!(
        "{}?options[idle_in_transaction_session_timeout]=50ms",
        database.url_text()
    );
    let forgetful = Storage::open(&url.parse().unwrap()).await.unwrap();
    let _forgotten = begin(&forgetful).await;

    let write = begin(&database.storage()).await;
    write.commit().await.unwrap();
}

/// The code of a driver's failure, which is what an outage is, too.
fn postgres_code(error: &StorageError) -> String {
    let StorageError::Driver {
        source: DbErr::Exec(RuntimeErr::SqlxError(cause)),
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    let refusal = cause.as_database_error().expect("a refusal of the database");
    refusal.code().expect("a code").into_owned()
}

async fn open_at_once(database: EmptyDatabase) {
    let mut openers = JoinSet::new();
    for _ in 0..4 {
        let url = database.url().clone();
        openers.spawn(async move { Storage::open(&url).await });
    }
    while let Some(opened) = openers.join_next().await {
        let storage = opened.unwrap().unwrap();
        begin(&storage).await.commit().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_open_at_once_migrate_once_in_sqlite() {
    open_at_once(database::empty_sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_open_at_once_migrate_once_in_postgres() {
    open_at_once(database::empty_postgres().await).await;
}
