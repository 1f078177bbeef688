use silica_storage::revisions::{self, Revisions};
use silica_storage::{accounts, catalogue};
use silica_testkit::on_each_database;

use super::records::{account, begin, begin_catalogue, model};

on_each_database! {
    async fn each_change_takes_the_next_number(database) {
        let storage = database.storage();
        let start = revisions::current(&storage).await.unwrap();
        assert_eq!(start, Revisions::default());

        assert_eq!(begin(&storage).await.commit().await.unwrap(), 1);
        assert_eq!(begin_catalogue(&storage).await.commit().await.unwrap(), 2);
        assert_eq!(begin(&storage).await.commit().await.unwrap(), 3);
        assert_eq!(revisions::current(&storage).await.unwrap(), Revisions { latest: 3, catalogue: 2 });
    }

    async fn dropped_changes_take_no_number(database) {
        let storage = database.storage();
        drop(begin(&storage).await);
        assert_eq!(begin(&storage).await.commit().await.unwrap(), 1);
    }

    async fn changed_rows_are_listed_with_the_number_of_their_last_change(database) {
        let storage = database.storage();
        let (first, second) = (account("a@example.org"), account("b@example.org"));
        let write = begin(&storage).await;
        accounts::insert(&write, &first).await.unwrap();
        accounts::insert(&write, &second).await.unwrap();
        let inserted = write.commit().await.unwrap();
        let write = begin(&storage).await;
        accounts::update(&write, &second).await.unwrap();
        let updated = write.commit().await.unwrap();

        assert_eq!(accounts::changed_since(&storage, 0).await.unwrap().len(), 2);
        let changed: Result<Vec<_>, _> = accounts::changed_since(&storage, inserted).await.unwrap().into_iter().collect();
        assert_eq!(changed.unwrap(), vec![(updated, second)]);
    }

    async fn snapshots_do_not_see_later_changes(database) {
        let storage = database.storage();
        let snapshot = storage.snapshot().await.unwrap();
        let before = revisions::current(&snapshot).await.unwrap();
        let write = begin_catalogue(&storage).await;
        catalogue::put(&write, &model("m/a")).await.unwrap();
        write.commit().await.unwrap();
        assert_eq!(revisions::current(&snapshot).await.unwrap(), before);
        assert!(catalogue::list(&snapshot).await.unwrap().is_empty());
        assert_eq!(catalogue::list(&storage).await.unwrap().len(), 1);
    }
}
