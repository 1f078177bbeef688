//! The frames of a scripted answer.

use std::io;

use bytes::Bytes;
use futures::{Stream, stream};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::log::Entry;
use super::{UpstreamFault, UpstreamOutcome, UpstreamScript, UsageFrames};

/// One answer in the making.
#[derive(Debug)]
pub(super) struct Answer {
    script: UpstreamScript,
    model: Value,
    choices: u32,
    /// Tokens of each choice.
    length: u32,
    /// Whether `max_tokens` is what ends it.
    is_capped: bool,
    /// Whether the request asked for a frame of usage.
    wants_usage: bool,
    produced: u32,
    next: Step,
}

/// What is sent next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Role(u32),
    Token,
    Finish(u32),
    Usage,
    Done,
    End,
}

impl Answer {
    pub(super) fn new(script: &UpstreamScript, request: &Value) -> Self {
        let number = |name: &str| {
            let number = request.get(name).and_then(Value::as_u64);
            number.and_then(|number| u32::try_from(number).ok())
        };
        let limit = number("max_tokens").unwrap_or(u32::MAX);
        let is_capped = !script.ignores_max_tokens && limit < script.tokens;
        Self {
            script: script.clone(),
            model: request.get("model").cloned().unwrap_or_default(),
            choices: number("n").unwrap_or(1),
            length: if is_capped { limit } else { script.tokens },
            is_capped,
            wants_usage: request.pointer("/stream_options/include_usage") == Some(&Value::Bool(true)),
            produced: 0,
            next: Step::Role(0),
        }
    }

    /// The tokens of all choices, if nothing ends the call earlier.
    pub(super) const fn planned(&self) -> u32 {
        self.length * self.choices
    }

    /// The frames, one poll each, so that a token is produced only when the connection takes it.
    pub(super) fn frames(self, entry: Entry) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        stream::unfold((self, entry), |(mut answer, entry)| async move {
            let frame = answer.frame(&entry).await?;
            Some((frame, (answer, entry)))
        })
    }

    async fn frame(&mut self, entry: &Entry) -> Option<io::Result<Bytes>> {
        match self.next {
            Step::Role(choice) => {
                self.next = if choice + 1 < self.choices {
                    Step::Role(choice + 1)
                } else {
                    Step::Token
                };
                let delta = json!({"role": "assistant", "content": ""});
                Some(Ok(self.choice_frame(choice, &delta, None)))
            }
            Step::Token if self.fault_is_due() => self.break_off(entry).await,
            Step::Token if self.produced == self.planned() => {
                self.next = Step::Finish(0);
                Box::pin(self.frame(entry)).await
            }
            Step::Token => Some(Ok(self.token(entry).await)),
            Step::Finish(choice) => {
                self.next = if choice + 1 < self.choices {
                    Step::Finish(choice + 1)
                } else {
                    Step::Usage
                };
                let reason = if self.is_capped { "length" } else { "stop" };
                Some(Ok(self.choice_frame(
                    choice,
                    &json!({"content": ""}),
                    Some(reason),
                )))
            }
            Step::Usage => {
                self.next = Step::Done;
                sleep(self.script.usage_delay).await;
                if self.wants_usage && self.script.usage == UsageFrames::Last {
                    let mut frame = self.envelope();
                    frame["choices"] = json!([]);
                    frame["usage"] = self.usage();
                    return Some(Ok(event(&frame.to_string())));
                }
                Box::pin(self.frame(entry)).await
            }
            Step::Done => {
                self.next = Step::End;
                entry.end(UpstreamOutcome::Finished);
                Some(Ok(event("[DONE]")))
            }
            Step::End => None,
        }
    }

    async fn token(&mut self, entry: &Entry) -> Bytes {
        if !self.script.delay.is_zero() {
            sleep(self.script.delay).await;
        }
        let (choice, position) = (self.produced % self.choices, self.produced / self.choices);
        self.produced += 1;
        entry.produced(self.produced);
        let name = if position < self.script.reasoning {
            "reasoning_content"
        } else {
            "content"
        };
        self.choice_frame(choice, &json!({name: format!("t{position} ")}), None)
    }

    const fn fault_is_due(&self) -> bool {
        match self.script.fault {
            UpstreamFault::None | UpstreamFault::Status(_) | UpstreamFault::Hang => false,
            UpstreamFault::Cut(tokens)
            | UpstreamFault::Stall(tokens)
            | UpstreamFault::Report(tokens)
            | UpstreamFault::Garble(tokens)
            | UpstreamFault::End(tokens) => self.produced >= tokens,
        }
    }

    async fn break_off(&mut self, entry: &Entry) -> Option<io::Result<Bytes>> {
        self.next = Step::End;
        // A pending body lets the server write what it holds; breaking off would drop it.
        tokio::task::yield_now().await;
        let broken = match self.script.fault {
            UpstreamFault::Cut(_) => Some(Err(io::Error::other("cut by the script"))),
            UpstreamFault::Stall(_) => std::future::pending().await,
            UpstreamFault::Report(_) => {
                let report = json!({"error": {"message": "failed by the script", "code": 500}});
                Some(Ok(event(&report.to_string())))
            }
            UpstreamFault::Garble(_) => Some(Ok(event("{\"choices\":[{"))),
            UpstreamFault::None | UpstreamFault::Status(_) | UpstreamFault::Hang | UpstreamFault::End(_) => {
                None
            }
        };
        entry.end(UpstreamOutcome::Broken);
        broken
    }

    fn choice_frame(&self, choice: u32, delta: &Value, finish: Option<&str>) -> Bytes {
        let mut frame = self.envelope();
        frame["choices"] = json!([{"index": choice, "delta": delta, "finish_reason": finish}]);
        if self.script.usage == UsageFrames::Every {
            frame["usage"] = self.usage();
        }
        event(&frame.to_string())
    }

    fn envelope(&self) -> Value {
        let marker = &self.script.marker;
        json!({"id": marker, "object": "chat.completion.chunk", "created": 0, "model": self.model})
    }

    fn usage(&self) -> Value {
        let reasoning = (self.script.reasoning * self.choices).min(self.produced);
        json!({
            "prompt_tokens": self.script.prompt,
            "completion_tokens": self.produced,
            "total_tokens": self.script.prompt + self.produced,
            "prompt_tokens_details": {"cached_tokens": self.script.cached},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        })
    }
}

fn event(data: &str) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}
