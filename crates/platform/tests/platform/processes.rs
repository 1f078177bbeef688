use silica_platform::{
    AccountChanges, AccountStatus, AuthError, CreatedKey, KeyLimits, NewKey, Platform, UsageLevel,
};
use silica_testkit::database::TestDatabase;
use silica_testkit::on_each_database;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::support::{account, key, open, open_other, put_chat_model, put_deployment, within_the_promise};

/// A second process with its polling loop, which ends with the guard.
#[expect(clippy::disallowed_methods, reason = "the test waits for the task itself")]
async fn follow(database: &TestDatabase) -> (Platform, DropGuard, JoinHandle<()>) {
    let other = open_other(database).await;
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(other.clone().refresh_loop(shutdown.clone()));
    (other, shutdown.drop_guard(), task)
}

on_each_database! {
    async fn keys_and_accounts_of_another_process_are_in_force_within_a_second(database) {
        let platform = open(database).await;
        let (other, guard, task) = follow(database).await;
        let owner = account(&platform, "ada@example.org").await;
        let created = key(&platform, owner.id).await;
        let text = created.key.expose();
        within_the_promise(async || other.authenticate(text).is_ok()).await;

        let disable = AccountChanges { status: Some(AccountStatus::Disabled), ..AccountChanges::default() };
        platform.update_account(owner.id, disable).await.unwrap();
        within_the_promise(async || other.authenticate(text) == Err(AuthError::AccountDisabled)).await;

        platform.delete_key(owner.id, created.record.id).await.unwrap();
        within_the_promise(async || other.authenticate(text) == Err(AuthError::Invalid)).await;
        drop(guard);
        task.await.unwrap();
    }

    async fn key_of_another_process_opens_at_once_by_a_look_at_the_database(database) {
        let (platform, other) = (open(database).await, open_other(database).await);
        let owner = account(&platform, "ada@example.org").await;
        let created = key(&platform, owner.id).await;
        let text = created.key.expose();
        assert_eq!(other.authenticate(text), Err(AuthError::Invalid), "nothing polls here");
        assert_eq!(other.identify(text, None).await.unwrap().account, owner.id);
        assert!(other.authenticate(text).is_ok());
        assert_eq!(other.identify("sk-unknown", None).await, Err(AuthError::Invalid));
        assert_eq!(other.identify("", None).await, Err(AuthError::Missing));
    }

    async fn address_list_and_level_of_another_process_are_in_force(database) {
        let (platform, other) = (open(database).await, open_other(database).await);
        let owner = account(&platform, "ada@example.org").await;
        let limits = KeyLimits { addresses: vec!["10.0.0.0/8".parse().unwrap()], ..KeyLimits::default() };
        let new = NewKey { limits: Some(limits.clone()), ..NewKey::default() };
        let created = platform.create_key(owner.id, new).await.unwrap();
        let text = created.key.expose();
        let inside = Some("10.1.2.3".parse().unwrap());
        let caller = other.identify(text, inside).await.unwrap();
        assert_eq!(caller.limits.as_deref(), Some(&limits));
        for outside in [Some("11.1.2.3".parse().unwrap()), None] {
            assert_eq!(other.identify(text, outside).await, Err(AuthError::AddressNotAllowed));
        }
        assert_eq!(other.level_of(&caller), UsageLevel::L0);
        let raise = AccountChanges { level_override: Some(Some(UsageLevel::L3)), ..AccountChanges::default() };
        platform.update_account(owner.id, raise).await.unwrap();
        other.identify("sk-unknown", None).await.unwrap_err();
        assert_eq!(other.level_of(&caller), UsageLevel::L3);
    }

    async fn catalogue_of_another_process_is_in_force_within_a_second(database) {
        let platform = open(database).await;
        let (other, guard, task) = follow(database).await;
        let mut changes = other.subscribe();
        put_chat_model(&platform, "m/a").await;
        put_deployment(&platform, "chat", &["m/a"]).await;
        within_the_promise(async || other.catalogue().deployment_of("m/a").is_some()).await;
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();

        platform.delete_deployment("chat").await.unwrap();
        within_the_promise(async || other.catalogue().deployment_of("m/a").is_none()).await;
        assert!(changes.has_changed().unwrap());
        drop(guard);
        task.await.unwrap();
    }

    async fn own_changes_are_announced_once(database) {
        let (platform, guard, task) = follow(database).await;
        let mut changes = platform.subscribe();
        put_chat_model(&platform, "m/a").await;
        let announced = *changes.borrow_and_update();
        // A change of another process makes the loop read everything, the own change included.
        let other = open(database).await;
        account(&other, "ada@example.org").await;
        let created = key(&other, account(&other, "bob@example.org").await.id).await;
        within_the_promise(async || platform.authenticate(created.key.expose()).is_ok()).await;
        assert_eq!(*changes.borrow(), announced, "reading the same rows again is no change");
        drop(guard);
        task.await.unwrap();
    }

    async fn changes_are_followed_after_the_connections_were_cut(database) {
        let platform = open(database).await;
        let (other, guard, task) = follow(database).await;
        let owner = account(&platform, "ada@example.org").await;
        let created = key(&platform, owner.id).await;
        let text = created.key.expose();
        within_the_promise(async || other.authenticate(text).is_ok()).await;

        database.cut_connections().await;
        platform.delete_key(owner.id, created.record.id).await.unwrap();
        within_the_promise(async || other.authenticate(text) == Err(AuthError::Invalid)).await;
        drop(guard);
        task.await.unwrap();
    }

    async fn keys_and_accounts_that_another_process_left_unreadable_are_disabled(database) {
        let platform = open(database).await;
        let (other, guard, task) = follow(database).await;
        let (bad, good) = (account(&platform, "ada@example.org").await, account(&platform, "bob@example.org").await);
        let of_bad_account = key(&platform, bad.id).await;
        let (bad_key, good_key) = (key(&platform, good.id).await, key(&platform, good.id).await);
        let opens = |created: &CreatedKey| other.authenticate(created.key.expose()).map(|_| ());
        within_the_promise(async || opens(&good_key).is_ok()).await;
        assert!(opens(&of_bad_account).is_ok() && opens(&bad_key).is_ok());

        // What a later version may write, with the change number that it takes for it.
        let next = "(SELECT revision FROM revisions) + 1";
        database.sabotage(&format!("UPDATE accounts SET status = 'frozen', revision = {next} WHERE email = 'ada@example.org'")).await;
        database.sabotage(&format!("UPDATE api_keys SET status = 'revoked', revision = {next} WHERE hint = '{}'", bad_key.record.hint)).await;
        database.sabotage("UPDATE revisions SET revision = revision + 1").await;

        within_the_promise(async || opens(&bad_key) == Err(AuthError::Invalid)).await;
        assert_eq!(opens(&of_bad_account), Err(AuthError::AccountDisabled));
        assert_eq!(opens(&good_key), Ok(()));

        platform.delete_key(good.id, good_key.record.id).await.unwrap();
        within_the_promise(async || opens(&good_key) == Err(AuthError::Invalid)).await;
        drop(guard);
        task.await.unwrap();
    }
}
