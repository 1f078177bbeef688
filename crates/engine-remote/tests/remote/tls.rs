//! Engines behind TLS.

use silica_engine::EngineError;
use silica_engine_remote::{Authorities, RemoteOptions};
use silica_testkit::{Upstream, UpstreamFault, UpstreamScript};

use super::support::{call, options, request, script};

/// A server behind TLS, and options that trust whoever vouches for it.
async fn trusted() -> (Upstream, RemoteOptions) {
    let upstream = Upstream::start_tls(UpstreamScript::default()).await;
    let pem = upstream.authority_pem().unwrap();
    let options = RemoteOptions {
        authorities: Some(Authorities::from_pem(pem.as_bytes()).unwrap()),
        ..options(upstream.base_url())
    };
    (upstream, options)
}

#[tokio::test]
async fn an_authority_that_the_operator_names_is_trusted() {
    let (upstream, options) = trusted().await;
    let told = call(&options, request(&script("trusted"))).await.unwrap();
    assert!(told.is_finished());
    assert_eq!(upstream.calls().len(), 1);
    assert_eq!(
        upstream.requests()[0].authorization.as_deref(),
        Some("Bearer sk-upstream")
    );
}

#[tokio::test]
async fn an_answer_that_is_cut_behind_tls_is_not_taken_for_whole() {
    let (_upstream, options) = trusted().await;
    let cut = UpstreamScript {
        fault: UpstreamFault::Cut(3),
        ..script("cut")
    };
    let told = call(&options, request(&cut)).await.unwrap();
    assert!(!told.is_finished());
    assert_eq!(told.cause().to_string(), "the connection to the engine broke");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_said() {
    let (upstream, options) = trusted().await;
    let options = RemoteOptions {
        authorities: None,
        ..options
    };
    let refused = call(&options, request(&script("untrusted"))).await.unwrap_err();
    assert!(matches!(refused, EngineError::Unavailable), "{refused:?}");
    assert_eq!((upstream.calls().len(), upstream.connections()), (0, 1));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (upstream, options) = trusted().await;
    let options = RemoteOptions {
        base_url: upstream.base_url().replace("127.0.0.1", "localhost"),
        ..options
    };
    let refused = call(&options, request(&script("misnamed"))).await.unwrap_err();
    assert!(matches!(refused, EngineError::Unavailable), "{refused:?}");
    assert_eq!(upstream.calls().len(), 0);
}
