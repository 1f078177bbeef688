//! Keys that may be used from some addresses only.

use axum::body::Body;
use http::{Method, Request};
use silica_api::{ApiConfig, PeerAddress, TrustedProxies};
use silica_platform::{KeyChanges, KeyLimits};

use super::support::{Answer, App};

const REFUSAL: &str = "Your IP address is not allowed.";

/// An API whose one key may be used from 192.0.2.0/24 and which trusts the proxy 10.0.0.1.
async fn app() -> App {
    let proxies = ["10.0.0.1".to_owned()];
    let config = ApiConfig {
        trusted_proxies: TrustedProxies::parse(&proxies).unwrap(),
        ..ApiConfig::default()
    };
    let app = App::with_config(config).await;
    let limits = KeyLimits {
        addresses: vec!["192.0.2.0/24".parse().unwrap()],
        ..KeyLimits::default()
    };
    let key = app.state.platform.authenticate(&app.key).unwrap().key;
    let changes = KeyChanges {
        limits: Some(Some(limits)),
        ..KeyChanges::default()
    };
    let changed = app.state.platform.update_key(app.account, key, changes).await;
    changed.unwrap();
    app
}

async fn models(app: &App, peer: Option<&str>, forwarded: Option<&str>) -> Answer {
    let mut request: Request<Body> = app.request(Method::GET, "/v1/models", Body::empty());
    if let Some(peer) = peer {
        let address = PeerAddress(peer.parse().unwrap());
        request.extensions_mut().insert(address);
    }
    if let Some(forwarded) = forwarded {
        let headers = request.headers_mut();
        headers.insert("x-forwarded-for", forwarded.parse().unwrap());
    }
    app.send(request).await
}

#[tokio::test]
async fn the_connections_address_decides() {
    let app = app().await;
    for peer in ["192.0.2.7", "::ffff:192.0.2.7"] {
        assert_eq!(models(&app, Some(peer), None).await.status, 200, "{peer}");
    }
    for peer in [Some("198.51.100.1"), Some("::1"), None] {
        models(&app, peer, None).await.assert_error(403, 30013, REFUSAL);
    }
    // Nobody but a trusted proxy may speak for others.
    let claimed = models(&app, Some("198.51.100.1"), Some("192.0.2.7")).await;
    claimed.assert_error(403, 30013, REFUSAL);
}

#[tokio::test]
async fn a_trusted_proxy_speaks_for_its_client() {
    let app = app().await;
    let through = async |forwarded: &str| models(&app, Some("10.0.0.1"), Some(forwarded)).await;
    assert_eq!(through("192.0.2.7").await.status, 200);
    assert_eq!(through("203.0.113.9, 192.0.2.7").await.status, 200);
    for forwarded in ["192.0.2.7, 203.0.113.9", "unknown", ""] {
        through(forwarded).await.assert_error(403, 30013, REFUSAL);
    }
    models(&app, Some("10.0.0.1"), None)
        .await
        .assert_error(403, 30013, REFUSAL);
}
