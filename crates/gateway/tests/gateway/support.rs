//! A gateway over scripted engines.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use silica_engine::scripted::{ChatScript, ScriptedChatEngine};
use silica_engine::{
    AnswerForm, ChatRequest, Continuation, EngineError, Engines, HealthProbe, Priority, Sampling, Thinking,
    ToolChoice,
};
use silica_gateway::{Delivery, EngineLoader, Gateway, LoadError, ReplicaState};
use silica_platform::{
    Bucket, BucketKind, Caller, DatabaseUrl, Deployment, Meter, NewDeployment, NewModel, NewReplica,
    Platform, Price, ReplicaSpec, Storage, SubType, UsageEvent,
};
use silica_types::{
    AccountId, ApiKeyId, BucketId, Clock as _, ModelName, Money, SharedClock, SystemClock, TokenCount,
    TraceId,
};
use tempfile::TempDir;
use tokio::sync::{Semaphore, watch};
use tracing_subscriber::fmt::MakeWriter;

/// A gateway with what is around it.
pub(crate) struct Fixture {
    pub(crate) platform: Platform,
    pub(crate) meter: Meter,
    pub(crate) gateway: Gateway,
    /// Who makes the calls of [`Fixture::chat`].
    pub(crate) caller: Caller,
    pub(crate) loader: Arc<ScriptedLoader>,
    _folder: TempDir,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let storage = Storage::open(&DatabaseUrl::sqlite(folder.path().join("silica.db")))
            .await
            .unwrap();
        let platform = Platform::open(storage, SharedClock::clone(&clock)).await.unwrap();
        let loader = Arc::new(ScriptedLoader::default());
        let meter = Meter::open_local(&platform, folder.path()).await.unwrap();
        let gateway = Gateway::new(
            platform.clone(),
            meter.clone(),
            Arc::clone(&loader) as Arc<dyn EngineLoader>,
            clock,
        );
        Self {
            platform,
            meter,
            gateway,
            caller: Caller::new(AccountId::new(&SystemClock), ApiKeyId::new(&SystemClock)),
            loader,
            _folder: folder,
        }
    }

    /// A gateway with one model `m` on one replica with this script.
    pub(crate) async fn with_script(script: ChatScript) -> (Self, ScriptedChatEngine) {
        let fixture = Self::new().await;
        fixture.model("m", |_| {}).await;
        let engine = fixture.loader.engine("a", script);
        fixture.deploy("d", &["m"], vec![replica("a")]).await;
        fixture.gateway.reconcile().await.unwrap();
        (fixture, engine)
    }

    pub(crate) async fn model(&self, name: &str, change: impl FnOnce(&mut NewModel)) {
        let mut model = NewModel::new(ModelName::new(name).unwrap(), SubType::Chat);
        change(&mut model);
        self.platform.put_model(model).await.unwrap();
    }

    /// Gives the caller a bucket with this much money.
    pub(crate) fn bucket(&self, kind: BucketKind, yuan: i64) -> BucketId {
        let tomorrow = SystemClock.now() + SignedDuration::from_hours(24);
        let bucket = Bucket {
            id: BucketId::new(&SystemClock),
            account: self.caller.account,
            kind,
            balance: Money::from_yuan(yuan).unwrap(),
            expires_at: (kind == BucketKind::Voucher).then_some(tomorrow),
            version: 1,
        };
        self.platform.wallets().install(&bucket);
        bucket.id
    }

    /// What the caller has left, in whole CNY.
    pub(crate) fn total_yuan(&self) -> i64 {
        let wallets = self.platform.wallets();
        let balances = wallets.balances(self.caller.account, SystemClock.now());
        balances.total().nano() / 1_000_000_000
    }

    /// The calls that the journal holds, oldest first.
    pub(crate) async fn events(&self) -> Vec<UsageEvent> {
        let entries = self.meter.journal().unapplied(1000).await.unwrap();
        entries.into_iter().map(|entry| entry.event).collect()
    }

    /// Checks a deployment without storing it.
    pub(crate) fn deployment(&self, name: &str, models: &[&str], replicas: Vec<NewReplica>) -> Deployment {
        let models = models.iter().map(ToString::to_string).collect();
        let new = NewDeployment {
            name: name.to_owned(),
            models,
            policy: None,
            replicas,
            ..NewDeployment::default()
        };
        self.platform.check_deployment(new).unwrap()
    }

    /// Stores a deployment, without loading it.
    pub(crate) async fn deploy(&self, name: &str, models: &[&str], replicas: Vec<NewReplica>) {
        self.platform
            .put_deployment(self.deployment(name, models, replicas))
            .await
            .unwrap();
    }

    /// How the replicas of the deployment `d` are doing.
    pub(crate) fn states(&self) -> Vec<ReplicaState> {
        let catalogue = self.platform.catalogue();
        let deployment = catalogue.deployment("d").unwrap();
        self.gateway.replica_states(deployment).unwrap()
    }

    pub(crate) async fn chat(
        &self,
        model: &str,
    ) -> Result<silica_gateway::Call, silica_gateway::GatewayError> {
        self.chat_with(model, request()).await
    }

    pub(crate) async fn chat_with(
        &self,
        model: &str,
        request: ChatRequest,
    ) -> Result<silica_gateway::Call, silica_gateway::GatewayError> {
        self.chat_as(model, request, Delivery::Streamed).await
    }

    pub(crate) async fn chat_as(
        &self,
        model: &str,
        request: ChatRequest,
        delivery: Delivery,
    ) -> Result<silica_gateway::Call, silica_gateway::GatewayError> {
        let trace = TraceId::from_caller("trace-1").unwrap();
        self.gateway
            .chat(&self.caller, model, &trace, request, delivery)
            .await
    }
}

/// One CNY for each token, in and out.
pub(crate) fn yuan_a_token() -> Price {
    let price = "1000000".parse().unwrap();
    Price {
        input: Some(price),
        output: Some(price),
        ..Price::default()
    }
}

/// A replica whose engine is registered under this name.
pub(crate) fn replica(name: &str) -> NewReplica {
    NewReplica {
        engine: "candle".to_owned(),
        path: Some(folder_of(name)),
        ..NewReplica::default()
    }
}

fn folder_of(name: &str) -> PathBuf {
    Path::new("/models").join(name)
}

pub(crate) fn request() -> ChatRequest {
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

/// Gives out the engines that a test registered, by folder; others cannot be loaded.
#[derive(Default)]
pub(crate) struct ScriptedLoader {
    engines: Mutex<HashMap<PathBuf, ScriptedChatEngine>>,
    probes: Mutex<HashMap<PathBuf, Arc<ScriptedProbe>>>,
    loads: AtomicUsize,
    /// When set, loading waits until the semaphore is closed.
    pub(crate) gate: Mutex<Option<Arc<Semaphore>>>,
}

impl ScriptedLoader {
    pub(crate) fn engine(&self, name: &str, script: ChatScript) -> ScriptedChatEngine {
        let engine = ScriptedChatEngine::new(script);
        self.engines
            .lock()
            .unwrap()
            .insert(folder_of(name), engine.clone());
        engine
    }

    /// Gives the engine of this name a health probe, which answers.
    pub(crate) fn probe(&self, name: &str) -> Arc<ScriptedProbe> {
        let probe = Arc::new(ScriptedProbe::default());
        let mut probes = self.probes.lock().unwrap();
        probes.insert(folder_of(name), Arc::clone(&probe));
        probe
    }

    /// How many engines were started.
    pub(crate) fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl EngineLoader for ScriptedLoader {
    async fn load(
        &self,
        _deployment: &Deployment,
        replica: &ReplicaSpec,
        _: Option<SubType>,
    ) -> Result<Engines, LoadError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let gate = self.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            let _ = gate.acquire().await;
        }
        let path = replica
            .path
            .clone()
            .ok_or(LoadError::PathMissing(replica.engine))?;
        let engine = self.engines.lock().unwrap().get(&path).cloned();
        let probe = self.probes.lock().unwrap().get(&path).cloned();
        match engine {
            Some(engine) => Ok(Engines {
                health: probe.map(|probe| probe as Arc<dyn HealthProbe>),
                ..Engines::chat(Arc::new(engine))
            }),
            None => Err(LoadError::engine(io::Error::other(format!(
                "{}/config.json is missing",
                path.display()
            )))),
        }
    }
}

/// A health probe that answers what the test wants.
#[derive(Default)]
pub(crate) struct ScriptedProbe {
    manner: Mutex<Manner>,
    asked: watch::Sender<usize>,
}

/// How a probe answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    #[default]
    Well,
    Ill,
    Silent,
}

impl ScriptedProbe {
    pub(crate) fn answer(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    /// Waits until it was asked this many times from now on.
    pub(crate) async fn asked_again(&self, times: usize) {
        let until = self.asked() + times;
        let mut asked = self.asked.subscribe();
        asked.wait_for(|asked| *asked >= until).await.unwrap();
    }
}

#[async_trait]
impl HealthProbe for ScriptedProbe {
    async fn probe(&self, _limit: Duration) -> Result<(), EngineError> {
        self.asked.send_modify(|asked| *asked += 1);
        let manner = *self.manner.lock().unwrap();
        match manner {
            Manner::Well => Ok(()),
            Manner::Ill => Err(EngineError::Unavailable),
            Manner::Silent => std::future::pending().await,
        }
    }
}

/// Keeps what is logged.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Collects the log of this thread until the guard is dropped.
    pub(crate) fn collect() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
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
