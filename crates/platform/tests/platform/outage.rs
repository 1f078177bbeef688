use silica_platform::{AuthError, NewAccount, PlatformError};
use silica_testkit::on_each_database;
use tokio_util::sync::CancellationToken;

use super::support::{account, key, open, put_chat_model, put_deployment};

on_each_database! {
    async fn calls_go_on_while_the_database_is_gone(database) {
        let platform = open(database).await;
        let owner = account(&platform, "ada@example.org").await;
        let created = key(&platform, owner.id).await;
        put_chat_model(&platform, "m/a").await;
        put_deployment(&platform, "chat", &["m/a"]).await;

        database.storage().close().await.unwrap();

        let new = NewAccount { email: "bob@example.org".to_owned(), name: "Bob".to_owned() };
        let error = platform.create_account(new).await.unwrap_err();
        assert!(matches!(error, PlatformError::Storage(_)), "{error:?}");
        assert!(platform.authenticate(created.key.expose()).is_ok(), "a good key never gets a 401");
        assert!(platform.identify(created.key.expose(), None).await.is_ok());
        assert_eq!(platform.identify("sk-unknown", None).await, Err(AuthError::Invalid));
        assert!(platform.catalogue().deployment_of("m/a").is_some());
    }

    async fn polling_survives_an_outage_and_ends_at_shutdown(database) {
        let platform = open(database).await;
        let owner = account(&platform, "ada@example.org").await;
        let created = key(&platform, owner.id).await;
        database.storage().close().await.unwrap();

        let shutdown = CancellationToken::new();
        let polls = platform.clone().refresh_loop(shutdown.clone());
        let watch = async {
            // Long enough for several polls to fail.
            let mut polls = tokio::time::interval(std::time::Duration::from_millis(300));
            for _ in 0..3 {
                polls.tick().await;
                assert!(platform.authenticate(created.key.expose()).is_ok());
            }
            shutdown.cancel();
        };
        tokio::join!(polls, watch);
    }
}
