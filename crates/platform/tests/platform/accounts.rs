use silica_platform::{
    AccountChanges, AccountStatus, AuthError, Conflict, NewAccount, PlatformError, UsageLevel,
};
use silica_testkit::on_each_database;
use silica_types::{AccountId, SystemClock};

use super::support::{account, key, open};

on_each_database! {
    async fn account_is_stored_with_a_lower_case_address(database) {
        let platform = open(database).await;
        let made = account(&platform, "Ada@Example.org").await;
        assert_eq!(made.email, "ada@example.org");
        assert_eq!(platform.account(made.id).await.unwrap(), Some(made.clone()));
        assert_eq!(platform.account_by_email("ADA@example.ORG").await.unwrap(), Some(made));
    }

    async fn address_in_another_case_is_taken(database) {
        let platform = open(database).await;
        account(&platform, "ada@example.org").await;
        let again = NewAccount { email: "ADA@EXAMPLE.ORG".to_owned(), name: "Other".to_owned() };
        let error = platform.create_account(again).await.unwrap_err();
        assert!(matches!(error, PlatformError::Conflict(Conflict::EmailTaken)), "{error:?}");
    }

    async fn changes_leave_other_fields_alone(database) {
        let platform = open(database).await;
        let made = account(&platform, "ada@example.org").await;
        let changes = AccountChanges { verified: Some(true), level_override: Some(Some(UsageLevel::L3)), ..AccountChanges::default() };
        let changed = platform.update_account(made.id, changes).await.unwrap();
        assert!(changed.verified);
        assert_eq!(changed.level_override, Some(UsageLevel::L3));
        assert_eq!((changed.email.as_str(), changed.status), ("ada@example.org", AccountStatus::Normal));

        let changes = AccountChanges { level_override: Some(None), ..AccountChanges::default() };
        let changed = platform.update_account(made.id, changes).await.unwrap();
        assert_eq!(changed.level_override, None);
        assert!(changed.verified);
    }

    async fn unknown_account_is_not_found(database) {
        let platform = open(database).await;
        let nobody = AccountId::new(&SystemClock);
        let error = platform.update_account(nobody, AccountChanges::default()).await.unwrap_err();
        assert!(matches!(error, PlatformError::NotFound { what: "account", .. }), "{error:?}");
        assert_eq!(platform.account(nobody).await.unwrap(), None);
    }

    async fn disabled_account_is_refused_at_once_and_comes_back(database) {
        let platform = open(database).await;
        let made = account(&platform, "ada@example.org").await;
        let created = key(&platform, made.id).await;
        for (status, outcome) in [
            (AccountStatus::Disabled, Err(AuthError::AccountDisabled)),
            (AccountStatus::Normal, Ok(made.id)),
        ] {
            let changes = AccountChanges { status: Some(status), ..AccountChanges::default() };
            platform.update_account(made.id, changes).await.unwrap();
            assert_eq!(platform.authenticate(created.key.expose()).map(|caller| caller.account), outcome);
        }
    }
}
