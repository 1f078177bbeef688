//! An API over one scripted engine.

pub(crate) mod tcp;
mod texts;

use std::io;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use silica_api::{ApiConfig, ApiState};
use silica_engine::scripted::{ChatScript, ScriptedChatEngine};
use silica_engine::{ChatRequest, Engines};
use silica_gateway::{EngineLoader, Gateway, LoadError};
use silica_platform::{
    AccountChanges, AccountStatus, Bucket, BucketKind, DatabaseUrl, Deployment, Meter, ModelFeature,
    ModelStatus, NewAccount, NewDeployment, NewKey, NewModel, NewReplica, Platform, ReplicaSpec, Storage,
    SubType,
};
use silica_types::{AccountId, BucketId, ManualClock, ModelName, Money, SharedClock, SystemClock};
use tempfile::TempDir;
use tower::ServiceExt as _;
use tracing_subscriber::fmt::MakeWriter;

use self::texts::TextEngine;

/// The time at which every call begins: that of the contract's capture (section 3.5).
pub(crate) const NOW: i64 = 1_739_846_374;

/// The API with what is behind it. The catalogue has, in this order: `plain` (no features), `full`
/// (JSON, tools, prefix, FIM, reasoning), `off` (disabled) and `undeployed`.
pub(crate) struct App {
    pub(crate) router: Router,
    pub(crate) state: ApiState,
    pub(crate) storage: Storage,
    pub(crate) engine: ScriptedChatEngine,
    pub(crate) texts: TextEngine,
    pub(crate) key: String,
    pub(crate) account: AccountId,
    _folder: TempDir,
}

impl App {
    /// What the engine was asked, without the account, whose id is new in each run.
    pub(crate) fn requests(&self) -> Vec<ChatRequest> {
        let mut requests = self.engine.requests();
        for request in &mut requests {
            assert!(
                request.account.take().is_some(),
                "the engine knows whose prompt it is"
            );
        }
        requests
    }

    pub(crate) async fn new() -> Self {
        Self::with_config(ApiConfig::default()).await
    }

    pub(crate) async fn with_config(config: ApiConfig) -> Self {
        let folder = TempDir::new().unwrap();
        let manual = Arc::new(ManualClock::new(jiff::Timestamp::from_second(NOW - 4).unwrap()));
        let clock = Arc::clone(&manual) as SharedClock;
        let storage = Storage::open(&DatabaseUrl::sqlite(folder.path().join("silica.db")))
            .await
            .unwrap();
        let platform = Platform::open(storage.clone(), SharedClock::clone(&clock))
            .await
            .unwrap();
        let new = NewAccount {
            email: "ann@example.org".to_owned(),
            name: "Ann".to_owned(),
        };
        let account = platform.create_account(new).await.unwrap().id;
        let key = platform.create_key(account, NewKey::default()).await.unwrap().key;
        fill_catalogue(&platform, &manual).await;
        let engine = ScriptedChatEngine::new(ChatScript::answer(&["Hel", "lo"]));
        let texts = TextEngine::default();
        let meter = Meter::open_local(&platform, folder.path()).await.unwrap();
        let gateway = Gateway::new(
            platform.clone(),
            meter,
            Arc::new(Loader(engine.clone(), texts.clone())),
            SharedClock::clone(&clock),
        );
        gateway.reconcile().await.unwrap();
        let state = ApiState {
            platform,
            gateway,
            clock,
            config: Arc::new(config),
        };
        let router = silica_api::router(state.clone());
        Self {
            router,
            state,
            storage,
            engine,
            texts,
            key: key.expose().to_owned(),
            account,
            _folder: folder,
        }
    }

    pub(crate) async fn disable_account(&self) {
        let changes = AccountChanges {
            status: Some(AccountStatus::Disabled),
            ..AccountChanges::default()
        };
        self.state
            .platform
            .update_account(self.account, changes)
            .await
            .unwrap();
    }

    /// Adds `silica/embed` and `silica/rerank` to the catalogue, at a price in CNY for each token.
    pub(crate) async fn add_texts(&self, price: Option<&str>) {
        let platform = &self.state.platform;
        let models = [
            ("silica/embed", SubType::Embedding),
            ("silica/rerank", SubType::Reranker),
        ];
        for (name, kind) in models {
            let mut model = NewModel::new(ModelName::new(name).unwrap(), kind);
            model.price.input = price.map(|price| price.parse().unwrap());
            platform.put_model(model).await.unwrap();
        }
        let names = models.map(|(name, _)| name.to_owned());
        deploy(platform, "texts", names.to_vec()).await;
        self.state.gateway.reconcile().await.unwrap();
    }

    /// Puts money on the account.
    pub(crate) fn charge(&self, yuan: i64) {
        self.state.platform.wallets().install(&Bucket {
            id: BucketId::new(&SystemClock),
            account: self.account,
            kind: BucketKind::Charge,
            balance: Money::from_yuan(yuan).unwrap(),
            expires_at: None,
            version: 1,
        });
    }

    /// A request with the key of the account.
    pub(crate) fn request(&self, method: Method, path: &str, body: impl Into<Body>) -> Request<Body> {
        let builder = Request::builder().method(method).uri(path);
        builder
            .header("authorization", format!("Bearer {}", self.key))
            .body(body.into())
            .unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        Answer::read(self.respond(request).await).await
    }

    /// The response with its body unread.
    pub(crate) async fn respond(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path, Body::empty())).await
    }

    pub(crate) async fn chat(&self, body: &Value) -> Answer {
        self.send(self.request(Method::POST, "/v1/chat/completions", body.to_string()))
            .await
    }

    /// Posts JSON to a path below `/v1`.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let path = format!("/v1{path}");
        self.send(self.request(Method::POST, &path, body.to_string()))
            .await
    }

    pub(crate) async fn chat_text(&self, body: impl Into<Body>) -> Answer {
        self.send(self.request(Method::POST, "/v1/chat/completions", body))
            .await
    }
}

/// Stores the models a second apart, since the catalogue lists them by age.
async fn fill_catalogue(platform: &Platform, clock: &ManualClock) {
    let features = [
        ModelFeature::Json,
        ModelFeature::Tools,
        ModelFeature::Prefix,
        ModelFeature::Fim,
        ModelFeature::Reasoning,
    ];
    for name in ["plain", "full", "off", "undeployed"] {
        let mut model = NewModel::new(ModelName::new(&format!("silica/{name}")).unwrap(), SubType::Chat);
        if name == "full" {
            model.features = features.to_vec();
        }
        if name == "off" {
            model.status = ModelStatus::Disabled;
        }
        platform.put_model(model).await.unwrap();
        clock.advance(jiff::SignedDuration::from_secs(1));
    }
    let models = ["silica/plain", "silica/full", "silica/off"].map(str::to_owned);
    deploy(platform, "d", models.to_vec()).await;
}

async fn deploy(platform: &Platform, name: &str, models: Vec<String>) {
    let replica = NewReplica {
        engine: "candle".to_owned(),
        path: Some("/m".into()),
        ..NewReplica::default()
    };
    let new = NewDeployment {
        name: name.to_owned(),
        models,
        policy: None,
        replicas: vec![replica],
        ..NewDeployment::default()
    };
    let deployment = platform.check_deployment(new).unwrap();
    platform.put_deployment(deployment).await.unwrap();
}

struct Loader(ScriptedChatEngine, TextEngine);

#[async_trait]
impl EngineLoader for Loader {
    async fn load(
        &self,
        _deployment: &Deployment,
        _replica: &ReplicaSpec,
        _: Option<SubType>,
    ) -> Result<Engines, LoadError> {
        Ok(Engines {
            embed: Some(Arc::new(self.1.clone())),
            rerank: Some(Arc::new(self.1.clone())),
            ..Engines::chat(Arc::new(self.0.clone()))
        })
    }
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn read(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks an error object of the current dialect, and that it carries a trace id.
    pub(crate) fn assert_error(&self, status: u16, code: u32, message: &str) {
        assert_eq!(
            self.json(),
            json!({"code": code, "message": message, "data": null})
        );
        assert_eq!(self.status, status, "{message}");
        assert_eq!(self.header("content-type"), "application/json; charset=utf-8");
        assert!(!self.header("x-siliconcloud-trace-id").is_empty());
    }
}

/// A chat request to `model` with further fields.
pub(crate) fn chat(model: &str, fields: &Value) -> Value {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]});
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

/// Keeps what is logged.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Collects the log of this thread, whatever its level, until the guard is dropped.
    pub(crate) fn collect() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(log.clone())
            .with_ansi(false)
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
