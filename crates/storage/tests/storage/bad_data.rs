use silica_storage::{StorageError, UnreadableRow, accounts, catalogue};
use silica_testkit::on_each_database;

use super::records::{account, begin, begin_catalogue, model, name};

on_each_database! {
    async fn unknown_status_names_table_column_and_row(database) {
        let storage = database.storage();
        let stored = account("ada@example.org");
        let write = begin(&storage).await;
        accounts::insert(&write, &stored).await.unwrap();
        write.commit().await.unwrap();
        database.sabotage("UPDATE accounts SET status = 'sleepy'").await;

        let error = accounts::find(&storage, stored.id).await.unwrap_err();
        let StorageError::InvalidData { table, column, row, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!((*table, column.as_str(), row.clone()), ("accounts", "status", stored.id.to_string()));
    }

    async fn unreadable_row_does_not_hide_other_changes(database) {
        let storage = database.storage();
        let (bad, good) = (account("ada@example.org"), account("bob@example.org"));
        let write = begin(&storage).await;
        accounts::insert(&write, &bad).await.unwrap();
        accounts::insert(&write, &good).await.unwrap();
        write.commit().await.unwrap();
        database.sabotage("UPDATE accounts SET status = 'sleepy' WHERE email = 'ada@example.org'").await;

        let (read, refused): (Vec<_>, Vec<_>) =
            accounts::changed_since(&storage, 0).await.unwrap().into_iter().partition(Result::is_ok);
        assert_eq!(read.into_iter().map(Result::unwrap).collect::<Vec<_>>(), vec![(1, good)]);
        let [Err(UnreadableRow { id, revision: 1, source: StorageError::InvalidData { .. } })] = &refused[..] else {
            panic!("{refused:?}");
        };
        assert_eq!(*id, bad.id);
    }

    async fn malformed_price_names_table_column_and_row(database) {
        let storage = database.storage();
        let write = begin_catalogue(&storage).await;
        catalogue::put(&write, &model("m/a")).await.unwrap();
        write.commit().await.unwrap();
        database.sabotage(r#"UPDATE catalogue_models SET price = '{"input":"-1"}'"#).await;

        let error = catalogue::find(&storage, &name("m/a")).await.unwrap_err();
        let StorageError::InvalidData { table, column, row, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!((*table, column.as_str(), row.as_str()), ("catalogue_models", "price", "m/a"));
    }

    async fn missing_table_is_a_driver_failure(database) {
        database.sabotage("DROP TABLE api_keys").await;
        let error = silica_storage::api_keys::changed_since(&database.storage(), 0).await.unwrap_err();
        assert!(matches!(error, StorageError::Driver { .. }), "{error:?}");
    }
}
