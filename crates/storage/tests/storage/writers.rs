use std::collections::BTreeSet;

use silica_storage::{Storage, StorageError, accounts, revisions};
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

    async fn processes_that_open_at_once_migrate_once(database) {
        let mut openers = JoinSet::new();
        for _ in 0..4 {
            let url = database.url().clone();
            openers.spawn(async move { Storage::open(&url).await });
        }
        while let Some(opened) = openers.join_next().await {
            opened.unwrap().unwrap();
        }
    }
}
