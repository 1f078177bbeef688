//! How often one forwarded call allocates, from the request to the last byte of its answer, and what an open
//! stream holds, with keys, limits, price, wallet, journal, metrics and log line. The HTTP server and the
//! threads of the journal are left out.

#![expect(
    clippy::unwrap_used,
    reason = "test support: what fails here is a failed test"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use metrics_exporter_prometheus::PrometheusBuilder;
use silica_api::{ApiConfig, ApiState};
use silica_engine::Engines;
use silica_engine_remote::{RemoteEngine, RemoteOptions};
use silica_gateway::{EngineLoader, Gateway, LoadError};
use silica_platform::{
    BucketKind, DatabaseUrl, Deployment, KeyLimits, LimitMetrics, Limits, Meter, NewAccount, NewCredit,
    NewDeployment, NewKey, NewModel, NewReplica, Platform, Price, ReplicaSpec, Storage, SubType,
};
use silica_types::{ModelName, SharedClock, SystemClock};
use tempfile::TempDir;
use tower::ServiceExt as _;

/// Calls that make what is made once.
const WARM_UP: usize = 20;
/// Calls that are counted.
const COUNTED: u64 = 50;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Bytes that were asked for, less those that were given back.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// Counts what each thread asks for.
struct Counting;

fn allocates(bytes: usize) {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    HELD.set(HELD.get() + bytes.cast_signed());
}

fn gives_back(bytes: usize) {
    HELD.set(HELD.get() - bytes.cast_signed());
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "hands everything on to the system's allocator")]
// SAFETY: each function does what the system's does, with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        allocates(layout.size());
        // SAFETY: as asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        gives_back(layout.size());
        // SAFETY: as asked for.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        gives_back(layout.size());
        allocates(size);
        // SAFETY: as asked for.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Serves each connection on a thread of its own, with the same answer for all requests.
fn serve(answer: impl Into<Arc<str>>) -> SocketAddr {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let (connection, answer) = (connection.unwrap(), Arc::clone(&answer));
            // Ends with the connection.
            thread::spawn(move || serve_connection(&connection, &answer));
        }
    });
    address
}

fn serve_connection(mut connection: &TcpStream, answer: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        reader.read_exact(&mut vec![0; length])?;
        connection.write_all(answer.as_bytes())?;
    }
}

const WHOLE: &str = r#"{"id":"up","object":"chat.completion","created":1,"model":"up","choices":[{"index":0,"message":{"role":"assistant","content":"The quick brown fox"},"finish_reason":"stop"}],"usage":{"prompt_tokens":21,"completion_tokens":32,"total_tokens":53}}"#;

const FIRST: &str = r#"{"id":"up","object":"chat.completion.chunk","created":1,"model":"up","choices":[{"index":0,"delta":{"content":"tok0 "},"finish_reason":null}]}"#;

struct Loader(SocketAddr);

#[async_trait]
impl EngineLoader for Loader {
    async fn load(
        &self,
        _deployment: &Deployment,
        _replica: &ReplicaSpec,
        _: Option<SubType>,
    ) -> Result<Engines, LoadError> {
        let options = RemoteOptions {
            allow_private: true,
            health_path: Some(String::new()),
            ..RemoteOptions::new(format!("http://{}/v1", self.0), "up")
        };
        Ok(RemoteEngine::new(&options, Arc::new(SystemClock))
            .unwrap()
            .engines())
    }
}

/// The API with one priced, limited model, and a key with limits of its own.
async fn house(engine: SocketAddr) -> (Router, String, TempDir) {
    let folder = TempDir::new().unwrap();
    let clock: SharedClock = Arc::new(SystemClock);
    let storage = Storage::open(&DatabaseUrl::sqlite(folder.path().join("silica.db")))
        .await
        .unwrap();
    let platform = Platform::open(storage, SharedClock::clone(&clock)).await.unwrap();
    let key = furnish(&platform).await;
    let meter = Meter::open_local(&platform, folder.path()).await.unwrap();
    let loader = Arc::new(Loader(engine));
    let gateway = Gateway::new(platform.clone(), meter, loader, SharedClock::clone(&clock));
    gateway.reconcile().await.unwrap();
    let router = silica_api::router(ApiState {
        platform,
        gateway,
        clock,
        config: Arc::new(ApiConfig::default()),
    });
    (router, key, folder)
}

async fn furnish(platform: &Platform) -> String {
    let never = Some(1_000_000_000);
    let mut model = NewModel::new(ModelName::new("m").unwrap(), SubType::Chat);
    model.price = Price {
        input: Some("1".parse().unwrap()),
        output: Some("2".parse().unwrap()),
        ..Price::default()
    };
    model.limits = Some(Limits::Metrics(LimitMetrics {
        requests_per_minute: never,
        requests_per_hour: never,
        requests_per_day: never,
        tokens_per_minute: never,
        tokens_per_day: never,
        ..LimitMetrics::default()
    }));
    platform.put_model(model).await.unwrap();
    let deployment = platform.check_deployment(NewDeployment {
        name: "d".to_owned(),
        models: vec!["m".to_owned()],
        replicas: vec![NewReplica {
            engine: "openai".to_owned(),
            url: Some("http://127.0.0.1:1/v1".to_owned()),
            allow_private: true,
            ..NewReplica::default()
        }],
        ..NewDeployment::default()
    });
    platform.put_deployment(deployment.unwrap()).await.unwrap();
    let person = NewAccount {
        email: "ann@example.org".to_owned(),
        name: "Ann".to_owned(),
    };
    let account = platform.create_account(person).await.unwrap().id;
    for bucket in [BucketKind::Gift, BucketKind::Charge] {
        let credit = NewCredit {
            bucket,
            amount: "100000".parse().unwrap(),
            expires_at: None,
            idempotency_key: None,
        };
        platform.credit(account, credit).await.unwrap();
    }
    let limits = KeyLimits {
        models: vec![ModelName::new("m").unwrap()],
        monthly_spend: Some("1000000".parse().unwrap()),
        requests_per_minute: Some(1_000_000_000),
        tokens_per_minute: Some(1_000_000_000),
        ..KeyLimits::default()
    };
    let key = NewKey {
        limits: Some(limits),
        ..NewKey::default()
    };
    platform
        .create_key(account, key)
        .await
        .unwrap()
        .key
        .expose()
        .to_owned()
}

/// A call of the model with this body.
fn call(key: &str, body: &'static str) -> Request<Body> {
    Request::post("/v1/chat/completions")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap()
}

/// How often a call allocates, on the average.
async fn allocations(router: &Router, key: &str, body: &'static str) -> u64 {
    let mut all = 0;
    for number in 0..WARM_UP as u64 + COUNTED {
        let (request, router) = (call(key, body), router.clone());
        let before = ALLOCATIONS.get();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame.unwrap();
        }
        drop(body);
        if number >= WARM_UP as u64 {
            all += ALLOCATIONS.get() - before;
        }
        assert_eq!(status, 200);
    }
    all / COUNTED
}

/// Metrics and log lines as the server has them, but to nowhere.
fn watched() -> impl Sized {
    let recorder: &'static _ = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
    let log = tracing_subscriber::fmt().with_writer(std::io::sink).finish();
    (
        metrics::set_default_local_recorder(recorder),
        tracing::subscriber::set_default(log),
    )
}

/// Everything that a call allocates on its way in and out is known. Who makes it more has to say why, and
/// who makes it less may lower the bound. 113 when this was written.
#[tokio::test]
async fn a_forwarded_chat_allocates_no_more_than_it_did() {
    let _watched = watched();
    let length = WHOLE.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{WHOLE}"
    );
    let (router, key, _folder) = house(serve(answer)).await;
    let body = r#"{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Tell me about the quick brown fox."}],"max_tokens":64,"temperature":0.7}"#;
    let counted = allocations(&router, &key, body).await;
    assert!(counted <= 120, "{counted} allocations a call");
}

/// Streams are many, and most of them wait. 6.4 KB when this was written, in a debug build.
#[tokio::test]
async fn an_open_stream_that_waits_holds_no_more_than_it_did() {
    const STREAMS: usize = 40;
    let _watched = watched();
    let frame = format!("data: {FIRST}\n\n");
    let length = frame.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{frame}\r\n"
    );
    let (router, key, _folder) = house(serve(answer)).await;
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Take your time."}],"max_tokens":64,"stream":true}"#;
    let mut open = Vec::with_capacity(2 * STREAMS);
    let mut before = 0;
    for number in 0..2 * STREAMS {
        if number == STREAMS {
            before = HELD.get();
        }
        let response = router.clone().oneshot(call(&key, body)).await.unwrap();
        let mut body = response.into_body();
        assert!(
            body.frame()
                .await
                .unwrap()
                .unwrap()
                .into_data()
                .unwrap()
                .starts_with(b"data: ")
        );
        open.push(body);
    }
    // Lets what watches them begin to wait.
    tokio::task::yield_now().await;
    let held = (HELD.get() - before).cast_unsigned() / STREAMS;
    assert!(held <= 8 * 1024, "{held} bytes a stream");
}
