//! What money and limits cost: process CPU time per call, the journal's writer and the application
//! to the database included.
//!
//! ```sh
//! cargo bench -p silica-gateway --bench money
//! ```
//!
//! The same calls against an engine that answers at once: straight to the engine, and
//! through the gateway with a priced model, all seven limits, a key with limits of its own, a
//! wallet of two buckets, the journal and an SQLite database. The difference is the price of
//! everything in between, routing and the account of the call included.
//!
//! A second table has the same gateway as one of several nodes, which counts in a Redis of its own on
//! this machine, beside one that is alone: CPU time of both processes, and the time of a call that nothing
//! else runs beside.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark ends with what went wrong, prints its table, and rounds what it prints"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use silica_engine::{
    AnswerForm, ChatEngine, ChatEvent, ChatEventKind, ChatRequest, ChatStream, Continuation, Delta,
    EngineError, Engines, FinishReason, PreparedChat, Priority, Sampling, Thinking, ToolChoice, Usage,
};
use silica_gateway::{Delivery, EngineLoader, Gateway, LoadError};
use silica_platform::{
    BucketKind, Caller, ClusterOptions, ClusterSettings, DatabaseUrl, Deployment, KeyLimits, LimitMetrics,
    Limits, MasterKey, MasterKeys, Meter, NewAccount, NewCredit, NewDeployment, NewKey, NewModel, NewReplica,
    OutagePolicy, Platform, PlatformOptions, Price, ReplicaSpec, Storage, SubType,
};
use silica_testkit::OwnRedis;
use silica_types::{ModelName, Money, Secret, SharedClock, SystemClock, TokenCount, TraceId, UsageSource};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const CALLS: usize = 100_000;
const CLIENTS: usize = 64;
const ROUNDS: usize = 3;
const SINGLE_CALLS: usize = 5_000;
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
    async fn build(redis: Option<&OwnRedis>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let url = DatabaseUrl::sqlite(folder.path().join("silica.db"));
        let storage = Storage::open(&url).await.unwrap();
        let master_keys = MasterKeys::from(MasterKey::random().unwrap());
        let options = PlatformOptions {
            cluster: redis.map(cluster),
            ..PlatformOptions::new(Arc::new(master_keys))
        };
        let platform = Platform::open_with(storage, SharedClock::clone(&clock), options)
            .await
            .unwrap();
        let meter = Meter::open_local(&platform, folder.path()).await.unwrap();
        let gateway = Gateway::new(platform.clone(), meter.clone(), Arc::new(Loader), clock);
        let caller = furnish(&platform).await;
        gateway.reconcile().await.unwrap();
        let (stop, background) = (CancellationToken::new(), TaskTracker::new());
        background.spawn(meter.clone().apply_loop(stop.clone()));
        background.spawn(meter.clone().cluster_loop(stop.clone()));
        platform.joined().await;
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
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn close(self) {
        self.stop.cancel();
        self.background.close();
        self.background.wait().await;
        self.meter.leave_cluster().await;
        self.meter.journal().clone().close().await;
    }
}

/// How the node takes part, alone in its cluster.
fn cluster(redis: &OwnRedis) -> ClusterSettings {
    ClusterSettings {
        options: ClusterOptions {
            url: Secret::new(redis.url()),
            namespace: "bench".to_owned(),
            node: silica_types::new_uuid(&SystemClock),
            timeout: Duration::from_secs(5),
            member_timeout: Duration::from_mins(1),
            forget_after: Duration::from_mins(1),
        },
        outage: OutagePolicy::Refuse,
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
    println!(
        "\n| round | counts | node, us/call | Redis, us/call | calls/s | one at a time: p50, us | p99, us |\n|---|---|---|---|---|---|---|"
    );
    let redis = runtime.block_on(OwnRedis::start());
    for round in 1..=ROUNDS {
        runtime.block_on(compare(round, "alone", None));
        runtime.block_on(compare(round, "in Redis", Some(&redis)));
    }
}

/// One node under load, and then with one call at a time.
async fn compare(round: usize, name: &str, redis: Option<&OwnRedis>) {
    let house = Arc::new(House::build(redis).await);
    let (begun, beside, wall) = (cpu_us(), redis.map_or(0, OwnRedis::cpu_us), Instant::now());
    load(&house).await;
    let rate = CALLS as f64 / wall.elapsed().as_secs_f64();
    house.settled().await;
    let (node, beside) = (cpu_us() - begun, redis.map_or(0, OwnRedis::cpu_us) - beside);
    let mut times = Vec::with_capacity(SINGLE_CALLS);
    for _ in 0..SINGLE_CALLS {
        let begun = Instant::now();
        house.call().await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let at = |part: usize| times[SINGLE_CALLS * part / 100].as_secs_f64() * 1e6;
    println!(
        "| {round} | {name} | {:.1} | {:.1} | {rate:.0} | {:.0} | {:.0} |",
        per_call(node),
        per_call(beside),
        at(50),
        at(99)
    );
    house.settled().await;
    if let Ok(house) = Arc::try_unwrap(house) {
        house.close().await;
    }
}

fn per_call(us: i64) -> f64 {
    us as f64 / CALLS as f64
}

/// All calls, of all clients.
async fn load(house: &Arc<House>) {
    let tracker = TaskTracker::new();
    for _ in 0..CLIENTS {
        let house = Arc::clone(house);
        tracker.spawn(async move {
            for _ in 0..CALLS / CLIENTS {
                house.call().await;
            }
        });
    }
    tracker.close();
    tracker.wait().await;
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

    let house = Arc::new(House::build(None).await);
    let (begun, wall) = (cpu_us(), Instant::now());
    load(&house).await;
    let rate = CALLS as f64 / wall.elapsed().as_secs_f64();
    house.settled().await;
    let gateway = cpu_us() - begun;
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
