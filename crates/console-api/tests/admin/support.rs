//! The router on a database of its own, with engines that follow a script.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use silica_api::ApiConfig;
use silica_console_api::{AdminState, admin_router};
use silica_engine::Engines;
use silica_engine::scripted::{ChatScript, ScriptedChatEngine};
use silica_gateway::{EngineLoader, Gateway, LoadError};
use silica_platform::{Deployment, Meter, Platform, ReplicaSpec, SubType};
use silica_testkit::database::{self, TestDatabase};
use silica_types::{ManualClock, Secret};
use tempfile::TempDir;
use tower::ServiceExt as _;

pub(crate) const ADMIN_KEY: &str = "0123456789abcdef0123456789abcdef";

/// The operator's listener of one test.
pub(crate) struct TestAdmin {
    router: Router,
    pub(crate) platform: Platform,
    pub(crate) gateway: Gateway,
    database: Option<TestDatabase>,
    _folder: TempDir,
}

/// Answers for every folder but `models/broken`.
struct ScriptedLoader;

#[async_trait]
impl EngineLoader for ScriptedLoader {
    async fn load(
        &self,
        _: &Deployment,
        replica: &ReplicaSpec,
        _: Option<SubType>,
    ) -> Result<Engines, LoadError> {
        match &replica.path {
            Some(path) if path.ends_with("broken") => {
                Err(LoadError::engine("models/broken/config.json: no such file"))
            }
            _ => Ok(Engines::chat(Arc::new(ScriptedChatEngine::new(
                ChatScript::answer(&["hi"]),
            )))),
        }
    }
}

impl TestAdmin {
    pub(crate) async fn start() -> Self {
        let database = database::sqlite().await;
        let admin = Self::start_on(&database).await;
        Self {
            database: Some(database),
            ..admin
        }
    }

    /// Starts on the database of a test that runs on several.
    pub(crate) async fn start_on(database: &TestDatabase) -> Self {
        let clock = Arc::new(ManualClock::new("2025-02-13T21:22:26Z".parse().unwrap()));
        let platform = Platform::open(database.storage(), clock.clone()).await.unwrap();
        let folder = TempDir::new().unwrap();
        let meter = Meter::open_local(&platform, folder.path()).await.unwrap();
        let gateway = Gateway::new(platform.clone(), meter, Arc::new(ScriptedLoader), clock.clone());
        let state = AdminState {
            platform: platform.clone(),
            gateway: gateway.clone(),
            admin_key: Secret::new(ADMIN_KEY),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            clock,
            body: ApiConfig::default().body,
        };
        Self {
            router: admin_router(state),
            platform,
            gateway,
            database: None,
            _folder: folder,
        }
    }

    /// The database of a test that runs on SQLite alone.
    pub(crate) fn database(&self) -> &TestDatabase {
        self.database.as_ref().unwrap()
    }

    /// Sends a request with the admin key.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        let body = body.map_or_else(String::new, |body| body.to_string());
        self.send_text(method, path, &body, Some(ADMIN_KEY)).await
    }

    /// Sends any text, with any key or none.
    pub(crate) async fn send_text(&self, method: Method, path: &str, body: &str, key: Option<&str>) -> Reply {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let headers: Vec<_> = bearer
            .iter()
            .map(|value| ("authorization", value.as_str()))
            .collect();
        self.send_with(method, path, body, &headers).await
    }

    /// Sends any text with any headers.
    pub(crate) async fn send_with(
        &self,
        method: Method,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let headers = response.headers().clone();
        let traced = response.headers().contains_key("x-siliconcloud-trace-id");
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(traced, "every response carries a trace id: {text}");
        Reply {
            status,
            headers,
            text,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, None).await
    }

    /// Makes an account and returns its path.
    pub(crate) async fn account(&self, email: &str) -> String {
        let made = self
            .post("/admin/v1/accounts", json!({"email": email, "name": "Ada"}))
            .await
            .ok();
        format!("/admin/v1/accounts/{}", made["id"].as_str().unwrap())
    }

    pub(crate) async fn chat_model(&self, id: &str) {
        self.put(
            "/admin/v1/models",
            json!({"id": id, "type": "text", "sub_type": "chat"}),
        )
        .await
        .ok();
    }
}

/// A response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    /// Expects 200 and returns the JSON.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        serde_json::from_str(&self.text).unwrap()
    }

    /// Expects an error envelope and returns its message.
    pub(crate) fn refused(&self, status: u16, code: u32) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        let body: Value = serde_json::from_str(&self.text).unwrap();
        assert_eq!(
            (&body["code"], &body["data"]),
            (&json!(code), &Value::Null),
            "{}",
            self.text
        );
        body["message"].as_str().unwrap().to_owned()
    }
}

/// Replaces what differs from run to run.
pub(crate) fn without_ids(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut() {
        for name in ["id", "key", "hint"] {
            if let Some(field) = object.get_mut(name) {
                *field = json!(format!("[{name}]"));
            }
        }
    }
    value
}
