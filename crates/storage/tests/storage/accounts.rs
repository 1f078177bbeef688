use silica_billing::{Monthly, UsageLevel};
use silica_storage::{AccountStatus, Conflict, StorageError, accounts};
use silica_testkit::on_each_database;

use super::money::money;
use super::records::{account, begin, later};

on_each_database! {
    async fn account_comes_back_as_it_was_stored(database) {
        let storage = database.storage();
        let mut stored = account("ada@example.org");
        stored.level_override = Some(UsageLevel::L5);
        stored.verified = true;
        stored.spent = Monthly::new(202_502, money("1.5"), money("0.25"));
        stored.bought = Monthly::new(202_502, UsageLevel::L0, UsageLevel::L4);
        let write = begin(&storage).await;
        accounts::insert(&write, &stored).await.unwrap();
        assert_eq!(accounts::find(&write, stored.id).await.unwrap(), Some(stored.clone()), "seen inside the change");
        write.commit().await.unwrap();

        assert_eq!(accounts::find(&storage, stored.id).await.unwrap(), Some(stored.clone()));
        assert_eq!(accounts::find_by_email(&storage, "ada@example.org").await.unwrap(), Some(stored));
    }

    async fn unknown_accounts_are_none(database) {
        let storage = database.storage();
        assert_eq!(accounts::find(&storage, account("a@b.c").id).await.unwrap(), None);
        assert_eq!(accounts::find_by_email(&storage, "nobody@example.org").await.unwrap(), None);
    }

    async fn second_account_with_an_address_is_refused_by_type(database) {
        let storage = database.storage();
        let write = begin(&storage).await;
        accounts::insert(&write, &account("ada@example.org")).await.unwrap();
        write.commit().await.unwrap();

        let write = begin(&storage).await;
        let error = accounts::insert(&write, &account("ada@example.org")).await.unwrap_err();
        assert!(matches!(error, StorageError::Conflict(Conflict::EmailTaken)), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("ada@"), "the address is in no error");
    }

    async fn second_account_with_an_id_is_refused_by_type(database) {
        let storage = database.storage();
        let first = account("ada@example.org");
        let mut second = account("bob@example.org");
        second.id = first.id;
        let write = begin(&storage).await;
        accounts::insert(&write, &first).await.unwrap();
        let error = accounts::insert(&write, &second).await.unwrap_err();
        assert!(matches!(error, StorageError::Conflict(Conflict::IdTaken { table: "accounts", .. })), "{error:?}");
    }

    async fn updates_replace_every_field(database) {
        let storage = database.storage();
        let mut stored = account("ada@example.org");
        let write = begin(&storage).await;
        accounts::insert(&write, &stored).await.unwrap();
        write.commit().await.unwrap();

        stored.email = "ada@example.com".to_owned();
        stored.name = "Lovelace".to_owned();
        stored.status = AccountStatus::Disabled;
        stored.verified = true;
        stored.level_override = Some(UsageLevel::L2);
        stored.bought = Monthly::new(202_502, UsageLevel::L3, UsageLevel::L0);
        stored.updated_at = later();
        let write = begin(&storage).await;
        accounts::update(&write, &stored).await.unwrap();
        write.commit().await.unwrap();
        assert_eq!(accounts::find(&storage, stored.id).await.unwrap(), Some(stored));
    }

    async fn updating_a_missing_account_fails(database) {
        let storage = database.storage();
        let write = begin(&storage).await;
        let error = accounts::update(&write, &account("ada@example.org")).await.unwrap_err();
        assert!(matches!(error, StorageError::MissingRow { table: "accounts", .. }), "{error:?}");
    }

    async fn taking_the_address_of_another_account_is_refused(database) {
        let storage = database.storage();
        let mut second = account("bob@example.org");
        let write = begin(&storage).await;
        accounts::insert(&write, &account("ada@example.org")).await.unwrap();
        accounts::insert(&write, &second).await.unwrap();
        second.email = "ada@example.org".to_owned();
        let error = accounts::update(&write, &second).await.unwrap_err();
        assert!(matches!(error, StorageError::Conflict(Conflict::EmailTaken)), "{error:?}");
    }

    async fn dropped_changes_leave_nothing(database) {
        let storage = database.storage();
        let stored = account("ada@example.org");
        let write = begin(&storage).await;
        accounts::insert(&write, &stored).await.unwrap();
        drop(write);
        assert_eq!(accounts::find(&storage, stored.id).await.unwrap(), None);
        // The connection is free again.
        begin(&storage).await.commit().await.unwrap();
    }

    async fn pages_cover_the_list_once_in_order(database) {
        let storage = database.storage();
        let write = begin(&storage).await;
        let mut ids = Vec::new();
        for index in 0..7 {
            let stored = account(&format!("{index}@example.org"));
            accounts::insert(&write, &stored).await.unwrap();
            ids.push(stored.id);
        }
        write.commit().await.unwrap();
        ids.sort_unstable();

        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = accounts::list(&storage, cursor, 3).await.unwrap();
            assert!(page.rows.len() <= 3);
            seen.extend(page.rows.iter().map(|account| account.id));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, ids);
        assert_eq!(accounts::list(&storage, None, 7).await.unwrap().next, None, "a full last page is the last");
    }
}
