//! Engines elsewhere whose certificates come from an authority of the operator's own.

use http::StatusCode;
use reqwest::Method;
use serde_json::json;
use silica_testkit::{Upstream, UpstreamScript};

use crate::support::bare;
use crate::till::{PAID, customer, open_shop, script, send};

fn setting(file: &std::path::Path) -> String {
    format!("[gateway]\nupstream_ca_file = {:?}\n", file.display().to_string())
}

#[tokio::test]
async fn an_authority_of_the_operators_own_vouches_for_engines() {
    let upstream = Upstream::start_tls(UpstreamScript::default()).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ca.pem");
    let pem = upstream.authority_pem().expect("an authority");
    std::fs::write(&file, pem).expect("a file with it");
    let server = bare().config(&setting(&file)).start().await;
    let customer = customer(&server, "private-ca", "10").await;
    open_shop(&server, &upstream).await;
    let answer = send(&server, &customer.key, PAID, &script("private-ca"), false).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(upstream.calls().len(), 1);

    // Each engine that is loaded reads the file anew; those that run keep what they have.
    std::fs::write(&file, "nothing").expect("another file");
    let elsewhere = json!({"name": "scripted", "models": [PAID], "replicas": [{
        "engine": "openai",
        "url": format!("{}/", upstream.base_url()),
        "upstream_model": "scripted",
        "allow_private": true,
    }]});
    let (status, told) = server.admin(Method::PUT, "/deployments", Some(&elsewhere)).await;
    assert_eq!(status, 400, "{told}");
    let text = told.to_string();
    assert!(
        text.contains("gateway.upstream_ca_file")
            && text.contains("ca.pem")
            && text.contains("no certificate"),
        "{told}"
    );
    let answer = send(&server, &customer.key, PAID, &script("still"), false).await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_authority_that_is_not_named_vouches_for_nothing() {
    let upstream = Upstream::start_tls(UpstreamScript::default()).await;
    let server = bare().start().await;
    let customer = customer(&server, "no-ca", "10").await;
    open_shop(&server, &upstream).await;
    let answer = send(&server, &customer.key, PAID, &script("no-ca"), false).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(upstream.calls().len(), 0);
}
