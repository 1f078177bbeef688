//! A client that calls, reads, and sometimes leaves.

use std::time::Instant;

use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

use crate::plan::{Call, Leave};
use crate::world::World;

/// What a client saw of its call.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) call: Call,
    /// The answer's status, if there was an answer.
    pub(crate) status: Option<u16>,
    /// The tokens that arrived.
    pub(crate) tokens: u32,
    /// The completion tokens that the last usage named.
    pub(crate) completion: Option<u64>,
    /// Whether the answer came to its proper end.
    pub(crate) is_complete: bool,
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
}

impl Seen {
    /// Makes the call and sees what comes of it.
    pub(crate) async fn of(world: &World, client: u64, call: Call) -> Self {
        let now = Instant::now();
        let leave = call.leave;
        let mut seen = Self {
            call,
            status: None,
            tokens: 0,
            completion: None,
            is_complete: false,
            begun: now,
            ended: now,
        };
        match leave {
            Some(Leave::AfterTime(time)) => {
                // Either way is a way to end.
                let _ = timeout(time, seen.make(world, client)).await;
            }
            Some(Leave::AfterTokens(_)) | None => seen.make(world, client).await,
        }
        seen.ended = Instant::now();
        seen
    }

    async fn make(&mut self, world: &World, client: u64) {
        let address = world.address(client).await;
        self.begun = Instant::now();
        let request = world
            .http
            .post(format!("{}/v1/chat/completions", address.public))
            .header("x-trace-id", self.call.marker())
            .bearer_auth(&world.accounts[self.call.account].key)
            .json(&self.call.body());
        let Ok(response) = request.send().await else {
            return;
        };
        self.status = Some(response.status().as_u16());
        if !response.status().is_success() {
            return;
        }
        if self.call.is_streamed {
            self.read_stream(response).await;
        } else if let Ok(text) = response.text().await {
            let body: Value = serde_json::from_str(&text).expect("JSON");
            self.take(&body["choices"][0]["message"]);
            self.completion = body["usage"]["completion_tokens"].as_u64();
            self.is_complete = true;
        }
    }

    async fn read_stream(&mut self, mut response: Response) {
        let mut text = String::new();
        let mut is_finished = false;
        while let Ok(Some(bytes)) = response.chunk().await {
            text.push_str(std::str::from_utf8(&bytes).expect("frames of ASCII"));
            while let Some((frame, rest)) = text.split_once("\n\n") {
                let data = frame.strip_prefix("data: ").expect("a frame of data").to_owned();
                text = rest.to_owned();
                if data == "[DONE]" {
                    self.is_complete = is_finished;
                    continue;
                }
                let frame: Value = serde_json::from_str(&data).expect("a frame of JSON");
                self.take(&frame["choices"][0]["delta"]);
                is_finished |= frame["choices"][0]["finish_reason"].is_string();
                self.completion = frame["usage"]["completion_tokens"].as_u64().or(self.completion);
            }
            if matches!(self.call.leave, Some(Leave::AfterTokens(tokens)) if self.tokens >= tokens) {
                return;
            }
        }
    }

    /// Counts the tokens of a message or a delta: each of the scripted engine's ends with a space.
    fn take(&mut self, message: &Value) {
        for name in ["content", "reasoning_content"] {
            let text = message[name].as_str().unwrap_or_default();
            self.tokens += u32::try_from(text.matches(' ').count()).expect("few tokens");
        }
    }
}
