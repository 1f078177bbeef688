//! What the clients do: models with their prices, and random calls.

use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use silica_testkit::{UpstreamFault, UpstreamScript, UsageFrames};

use crate::nano::{half_even, nano};

/// A model, with its prices in CNY for a million tokens.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) name: &'static str,
    input: &'static str,
    cached: &'static str,
    output: &'static str,
    pub(crate) is_free: bool,
    pub(crate) charge_only: bool,
}

/// Prices that make fractions and ties of a nano-CNY.
pub(crate) const MODELS: [Model; 4] = [
    Model {
        name: "money/paid",
        input: "2.5125",
        cached: "0.5025",
        output: "10.0375",
        is_free: false,
        charge_only: false,
    },
    Model {
        name: "money/cheap",
        input: "0.0125",
        cached: "0.0125",
        output: "0.0375",
        is_free: false,
        charge_only: false,
    },
    Model {
        name: "money/charge",
        input: "4.0001",
        cached: "4.0001",
        output: "16.0001",
        is_free: false,
        charge_only: true,
    },
    Model {
        name: "money/free",
        input: "0",
        cached: "0",
        output: "0",
        is_free: true,
        charge_only: false,
    },
];

/// What a call consumed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Consumed {
    pub(crate) prompt: u32,
    pub(crate) cached: u32,
    pub(crate) completion: u32,
}

impl Model {
    /// What `PUT /models` takes.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({
            "id": self.name,
            "type": "text",
            "sub_type": "chat",
            "charge_only": self.charge_only,
        });
        if !self.is_free {
            body["price"] = json!({
                "input": self.input, "cached_input": self.cached, "output": self.output,
            });
        }
        body
    }

    /// The price of a call in nano-CNY, rounded once.
    pub(crate) fn cost(&self, consumed: Consumed) -> i64 {
        let Consumed {
            prompt,
            cached,
            completion,
        } = consumed;
        let part = |tokens: u32, price: &str| i128::from(tokens) * i128::from(nano(price));
        let sum =
            part(prompt - cached, self.input) + part(cached, self.cached) + part(completion, self.output);
        half_even(sum, 1_000_000)
    }
}

/// One call of a client.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) account: usize,
    pub(crate) model: usize,
    pub(crate) is_streamed: bool,
    pub(crate) max_tokens: u32,
    pub(crate) script: UpstreamScript,
    pub(crate) leave: Option<Leave>,
}

/// When the client leaves in the middle.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Leave {
    AfterTokens(u32),
    AfterTime(Duration),
}

impl Call {
    /// Makes a random call.
    pub(crate) fn random(random: &mut StdRng, marker: String, accounts: usize) -> Self {
        // What no reservation foresaw: more than was asked for, and more than some accounts have.
        let ignores_max_tokens = random.random_bool(0.1);
        let tokens = random.random_range(0..if ignores_max_tokens { 400 } else { 40 });
        let is_streamed = random.random_bool(0.7);
        let fault = if random.random_bool(0.25) {
            fault(random, tokens)
        } else {
            UpstreamFault::None
        };
        let leave = match fault {
            // Nothing else would end these.
            UpstreamFault::Hang | UpstreamFault::Stall(_) => Some(Leave::AfterTime(short(random))),
            _ if random.random_bool(0.8) => None,
            _ if is_streamed && random.random_bool(0.5) => {
                Some(Leave::AfterTokens(random.random_range(0..=tokens)))
            }
            _ => Some(Leave::AfterTime(short(random))),
        };
        Self {
            account: random.random_range(0..accounts),
            model: random.random_range(0..MODELS.len()),
            is_streamed,
            max_tokens: random.random_range(1..60),
            script: UpstreamScript {
                ignores_max_tokens,
                ..script(random, marker, tokens, fault)
            },
            leave,
        }
    }

    pub(crate) fn marker(&self) -> &str {
        &self.script.marker
    }

    pub(crate) fn model(&self) -> &'static Model {
        &MODELS[self.model]
    }

    pub(crate) fn content(&self) -> String {
        self.script.to_string()
    }

    pub(crate) fn body(&self) -> Value {
        json!({
            "model": self.model().name,
            "messages": [{"role": "user", "content": self.content()}],
            "max_tokens": self.max_tokens,
            "stream": self.is_streamed,
        })
    }

    /// The most that is held back for the call before it runs.
    pub(crate) fn reserved(&self) -> i64 {
        let bytes = u32::try_from(self.content().len()).expect("a short prompt");
        self.model().cost(Consumed {
            prompt: bytes.div_ceil(2) + 16 + 32,
            cached: 0,
            completion: self.max_tokens,
        })
    }

    /// The stated estimate of so many tokens of answer, for calls whose engine never reports: a token
    /// a frame, or of an answer in one piece, by its bytes that do not repeat the one before them, one
    /// for every six beyond the first 32.
    pub(crate) fn estimated_completion(&self, tokens: u32) -> u32 {
        if self.is_streamed || tokens == 0 {
            return tokens;
        }
        let reasoning = self.script.reasoning.min(tokens);
        let weights = [0..reasoning, reasoning..tokens].map(|words| {
            let text = words.map(|word| format!("t{word} ")).collect::<Vec<_>>().concat();
            let repeated = text.as_bytes().windows(2).filter(|pair| pair[0] == pair[1]);
            text.len() - repeated.count()
        });
        let weight = u32::try_from(weights.iter().sum::<usize>()).expect("a short answer");
        weight.saturating_sub(32).div_ceil(6).max(1)
    }

    /// The stated estimate of the prompt, for calls whose engine never reports.
    pub(crate) fn estimated_prompt(&self) -> u32 {
        u32::try_from(self.content().len().div_ceil(4) + 4).expect("a short prompt")
    }
}

fn script(random: &mut StdRng, marker: String, tokens: u32, fault: UpstreamFault) -> UpstreamScript {
    let prompt = random.random_range(1..80);
    UpstreamScript {
        marker,
        prompt,
        cached: random.random_range(0..=prompt),
        tokens,
        reasoning: if random.random_bool(0.2) { tokens / 3 } else { 0 },
        delay: Duration::from_micros(random.random_range(0..100_000 / u64::from(tokens.max(30)))),
        usage: match random.random_range(0..4) {
            0 => UsageFrames::Every,
            1 => UsageFrames::None,
            _ => UsageFrames::Last,
        },
        fault,
        ..UpstreamScript::default()
    }
}

fn fault(random: &mut StdRng, tokens: u32) -> UpstreamFault {
    let at = random.random_range(0..=tokens);
    match random.random_range(0..7) {
        0 => UpstreamFault::Status([400, 429, 500, 503][random.random_range(0..4)]),
        1 => UpstreamFault::Hang,
        2 => UpstreamFault::Cut(at),
        3 => UpstreamFault::Stall(at),
        4 => UpstreamFault::Report(at),
        5 => UpstreamFault::Garble(at),
        _ => UpstreamFault::End(at),
    }
}

fn short(random: &mut StdRng) -> Duration {
    Duration::from_micros(random.random_range(0..60_000))
}
