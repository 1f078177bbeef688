//! Records to store.

use jiff::Timestamp;
use silica_billing::{Monthly, Price};
use silica_storage::{
    Account, AccountStatus, ApiKey, CatalogueModel, Deployment, EngineKind, KeyHash, KeyStatus, ModelStatus,
    ReplicaSpec, RoutingPolicy, Scope, Storage, SubType, Write,
};
use silica_types::{AccountId, ApiKeyId, ManualClock, ModelName};

/// The moment at which everything in these tests happens, with microseconds.
pub(crate) fn time() -> Timestamp {
    "2025-02-13T21:22:26.123456Z".parse().unwrap()
}

pub(crate) fn later() -> Timestamp {
    "2025-02-14T00:00:00.000001Z".parse().unwrap()
}

pub(crate) fn account(email: &str) -> Account {
    Account {
        id: AccountId::new(&ManualClock::new(time())),
        email: email.to_owned(),
        name: "名字 Ada".to_owned(),
        status: AccountStatus::Normal,
        verified: false,
        level_override: None,
        spent: Monthly::default(),
        bought: Monthly::default(),
        created_at: time(),
        updated_at: time(),
    }
}

pub(crate) fn key(account: AccountId, hash: u8) -> ApiKey {
    ApiKey {
        id: ApiKeyId::new(&ManualClock::new(time())),
        account,
        hash: KeyHash([hash; 32]),
        hint: "wxyz".to_owned(),
        description: "for the tests".to_owned(),
        status: KeyStatus::Normal,
        limits: None,
        expires_at: None,
        created_at: time(),
        updated_at: time(),
    }
}

pub(crate) fn name(id: &str) -> ModelName {
    ModelName::new(id).unwrap()
}

pub(crate) fn model(id: &str) -> CatalogueModel {
    CatalogueModel {
        id: name(id),
        model_type: SubType::Chat.model_type(),
        sub_type: SubType::Chat,
        context_length: None,
        features: Vec::new(),
        vision: None,
        tags: Vec::new(),
        price: Price::default(),
        limits: None,
        real_name: false,
        charge_only: false,
        status: ModelStatus::Normal,
        description: String::new(),
        created_at: time(),
        updated_at: time(),
    }
}

pub(crate) fn deployment(deployment: &str, models: &[&str]) -> Deployment {
    Deployment {
        name: deployment.to_owned(),
        models: models.iter().map(|id| name(id)).collect(),
        policy: RoutingPolicy::LeastBusy,
        replicas: vec![ReplicaSpec {
            engine: EngineKind::Candle,
            path: Some("models/tiny".into()),
            adapter: None,
            quantize: None,
            url: None,
            api_key: None,
            upstream_model: None,
            allow_private: false,
            weight: 1,
            max_concurrency: None,
            drain: false,
            continuous_usage: false,
            health_path: None,
            connect_timeout_ms: None,
            first_token_timeout_ms: None,
            stall_timeout_ms: None,
        }],
        fallbacks: Vec::new(),
        created_at: time(),
        updated_at: time(),
    }
}

/// Begins a change of accounts or keys.
pub(crate) async fn begin(storage: &Storage) -> Write {
    storage.begin(Scope::Accounts).await.unwrap()
}

/// Begins a change of the catalogue.
pub(crate) async fn begin_catalogue(storage: &Storage) -> Write {
    storage.begin(Scope::Catalogue).await.unwrap()
}
