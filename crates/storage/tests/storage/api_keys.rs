use silica_billing::KeyLimits;
use silica_storage::{Conflict, KeyHash, KeyStatus, Storage, StorageError, accounts, api_keys};
use silica_testkit::on_each_database;
use silica_types::AccountId;

use super::records::{account, begin, key, later, name};

async fn stored_account(storage: &Storage) -> AccountId {
    let stored = account("ada@example.org");
    let write = begin(storage).await;
    accounts::insert(&write, &stored).await.unwrap();
    write.commit().await.unwrap();
    stored.id
}

on_each_database! {
    async fn key_comes_back_as_it_was_stored(database) {
        let storage = database.storage();
        let account = stored_account(&storage).await;
        let mut stored = key(account, 7);
        stored.limits = Some(KeyLimits {
            models: vec![name("m/a")],
            monthly_spend: Some("12.50".parse().unwrap()),
            addresses: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            requests_per_minute: Some(u64::MAX),
            tokens_per_minute: Some(0),
        });
        stored.expires_at = Some(later());
        let write = begin(&storage).await;
        api_keys::insert(&write, &stored).await.unwrap();
        write.commit().await.unwrap();
        assert_eq!(api_keys::find(&storage, account, stored.id).await.unwrap(), Some(stored));
    }

    async fn keys_are_found_under_their_own_account_only(database) {
        let storage = database.storage();
        let owner = stored_account(&storage).await;
        let stored = key(owner, 7);
        let write = begin(&storage).await;
        api_keys::insert(&write, &stored).await.unwrap();
        write.commit().await.unwrap();
        let stranger = account("bob@example.org").id;
        assert_eq!(api_keys::find(&storage, stranger, stored.id).await.unwrap(), None);
        assert!(api_keys::list(&storage, stranger, None, 10).await.unwrap().rows.is_empty());
    }

    async fn key_of_an_unknown_account_is_refused_by_type(database) {
        let storage = database.storage();
        let write = begin(&storage).await;
        let error = api_keys::insert(&write, &key(account("a@b.c").id, 7)).await.unwrap_err();
        assert!(
            matches!(error, StorageError::Conflict(Conflict::NoSuchReference { what: "account", .. })),
            "{error:?}"
        );
    }

    async fn second_key_with_a_hash_is_refused_by_type(database) {
        let storage = database.storage();
        let account = stored_account(&storage).await;
        let write = begin(&storage).await;
        api_keys::insert(&write, &key(account, 7)).await.unwrap();
        let error = api_keys::insert(&write, &key(account, 7)).await.unwrap_err();
        assert!(matches!(error, StorageError::Conflict(Conflict::KeyHashTaken)), "{error:?}");
    }

    async fn second_key_with_an_id_is_refused_by_type(database) {
        let storage = database.storage();
        let account = stored_account(&storage).await;
        let first = key(account, 7);
        let mut second = first.clone();
        second.hash = KeyHash([8; 32]);
        let write = begin(&storage).await;
        api_keys::insert(&write, &first).await.unwrap();
        let error = api_keys::insert(&write, &second).await.unwrap_err();
        assert!(matches!(error, StorageError::Conflict(Conflict::IdTaken { table: "api_keys", .. })), "{error:?}");
    }

    async fn updating_a_missing_key_fails(database) {
        let storage = database.storage();
        let account = stored_account(&storage).await;
        let write = begin(&storage).await;
        let error = api_keys::update(&write, &key(account, 7)).await.unwrap_err();
        assert!(matches!(error, StorageError::MissingRow { table: "api_keys", .. }), "{error:?}");
    }

    async fn deleted_keys_are_hidden_but_in_the_change_list(database) {
        let storage = database.storage();
        let account = stored_account(&storage).await;
        let mut stored = key(account, 7);
        let write = begin(&storage).await;
        api_keys::insert(&write, &stored).await.unwrap();
        let inserted = write.commit().await.unwrap();

        stored.status = KeyStatus::Deleted;
        stored.updated_at = later();
        let write = begin(&storage).await;
        api_keys::update(&write, &stored).await.unwrap();
        let deleted = write.commit().await.unwrap();

        assert_eq!(api_keys::find(&storage, account, stored.id).await.unwrap(), None);
        assert!(api_keys::list(&storage, account, None, 10).await.unwrap().rows.is_empty());
        let changed: Result<Vec<_>, _> = api_keys::changed_since(&storage, inserted).await.unwrap().into_iter().collect();
        assert_eq!(changed.unwrap(), vec![(deleted, stored)]);
        assert!(api_keys::changed_since(&storage, deleted).await.unwrap().is_empty());
    }
}
