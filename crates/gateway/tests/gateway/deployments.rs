//! Loading, changing and dropping deployments.

use std::error::Error as _;
use std::sync::Arc;

use silica_engine::scripted::ChatScript;
use silica_gateway::{GatewayError, error_chain};
use silica_platform::NewReplica;
use tokio::sync::Semaphore;

use super::support::{Fixture, replica};

async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.model("m", |_| {}).await;
    fixture.model("n", |_| {}).await;
    fixture.loader.engine("a", ChatScript::answer(&["a"]));
    fixture.loader.engine("b", ChatScript::answer(&["b"]));
    fixture
}

#[tokio::test]
async fn the_routes_follow_the_catalogue() {
    let fixture = fixture().await;
    assert!(fixture.gateway.is_ready());
    fixture.deploy("d", &["m"], vec![replica("a")]).await;
    assert!(!fixture.gateway.is_ready());
    fixture.gateway.reconcile().await.unwrap();
    assert!(fixture.gateway.is_ready());
    assert!(fixture.chat("m").await.is_ok());
    fixture.deploy("d", &["n"], vec![replica("a")]).await;
    fixture.gateway.reconcile().await.unwrap();
    assert!(fixture.chat("n").await.is_ok());
    assert_eq!(fixture.loader.loads(), 1);
    fixture.platform.delete_deployment("d").await.unwrap();
    fixture.gateway.reconcile().await.unwrap();
    assert!(matches!(fixture.chat("n").await, Err(GatewayError::UnknownModel)));
}

#[tokio::test]
async fn one_bad_deployment_does_not_keep_the_others_from_loading() {
    let fixture = fixture().await;
    fixture
        .deploy("bad", &["m"], vec![replica("a"), replica("broken")])
        .await;
    fixture.deploy("good", &["n"], vec![replica("b")]).await;
    let error = fixture.gateway.reconcile().await.unwrap_err();
    assert_eq!((error.deployment.as_str(), error.replica), ("bad", 1));
    assert!(error.source().is_some());
    assert_eq!(
        error_chain(&error),
        "deployment \"bad\", replica 1: the engine cannot load the model: /models/broken/config.json is missing"
    );
    assert!(fixture.chat("n").await.is_ok());
    assert!(matches!(fixture.chat("m").await, Err(GatewayError::NotLoaded)));
    assert!(!fixture.gateway.is_ready());
    let failure = |name: &str| {
        let catalogue = fixture.platform.catalogue();
        fixture.gateway.load_failure(catalogue.deployment(name).unwrap())
    };
    assert_eq!(failure("bad"), Some(error_chain(&error)));
    assert_eq!(failure("good"), None);
    // Of what is wanted now nothing is known.
    fixture.deploy("bad", &["m"], vec![replica("a")]).await;
    assert_eq!(failure("bad"), None);
    fixture.gateway.reconcile().await.unwrap();
    assert!(fixture.chat("m").await.is_ok());
}

#[tokio::test]
async fn a_prepared_deployment_answers_only_when_committed() {
    let fixture = fixture().await;
    let deployment = fixture.deployment("d", &["m"], vec![replica("a")]);
    let prepared = fixture.gateway.prepare(&deployment).await.unwrap();
    fixture.platform.put_deployment(deployment).await.unwrap();
    assert!(matches!(fixture.chat("m").await, Err(GatewayError::NotLoaded)));
    fixture.gateway.commit(prepared);
    assert!(fixture.chat("m").await.is_ok());
    fixture.platform.delete_deployment("d").await.unwrap();
    fixture.gateway.remove("d");
    fixture.deploy("d", &["m"], vec![replica("a")]).await;
    assert!(matches!(fixture.chat("m").await, Err(GatewayError::NotLoaded)));
}

#[tokio::test]
async fn a_late_commit_does_not_undo_a_newer_deployment() {
    let fixture = Fixture::new().await;
    fixture.model("m", |_| {}).await;
    let older_engine = fixture.loader.engine("a", ChatScript::answer(&["a"]));
    let newer_engine = fixture.loader.engine("b", ChatScript::answer(&["b"]));
    let older = fixture.deployment("d", &["m"], vec![replica("a")]);
    let newer = fixture.deployment("d", &["m"], vec![replica("b")]);
    let older_prepared = fixture.gateway.prepare(&older).await.unwrap();
    let newer_prepared = fixture.gateway.prepare(&newer).await.unwrap();
    fixture.platform.put_deployment(older).await.unwrap();
    fixture.platform.put_deployment(newer).await.unwrap();
    fixture.gateway.commit(newer_prepared);
    fixture.gateway.commit(older_prepared);
    assert!(fixture.chat("m").await.is_ok());
    assert_eq!(
        (older_engine.requests().len(), newer_engine.requests().len()),
        (0, 1)
    );
}

#[tokio::test]
async fn a_late_commit_does_not_bring_a_deleted_deployment_back() {
    let fixture = fixture().await;
    let deployment = fixture.deployment("d", &["m"], vec![replica("a")]);
    let prepared = fixture.gateway.prepare(&deployment).await.unwrap();
    fixture.platform.put_deployment(deployment).await.unwrap();
    fixture.platform.delete_deployment("d").await.unwrap();
    fixture.gateway.remove("d");
    fixture.gateway.commit(prepared);
    // The model is deployed again, but nothing was loaded for it.
    fixture.deploy("e", &["m"], vec![replica("b")]).await;
    assert!(matches!(fixture.chat("m").await, Err(GatewayError::NotLoaded)));
}

#[tokio::test]
async fn a_late_removal_does_not_undo_a_newer_deployment() {
    let fixture = fixture().await;
    fixture.deploy("d", &["m"], vec![replica("a")]).await;
    fixture.gateway.reconcile().await.unwrap();
    let newer = fixture.deployment("d", &["m"], vec![replica("b")]);
    let prepared = fixture.gateway.prepare(&newer).await.unwrap();
    fixture.platform.delete_deployment("d").await.unwrap();
    fixture.platform.put_deployment(newer).await.unwrap();
    fixture.gateway.commit(prepared);
    fixture.gateway.remove("d");
    assert!(fixture.chat("m").await.is_ok());
}

#[tokio::test]
async fn an_engine_is_loaded_once_for_the_operator_and_the_reconciling_task() {
    let fixture = fixture().await;
    let gate = Arc::new(Semaphore::new(0));
    *fixture.loader.gate.lock().unwrap() = Some(Arc::clone(&gate));
    fixture.deploy("d", &["m"], vec![replica("a")]).await;
    let deployment = fixture.deployment("d", &["m"], vec![replica("a")]);
    let both = async { futures::join!(fixture.gateway.prepare(&deployment), fixture.gateway.reconcile()) };
    futures::pin_mut!(both);
    assert!(futures::poll!(both.as_mut()).is_pending());
    gate.close();
    let (prepared, reconciled) = both.await;
    fixture.gateway.commit(prepared.unwrap());
    reconciled.unwrap();
    assert_eq!(fixture.loader.loads(), 1);
}

#[tokio::test]
async fn weights_change_without_loading_and_equal_replicas_have_engines_of_their_own() {
    let fixture = fixture().await;
    fixture
        .deploy("d", &["m"], vec![replica("a"), replica("a")])
        .await;
    fixture.gateway.reconcile().await.unwrap();
    assert_eq!(fixture.loader.loads(), 2);
    let weighted = NewReplica {
        weight: Some(5),
        max_concurrency: Some(1),
        ..replica("a")
    };
    fixture.deploy("d", &["m"], vec![weighted, replica("a")]).await;
    fixture.gateway.reconcile().await.unwrap();
    assert_eq!(fixture.loader.loads(), 2);
    fixture.platform.delete_deployment("d").await.unwrap();
    fixture.gateway.reconcile().await.unwrap();
    fixture.deploy("d", &["m"], vec![replica("a")]).await;
    fixture.gateway.reconcile().await.unwrap();
    assert_eq!(fixture.loader.loads(), 3, "a dropped engine is loaded anew");
}
