use std::io;

use silica_platform::{FirstOperatorError, NewAccount, Platform};
use silica_testkit::on_each_database;
use silica_types::{AccountId, Secret};

use super::support::{account, open};

/// Makes the first operator; returns it and the keys that were shown.
async fn make(
    platform: &Platform,
    outcome: io::Result<()>,
) -> (Result<Option<AccountId>, FirstOperatorError>, Vec<Secret>) {
    let mut shown = Vec::new();
    let new = NewAccount {
        email: "operator@localhost".to_owned(),
        name: "Operator".to_owned(),
    };
    let show = |key: &Secret| {
        shown.push(key.clone());
        outcome
    };
    let made = platform.create_first_operator(new, "first", show).await;
    (made, shown)
}

on_each_database! {
    async fn the_first_operators_key_is_shown_and_works(database) {
        let platform = open(database).await;
        let (made, shown) = make(&platform, Ok(())).await;
        let [key] = &shown[..] else { panic!("{} keys were shown", shown.len()) };
        assert_eq!(platform.authenticate(key.expose()).unwrap().account, made.unwrap().unwrap());
    }

    async fn a_key_that_cannot_be_shown_leaves_nothing(database) {
        let platform = open(database).await;
        let (made, shown) = make(&platform, Err(io::ErrorKind::StorageFull.into())).await;
        assert!(matches!(made, Err(FirstOperatorError::Show(_))), "{made:?}");
        assert!(platform.authenticate(shown[0].expose()).is_err());
        assert!(platform.accounts(None, 1).await.unwrap().rows.is_empty());
        let (made, _) = make(&platform, Ok(())).await;
        assert!(made.unwrap().is_some(), "the next try makes one");
    }

    async fn nothing_is_shown_where_there_is_an_account(database) {
        let platform = open(database).await;
        account(&platform, "ada@example.org").await;
        let (made, shown) = make(&platform, Ok(())).await;
        assert!(made.unwrap().is_none() && shown.is_empty());
    }
}
