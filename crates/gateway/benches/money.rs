//! What money and limits cost: process CPU time per call, the journal's writer and the application
//! to the database included.
//!
//! ```sh
//! cargo bench -p silica-gateway --bench money
//! ```
//!
//! Two rounds of the same calls against an engine that answers at once: straight to the engine, and
//! through the gateway with a priced model, all seven limits, a key with limits of its own, a
//! wallet of two buckets, the journal and an SQLite database. The difference is the price of
//! everything in between, routing and the account of the call included.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark ends with what went wrong, prints its table, and rounds what it prints"
)]

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use silica_engine::{
    AnswerForm, ChatEngine, ChatEvent, ChatEventKind, ChatRequest, ChatStream, Continuation, Delta,
    EngineError, Engines, FinishReason, PreparedChat, Priority, Sampling, Thinking, ToolChoice, Usage,
};
use silica_gateway::{Delivery, EngineLoader, Gateway, LoadError};
use silica_platform::{
    BucketKind, Caller, DatabaseUrl, Deployment, KeyLimits, LimitMetrics, Limits, Meter, NewAccount,
    NewCredit, NewDeployment, NewKey, NewModel, NewReplica, Platform, Price, ReplicaSpec, Storage, SubType,
};
use silica_types::{ModelName, Money, SharedClock, SystemClock, TokenCount, TraceId, UsageSource};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const CALLS: usize = 100_000;
const CLIENTS: usize = 64;
const ROUNDS: usize = 3;
const MODEL: &str = "bench/model";

/// Answers three events at once.
struct TrivialEngine;

struct Prepared;

#[async_trait]
impl ChatEngine for TrivialEngine {
    async fn prepare(&self, _: Arc<ChatRequest>) -> Result<Box<dyn PreparedChat>, EngineError> {
        Ok(Box::new(Prepared))
    }
}

#[async_trait]
impl PreparedChat for Prepared {
    fn prompt_tokens(&self) -> TokenCount {
        TokenCount(10)
    }

    fn completion_limit(&self) -> TokenCount {
        TokenCount(16)
    }

    fn prompt_source(&self) -> UsageSource {
        UsageSource::Engine
    }

    async fn start(self: Box<Self>) -> Result<ChatStream, EngineError> {
        let usage = Usage {
            prompt: TokenCount(10),
            completion: TokenCount(1),
            ..Usage::default()
        };
        let content = Delta::Content {
            text: "hi".to_owned(),
            logprobs: Vec::new(),
        };
        let kinds = [
            ChatEventKind::Started,
            ChatEventKind::Delta {
                choice: 0,
                delta: content,
            },
            ChatEventKind::Finished {
                choice: 0,
                reason: FinishReason::Stop,
                stop: None,
            },
        ];
        let events = kinds.map(|kind| Ok(ChatEvent { usage, kind }));
        Ok(Box::pin(stream::iter(events)))
    }
}

struct Loader;

#[async_trait]
impl EngineLoader for Loader {
    async fn load(&self, _: &Deployment, _: &ReplicaSpec, _: Option<SubType>) -> Result<Engines, LoadError> {
        Ok(Engines::chat(Arc::new(TrivialEngine)))
    }
}

fn request() -> ChatRequest {
    ChatRequest {
        messages: Vec::new(),
        tools: Vec::new(),
        tool_choice: ToolChoice::Auto,
        parallel_calls: true,
        form: AnswerForm::Text,
        continuation: Continuation::None,
        sampling: Sampling::greedy(),
        max_tokens: TokenCount(16),
        stop: Vec::new(),
        choices: 1,
        logprobs: None,
        thinking: Thinking::default(),
        demands: Vec::new(),
        priority: Priority::default(),
        account: None,
        image_tokens: None,
        wire: None,
    }
}

/// User and system time of the process so far, all threads together, in microseconds.
fn cpu_us() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
}

struct House {
    gateway: Gateway,
    meter: Meter,
    caller: Caller,
    stop: CancellationToken,
    background: TaskTracker,
    _folder: tempfile::TempDir,
}

impl House {
    async fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let url = DatabaseUrl::sqlite(folder.path().join("silica.db"));
        let storage = Storage::open(&url).await.unwrap();
        let platform = Platform::open(storage, SharedClock::clone(&clock)).await.unwrap();
        let meter = Meter::open_local(&platform, folder.path()).await.unwrap();
        let gateway = Gateway::new(platform.clone(), meter.clone(), Arc::new(Loader), clock);
        let caller = furnish(&platform).await;
        gateway.reconcile().await.unwrap();
        let (stop, background) = (CancellationToken::new(), TaskTracker::new());
        background.spawn(meter.clone().apply_loop(stop.clone()));
        Self {
            gateway,
            meter,
            caller,
            stop,
            background,
            _folder: folder,
        }
    }

    async fn call(&self) {
        let trace = TraceId::generate(&SystemClock);
        let call = self
            .gateway
            .chat(&self.caller, MODEL, &trace, request(), Delivery::Streamed)
            .await
            .unwrap();
        call.for_each(|event| {
            event.unwrap();
            std::future::ready(())
        })
        .await;
    }

    async fn settled(&self) {
        while self.meter.journal().backlog() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    async fn close(self) {
        self.stop.cancel();
        self.background.close();
        self.background.wait().await;
        self.meter.journal().clone().close().await;
    }
}

async fn furnish(platform: &Platform) -> Caller {
    let mut model = NewModel::new(ModelName::new(MODEL).unwrap(), SubType::Chat);
    model.price = Price {
        input: Some("0.35".parse().unwrap()),
        output: Some("0.70".parse().unwrap()),
        ..Price::default()
    };
    // All seven metrics, none of which is reached.
    let never = Some(1_000_000_000_000);
    model.limits = Some(Limits::Metrics(LimitMetrics {
        requests_per_minute: never,
        requests_per_hour: never,
        requests_per_day: never,
        tokens_per_minute: never,
        tokens_per_day: never,
        images_per_minute: never,
        images_per_day: never,
    }));
    platform.put_model(model).await.unwrap();
    let deployment = NewDeployment {
        name: "bench".to_owned(),
        models: vec![MODEL.to_owned()],
        policy: None,
        replicas: vec![NewReplica {
            engine: "candle".to_owned(),
            path: Some("/bench".into()),
            ..NewReplica::default()
        }],
        ..NewDeployment::default()
    };
    let deployment = platform.check_deployment(deployment).unwrap();
    platform.put_deployment(deployment).await.unwrap();
    let new = NewAccount {
        email: "bench@example.org".to_owned(),
        name: "Bench".to_owned(),
    };
    let account = platform.create_account(new).await.unwrap();
    for (kind, amount) in [(BucketKind::Gift, "0.05"), (BucketKind::Charge, "100000")] {
        let credit = NewCredit {
            bucket: kind,
            amount: amount.parse::<Money>().unwrap(),
            expires_at: None,
            idempotency_key: None,
        };
        platform.credit(account.id, credit).await.unwrap();
    }
    let limits = KeyLimits {
        monthly_spend: Money::from_yuan(1_000_000),
        requests_per_minute: Some(1_000_000_000),
        tokens_per_minute: Some(1_000_000_000_000),
        ..KeyLimits::default()
    };
    let key = platform
        .create_key(
            account.id,
            NewKey {
                limits: Some(limits),
                ..NewKey::default()
            },
        )
        .await
        .unwrap();
    platform.authenticate(key.key.expose()).unwrap()
}

async fn straight_to_the_engine() {
    let stream = TrivialEngine.chat(request()).await.unwrap();
    stream
        .for_each(|event| {
            event.unwrap();
            std::future::ready(())
        })
        .await;
}

fn main() {
    // Tests run the benches of a crate as well; the numbers of a debug build would mislead.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    println!(
        "| round | straight, us/call | gateway, us/call | difference | calls/s |\n|---|---|---|---|---|"
    );
    for round in 1..=ROUNDS {
        runtime.block_on(run(round));
    }
}

async fn run(round: usize) {
    let begun = cpu_us();
    let tracker = TaskTracker::new();
    for _ in 0..CLIENTS {
        tracker.spawn(async {
            for _ in 0..CALLS / CLIENTS {
                straight_to_the_engine().await;
            }
        });
    }
    tracker.close();
    tracker.wait().await;
    let straight = cpu_us() - begun;

    let house = Arc::new(House::build().await);
    let (begun, wall) = (cpu_us(), Instant::now());
    let tracker = TaskTracker::new();
    for _ in 0..CLIENTS {
        let house = Arc::clone(&house);
        tracker.spawn(async move {
            for _ in 0..CALLS / CLIENTS {
                house.call().await;
            }
        });
    }
    tracker.close();
    tracker.wait().await;
    let rate = CALLS as f64 / wall.elapsed().as_secs_f64();
    house.settled().await;
    let gateway = cpu_us() - begun;
    let per_call = |us: i64| us as f64 / CALLS as f64;
    println!(
        "| {round} | {:.2} | {:.2} | {:.2} | {rate:.0} |",
        per_call(straight),
        per_call(gateway),
        per_call(gateway - straight)
    );
    if let Ok(house) = Arc::try_unwrap(house) {
        house.close().await;
    }
}
