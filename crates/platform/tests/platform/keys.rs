use silica_platform::{AuthError, Caller, KeyChanges, KeyLimits, KeyStatus, NewKey, PlatformError};
use silica_testkit::on_each_database;
use silica_types::{AccountId, SystemClock};

use super::support::{account, key, open, open_other};

fn status(status: KeyStatus) -> KeyChanges {
    KeyChanges {
        status: Some(status),
        ..KeyChanges::default()
    }
}

on_each_database! {
    async fn new_key_opens_its_account_at_once(database) {
        let platform = open(database).await;
        let owner = account(&platform, "ada@example.org").await;
        let created = key(&platform, owner.id).await;
        let caller = platform.authenticate(created.key.expose()).unwrap();
        assert_eq!(caller, Caller::new(owner.id, created.record.id));
        assert!(created.key.expose().ends_with(&created.record.hint));
    }

    async fn missing_and_unknown_keys_are_told_apart(database) {
        let platform = open(database).await;
        assert_eq!(platform.authenticate(""), Err(AuthError::Missing));
        assert_eq!(platform.authenticate("sk-unknown"), Err(AuthError::Invalid));
    }

    async fn deleted_key_is_refused_at_once_and_for_good(database) {
        let platform = open(database).await;
        let owner = account(&platform, "ada@example.org").await;
        let created = key(&platform, owner.id).await;
        let other = key(&platform, owner.id).await;
        platform.delete_key(owner.id, created.record.id).await.unwrap();
        assert_eq!(platform.authenticate(created.key.expose()), Err(AuthError::Invalid));
        assert!(platform.authenticate(other.key.expose()).is_ok());

        for error in [
            platform.delete_key(owner.id, created.record.id).await.unwrap_err(),
            platform.update_key(owner.id, created.record.id, status(KeyStatus::Normal)).await.unwrap_err(),
        ] {
            assert!(matches!(error, PlatformError::NotFound { what: "key", .. }), "{error:?}");
        }
        let reopened = open_other(database).await;
        assert_eq!(reopened.authenticate(created.key.expose()), Err(AuthError::Invalid));
    }

    async fn disabled_key_is_refused_at_once_and_comes_back(database) {
        let platform = open(database).await;
        let owner = account(&platform, "ada@example.org").await;
        let created = key(&platform, owner.id).await;
        platform.update_key(owner.id, created.record.id, status(KeyStatus::Disabled)).await.unwrap();
        assert_eq!(platform.authenticate(created.key.expose()), Err(AuthError::Invalid));
        platform.update_key(owner.id, created.record.id, status(KeyStatus::Normal)).await.unwrap();
        assert!(platform.authenticate(created.key.expose()).is_ok());
    }

    async fn keys_are_changed_under_their_own_account_only(database) {
        let platform = open(database).await;
        let owner = account(&platform, "ada@example.org").await;
        let stranger = account(&platform, "bob@example.org").await;
        let created = key(&platform, owner.id).await;
        let error = platform.delete_key(stranger.id, created.record.id).await.unwrap_err();
        assert!(matches!(error, PlatformError::NotFound { what: "key", .. }), "{error:?}");
        assert!(platform.authenticate(created.key.expose()).is_ok());
    }

    async fn description_and_limits_are_stored_and_changed(database) {
        let platform = open(database).await;
        let owner = account(&platform, "ada@example.org").await;
        let limits = KeyLimits { requests_per_minute: Some(5), ..KeyLimits::default() };
        let new = NewKey { description: "for CI".to_owned(), limits: Some(limits.clone()), expires_at: None };
        let created = platform.create_key(owner.id, new).await.unwrap();
        let changes = KeyChanges { description: Some("for tests".to_owned()), ..KeyChanges::default() };
        platform.update_key(owner.id, created.record.id, changes).await.unwrap();

        let found = platform.key(owner.id, created.record.id).await.unwrap().unwrap();
        assert_eq!((found.description.as_str(), found.limits), ("for tests", Some(limits)));
        let changes = KeyChanges { limits: Some(None), ..KeyChanges::default() };
        let found = platform.update_key(owner.id, created.record.id, changes).await.unwrap();
        assert_eq!(found.limits, None);
    }

    async fn unknown_account_gets_no_key(database) {
        let platform = open(database).await;
        let error = platform.create_key(AccountId::new(&SystemClock), NewKey::default()).await.unwrap_err();
        assert!(matches!(error, PlatformError::NotFound { what: "account", .. }), "{error:?}");
    }

    async fn key_text_is_in_no_debug_output_and_not_in_the_database(database) {
        let platform = open(database).await;
        let owner = account(&platform, "ada@example.org").await;
        let created = key(&platform, owner.id).await;
        let listed = platform.keys(owner.id, None, 10).await.unwrap();
        let shown = format!("{created:?} {listed:?} {platform:?} {owner:?}");
        let letters = created.key.expose().strip_prefix("sk-").unwrap();
        assert!(!shown.contains(&letters[..8]) && !shown.contains("ada@"), "{shown}");
        assert_ne!(listed.rows[0].hash.0.as_slice(), created.key.expose().as_bytes());
    }
}
