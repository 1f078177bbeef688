//! A platform on a test's database, and things to put into it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use silica_platform::{
    Account, CreatedKey, NewAccount, NewDeployment, NewKey, NewModel, NewReplica, Platform, SubType,
};
use silica_testkit::database::TestDatabase;
use silica_types::{AccountId, ManualClock, ModelName};

/// What the contract promises for changes made by another process.
pub(crate) const PROMISE: Duration = Duration::from_secs(1);

pub(crate) fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

pub(crate) async fn open(database: &TestDatabase) -> Platform {
    let clock = ManualClock::new(at("2025-02-13T21:22:26.123456789Z"));
    open_at(database, Arc::new(clock)).await
}

pub(crate) async fn open_at(database: &TestDatabase, clock: Arc<ManualClock>) -> Platform {
    Platform::open(database.storage(), clock).await.unwrap()
}

/// Opens a platform as another process would: with connections and memory of its own.
pub(crate) async fn open_other(database: &TestDatabase) -> Platform {
    let clock = Arc::new(ManualClock::new("2025-02-13T21:22:27Z".parse().unwrap()));
    Platform::open(database.reopen().await, clock).await.unwrap()
}

pub(crate) async fn account(platform: &Platform, email: &str) -> Account {
    let new = NewAccount {
        email: email.to_owned(),
        name: "Ada".to_owned(),
    };
    platform.create_account(new).await.unwrap()
}

pub(crate) async fn key(platform: &Platform, account: AccountId) -> CreatedKey {
    platform.create_key(account, NewKey::default()).await.unwrap()
}

pub(crate) async fn put_chat_model(platform: &Platform, id: &str) {
    platform
        .put_model(NewModel::new(ModelName::new(id).unwrap(), SubType::Chat))
        .await
        .unwrap();
}

pub(crate) fn deployment(name: &str, models: &[&str]) -> NewDeployment {
    NewDeployment {
        name: name.to_owned(),
        models: models.iter().map(|id| (*id).to_owned()).collect(),
        policy: None,
        replicas: vec![NewReplica {
            engine: "candle".to_owned(),
            path: Some("/models/tiny".into()),
            ..NewReplica::default()
        }],
        ..NewDeployment::default()
    }
}

pub(crate) async fn put_deployment(platform: &Platform, name: &str, models: &[&str]) {
    let checked = platform.check_deployment(deployment(name, models)).unwrap();
    platform.put_deployment(checked).await.unwrap();
}

/// Waits for a condition, looking often.
///
/// # Panics
/// When it does not hold within [`PROMISE`].
pub(crate) async fn within_the_promise<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    let wait = async {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        while !condition().await {
            look.tick().await;
        }
    };
    tokio::time::timeout(PROMISE, wait)
        .await
        .expect("the change is in force within a second");
}
