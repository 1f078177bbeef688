//! Two replicas of one model, of which the first is always asked first.

use std::sync::Mutex;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use silica_testkit::{DeadEnd, FirstFrame, TestServer, Upstream, UpstreamFault, UpstreamScript};

use crate::support::bare;
use crate::till::{CALL_COST, Customer, booked, customer, nano, put};

/// The longest wait for a connection, for the first token and between two frames, in this test.
const WAIT_MS: u32 = 300;
/// What a test waits at most for an answer: many times the waits above, far below the usual ones.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server with a customer, and what the calls should have cost.
pub(crate) struct Shop {
    pub(crate) server: TestServer,
    customer: Customer,
    due: Mutex<Vec<(String, i64)>>,
}

/// What a client was told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) text: String,
}

/// A replica to be asked.
pub(crate) enum Replica {
    Engine(Upstream),
    /// An engine, asked at another address than its own.
    Misaddressed(Upstream, String),
    Dead(DeadEnd),
}

impl Replica {
    pub(crate) async fn with(fault: UpstreamFault) -> Self {
        Self::Engine(Upstream::start_with(faulty(fault)).await)
    }

    fn url(&self) -> String {
        match self {
            Self::Engine(upstream) => upstream.base_url(),
            Self::Misaddressed(_, url) => url.clone(),
            Self::Dead(end) => end.base_url(),
        }
    }

    /// How many requests it has read.
    pub(crate) fn calls(&self) -> usize {
        match self {
            Self::Engine(upstream) | Self::Misaddressed(upstream, _) => upstream.calls().len(),
            Self::Dead(_) => 0,
        }
    }

    /// How many connections it has taken.
    pub(crate) fn connections(&self) -> usize {
        match self {
            Self::Engine(upstream) | Self::Misaddressed(upstream, _) => upstream.connections(),
            Self::Dead(end) => end.connections(),
        }
    }
}

/// What the first replica plays: far more than the second in every number, so that nothing of it
/// could be billed unseen; and without a frame that names a role, so that the fault is the first
/// that comes.
pub(crate) fn faulty(fault: UpstreamFault) -> UpstreamScript {
    UpstreamScript {
        marker: "first".to_owned(),
        prompt: 900,
        tokens: 700,
        first: FirstFrame::Token,
        fault,
        ..UpstreamScript::default()
    }
}

/// A good second replica.
pub(crate) async fn good() -> Replica {
    let script = UpstreamScript {
        marker: "second".to_owned(),
        ..UpstreamScript::default()
    };
    Replica::Engine(Upstream::start_with(script).await)
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let server = bare().start().await;
        let customer = customer(&server, "failover", "1000").await;
        Self {
            server,
            customer,
            due: Mutex::default(),
        }
    }

    /// Puts a model of this name on these replicas; each earlier one is preferred by far.
    pub(crate) async fn deploy(&self, name: &str, replicas: &[&Replica]) {
        self.deploy_as(name, "chat", replicas).await;
    }

    /// As [`Shop::deploy`], for a model of this kind.
    pub(crate) async fn deploy_as(&self, name: &str, kind: &str, replicas: &[&Replica]) {
        let price = json!({"input": "1000", "output": "2000"});
        let model = json!({"id": name, "type": "text", "sub_type": kind, "price": price});
        put(&self.server, "/models", &model).await;
        let count = u32::try_from(replicas.len()).expect("few replicas");
        let replicas: Vec<Value> = replicas
            .iter()
            .zip((1..=count).rev())
            .map(|(replica, rank)| {
                json!({
                    "engine": "openai",
                    "url": replica.url(),
                    "upstream_model": "scripted",
                    "allow_private": true,
                    "health_path": "",
                    "weight": 100_u32.pow(rank - 1),
                    "connect_timeout_ms": WAIT_MS,
                    "first_token_timeout_ms": WAIT_MS,
                    "stall_timeout_ms": WAIT_MS,
                })
            })
            .collect();
        let deployment = json!({"name": name.replace('/', "-"), "models": [name], "replicas": replicas});
        put(&self.server, "/deployments", &deployment).await;
    }

    /// Makes a chat whose trace id is `marker`.
    pub(crate) async fn call(&self, model: &str, marker: &str, is_streamed: bool) -> Told {
        let body = json!({
            "model": model,
            "messages": [{"role": "user", "content": "hello"}],
            "max_tokens": 1000,
            "stream": is_streamed,
        });
        self.post("/v1/chat/completions", marker, &body).await
    }

    /// Makes any call.
    pub(crate) async fn post(&self, path: &str, marker: &str, body: &Value) -> Told {
        let request = self.server.request(Method::POST, path).timeout(PATIENCE);
        let request = request
            .bearer_auth(&self.customer.key)
            .header("x-trace-id", marker);
        let response = request.json(body).send().await.expect("an answer in time");
        let header = response.headers().get("retry-after");
        let retry_after = header.map(|value| value.to_str().expect("a text").to_owned());
        Told {
            status: response.status().as_u16(),
            retry_after,
            text: response.text().await.expect("an answer that ends properly"),
        }
    }

    /// Notes that a call costs what a whole answer of the scripted engine does.
    pub(crate) fn due(&self, marker: &str) {
        self.due_exactly(marker, CALL_COST);
    }

    /// Notes what a call costs.
    pub(crate) fn due_exactly(&self, marker: &str, nano: i64) {
        self.due.lock().unwrap().push((marker.to_owned(), nano));
    }

    /// Checks the whole ledger: the calls that were due are in it, each once and with its price, and
    /// no other call is.
    pub(crate) async fn is_paid(&self) {
        let due = self.due.lock().unwrap().clone();
        let markers: Vec<String> = due.iter().map(|(marker, _)| marker.clone()).collect();
        let rows = booked(&self.server, &self.customer, &markers).await;
        for (marker, price) in due {
            let rows: Vec<&Value> = rows
                .iter()
                .filter(|row| row["trace_id"] == marker.as_str())
                .collect();
            let [row] = rows.as_slice() else {
                panic!("{marker}: one bucket pays: {rows:?}");
            };
            assert_eq!(-nano(&row["amount"]), price, "{marker}: {row}");
        }
    }
}

impl Told {
    /// Checks that this is the whole answer of the second replica, once.
    pub(crate) fn is_whole(&self, name: &str, is_streamed: bool) {
        assert_eq!(self.status, 200, "{name}: {self:?}");
        let usage = if is_streamed {
            let frames = frames(&self.text);
            assert_eq!(
                frames.last().map(String::as_str),
                Some("[DONE]"),
                "{name}: {self:?}"
            );
            assert_eq!(words(&self.text), "t0 t1 t2 t3 t4 ", "{name}: {self:?}");
            let frames: Vec<Value> = frames[..frames.len() - 1]
                .iter()
                .map(|frame| parse(frame))
                .collect();
            assert!(
                frames.iter().all(|frame| frame["error"].is_null()),
                "{name}: {self:?}"
            );
            let last = frames.last().expect("a frame");
            assert_eq!(last["choices"][0]["finish_reason"], "stop", "{name}: {self:?}");
            last["usage"].clone()
        } else {
            let answer = parse(&self.text);
            let choice = &answer["choices"][0];
            assert_eq!(
                choice["message"]["content"], "t0 t1 t2 t3 t4 ",
                "{name}: {answer}"
            );
            assert_eq!(choice["finish_reason"], "stop", "{name}: {answer}");
            answer["usage"].clone()
        };
        assert_eq!(usage["prompt_tokens"], 10, "{name}: {self:?}");
        assert_eq!(usage["completion_tokens"], 5, "{name}: {self:?}");
    }
}

/// The data of the events of a stream.
pub(crate) fn frames(text: &str) -> Vec<String> {
    let data = |block: &str| block.strip_prefix("data: ").map(str::to_owned);
    text.split_terminator("\n\n").filter_map(data).collect()
}

/// The answer's text in a stream.
pub(crate) fn words(text: &str) -> String {
    let texts = frames(text)
        .into_iter()
        .filter(|frame| frame != "[DONE]")
        .map(|frame| {
            let delta = &parse(&frame)["choices"][0]["delta"];
            delta["content"].as_str().unwrap_or_default().to_owned()
        });
    texts.collect()
}

pub(crate) fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}
