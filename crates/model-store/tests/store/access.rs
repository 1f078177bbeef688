//! Hubs that say no, and addresses that nobody may be led to.

use silica_model_store::{Hub, HubError, StoreError};

use crate::support::{REPO, Shop, hub_with_tiny_chat, options, secret, told};

#[tokio::test]
async fn gated_model_says_what_to_accept_and_which_variable_to_set() {
    let hub = hub_with_tiny_chat().await;
    hub.gate(REPO, "geheim");
    let shop = Shop::new();
    let address = hub.hugging_face();
    let refused = shop.add(options(&address)).await.unwrap_err().to_string();
    assert_eq!(
        refused,
        format!(
            "silica/tiny-chat is gated at {address}: accept its terms at {address}/silica/tiny-chat and set HF_TOKEN to a token of the same account"
        )
    );
    let mut with_token = options(&address);
    with_token.token = Some(secret("another"));
    let refused = shop.add(with_token).await.unwrap_err().to_string();
    assert!(
        refused.ends_with("(the token that was sent has no access)") && !refused.contains("another"),
        "{refused}"
    );
    let refused = shop
        .add(options(&hub.model_scope()))
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("set MODELSCOPE_API_TOKEN"), "{refused}");
    assert!(shop.is_empty());
}

#[tokio::test]
async fn repository_that_is_not_there_is_told_apart_from_a_hub_that_is_not_there() {
    let hub = silica_testkit::ModelHub::start().await;
    let shop = Shop::new();
    for address in [hub.hugging_face(), hub.model_scope()] {
        let refused = shop.add(options(&address)).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::Hub(HubError::NoRepository { .. })),
            "{refused}"
        );
    }
    let nobody = options("http://127.0.0.1:9");
    let refused = told(&shop.add(nobody).await.unwrap_err());
    assert!(
        refused.starts_with("gave up on the files of silica/tiny-chat after 3 attempts")
            && refused.contains("127.0.0.1 cannot be reached"),
        "{refused}"
    );
    assert!(shop.is_empty());
}

#[tokio::test]
async fn private_addresses_are_refused_unless_they_are_allowed() {
    let hub = hub_with_tiny_chat().await;
    let shop = Shop::new();
    for address in [
        hub.hugging_face(),
        hub.hugging_face().replace("127.0.0.1", "localhost"),
    ] {
        let mut public_only = options(&address);
        public_only.allow_private = false;
        let refused = shop.add(public_only).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::Hub(HubError::Private { .. })),
            "{refused}"
        );
        assert!(refused.to_string().contains("models.hub_allow_private"));
    }
    assert!(hub.requests().is_empty());
}

#[tokio::test]
async fn redirects_lead_to_http_and_nowhere_else() {
    let hub = hub_with_tiny_chat().await;
    let shop = Shop::new();
    for elsewhere in ["file:///etc", "ftp://127.0.0.1", "http://user:geheim@127.0.0.1:1"] {
        hub.redirect_to(elsewhere);
        let refused = told(&shop.add(options(&hub.hugging_face())).await.unwrap_err());
        assert!(
            refused.contains("cannot be used") && !refused.contains("geheim"),
            "{refused}"
        );
    }
    // In a circle.
    hub.redirect_to(&format!(
        "{}/{REPO}/resolve/main/model.safetensors?",
        hub.hugging_face()
    ));
    let refused = told(&shop.add(options(&hub.hugging_face())).await.unwrap_err());
    assert!(refused.contains("more than 10 redirects"), "{refused}");
}

#[tokio::test]
async fn token_is_not_sent_in_clear_to_a_public_hub() {
    let mut options = options("http://hub.example");
    options.allow_private = false;
    options.token = Some(secret("geheim"));
    let refused = Hub::new(options).unwrap_err();
    assert!(matches!(refused, HubError::TokenInClear { .. }), "{refused}");
}
