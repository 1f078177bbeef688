//! A scripted answer in words: frame by frame, or in one piece.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use futures::{Stream, stream};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::log::Entry;
use super::shape::Named as _;
use super::tail::{self, Tail};
use super::{FirstFrame, UpstreamOutcome, UpstreamRoute, UpstreamScript, UsageFrames};

/// One answer in the making.
#[derive(Debug)]
pub(super) struct Answer {
    script: UpstreamScript,
    route: UpstreamRoute,
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
    First(u32),
    Token,
    Finish(u32),
    Usage,
    Done,
    End,
    Tail(Tail),
}

impl Answer {
    pub(super) fn new(script: &UpstreamScript, route: UpstreamRoute, request: &Value) -> Self {
        let number = |name: &str| {
            let number = request.get(name).and_then(Value::as_u64);
            number.and_then(|number| u32::try_from(number).ok())
        };
        let limit = number("max_tokens").unwrap_or(u32::MAX);
        let is_capped = !script.ignores_max_tokens && limit < script.tokens;
        let begins_with_token = script.first == FirstFrame::Token || route != UpstreamRoute::Chat;
        Self {
            script: script.clone(),
            route,
            model: request.get("model").cloned().unwrap_or_default(),
            choices: number("n").unwrap_or(1),
            length: if is_capped { limit } else { script.tokens },
            is_capped,
            wants_usage: request.pointer("/stream_options/include_usage") == Some(&Value::Bool(true)),
            produced: 0,
            next: if begins_with_token {
                Step::Token
            } else {
                Step::First(0)
            },
        }
    }

    /// The tokens of all choices, if nothing ends the call earlier.
    pub(super) const fn planned(&self) -> u32 {
        match self.route {
            UpstreamRoute::Chat | UpstreamRoute::Completions => self.length * self.choices,
            UpstreamRoute::Embeddings | UpstreamRoute::Rerank => 0,
        }
    }

    /// Produces everything and returns the answer in one piece.
    pub(super) async fn whole(mut self, entry: &Entry) -> Value {
        while self.produced < self.planned() && !self.script.fault.is_due(self.produced) {
            self.token(entry).await;
        }
        let choices = (0..self.choices).map(|choice| self.whole_choice(choice));
        let object = match self.route {
            UpstreamRoute::Completions => "text_completion",
            _ => "chat.completion",
        };
        let mut whole = self.envelope(object);
        whole["choices"] = choices.collect();
        match self.script.usage {
            UsageFrames::Last | UsageFrames::Every | UsageFrames::Finish => whole["usage"] = self.usage(),
            UsageFrames::Null => whole["usage"] = Value::Null,
            UsageFrames::None => {}
        }
        whole
    }

    fn whole_choice(&self, choice: u32) -> Value {
        let text = |positions: std::ops::Range<u32>| positions.map(word).collect::<String>();
        let finish = self.finish_reason();
        if self.route == UpstreamRoute::Completions {
            let text = text(0..self.length);
            return json!({"index": choice, "text": text, "logprobs": null, "finish_reason": finish});
        }
        let reasoning = self.script.reasoning.min(self.length);
        let mut message = json!({"role": "assistant", "content": text(reasoning..self.length)});
        if reasoning > 0 {
            message[self.script.reasoning_field.name()] = text(0..reasoning).into();
        }
        json!({"index": choice, "message": message, "finish_reason": finish})
    }

    /// The frames, one poll each, so that a token is produced only when the connection takes it.
    pub(super) fn frames(self, entry: Entry) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        stream::unfold(
            (self, entry, VecDeque::new()),
            |(mut answer, entry, mut pieces)| async move {
                if pieces.is_empty() {
                    match answer.frame(&entry).await? {
                        Ok(frame) => pieces = answer.pieces(frame),
                        Err(broken) => return Some((Err(broken), (answer, entry, pieces))),
                    }
                }
                if answer.script.split > 0 {
                    // A pending body makes the server write each piece by itself.
                    tokio::task::yield_now().await;
                }
                let piece = pieces.pop_front().unwrap_or_default();
                entry.handed_over(piece.len());
                if pieces.is_empty() {
                    entry.sent();
                }
                Some((Ok(piece), (answer, entry, pieces)))
            },
        )
    }

    /// Cuts a frame as the script says.
    fn pieces(&self, mut frame: Bytes) -> VecDeque<Bytes> {
        let most = self.script.split as usize;
        let mut pieces = VecDeque::new();
        while most > 0 && frame.len() > most {
            pieces.push_back(frame.split_to(most));
        }
        pieces.push_back(frame);
        pieces
    }

    async fn frame(&mut self, entry: &Entry) -> Option<io::Result<Bytes>> {
        loop {
            match self.next {
                Step::First(choice) => {
                    let is_last = choice + 1 >= self.choices || self.script.first == FirstFrame::NoChoices;
                    self.next = if is_last {
                        Step::Token
                    } else {
                        Step::First(choice + 1)
                    };
                    return Some(Ok(self.first_frame(choice)));
                }
                Step::Token if self.script.fault.is_due(self.produced) => {
                    let (bytes, tail) = tail::of_stream(self.script.fault, |data| self.event(data));
                    self.next = Step::Tail(tail);
                    if !bytes.is_empty() {
                        return Some(Ok(bytes));
                    }
                }
                Step::Token if self.produced == self.planned() => self.next = Step::Finish(0),
                Step::Token => return Some(Ok(self.token(entry).await)),
                Step::Finish(choice) => {
                    let is_last = choice + 1 >= self.choices;
                    self.next = if is_last {
                        Step::Usage
                    } else {
                        Step::Finish(choice + 1)
                    };
                    return Some(Ok(self.finish_frame(choice)));
                }
                Step::Usage => {
                    self.next = Step::Done;
                    sleep(self.script.usage_delay).await;
                    if self.wants_usage && self.script.usage == UsageFrames::Last {
                        let mut frame = self.envelope(self.chunk_name());
                        frame["choices"] = json!([]);
                        frame["usage"] = self.usage();
                        return Some(Ok(self.event(&frame.to_string())));
                    }
                }
                Step::Done => {
                    self.next = Step::End;
                    entry.end(UpstreamOutcome::Finished);
                    if !self.script.omits_done {
                        return Some(Ok(self.event("[DONE]")));
                    }
                }
                Step::End => return None,
                Step::Tail(tail) => return tail.next(entry).await,
            }
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
            self.script.reasoning_field.name()
        } else {
            "content"
        };
        self.choice_frame(choice, &json!({name: word(position)}), None)
    }

    fn first_frame(&self, choice: u32) -> Bytes {
        match self.script.first {
            FirstFrame::Role | FirstFrame::Token => {
                self.choice_frame(choice, &json!({"role": "assistant", "content": ""}), None)
            }
            FirstFrame::RoleOnly => self.choice_frame(choice, &json!({"role": "assistant"}), None),
            FirstFrame::NoChoices => {
                let mut frame = self.envelope("");
                frame["choices"] = json!([]);
                frame["prompt_filter_results"] = json!([{"prompt_index": 0}]);
                self.event(&frame.to_string())
            }
        }
    }

    fn finish_frame(&self, choice: u32) -> Bytes {
        self.choice_frame(choice, &json!({"content": ""}), Some(self.finish_reason()))
    }

    fn choice_frame(&self, choice: u32, delta: &Value, finish: Option<&str>) -> Bytes {
        let mut frame = self.envelope(self.chunk_name());
        frame["choices"] = if self.route == UpstreamRoute::Completions {
            let text = delta.as_object().and_then(|delta| delta.values().next());
            json!([{"index": choice, "text": text, "logprobs": null, "finish_reason": finish}])
        } else {
            json!([{"index": choice, "delta": delta, "finish_reason": finish}])
        };
        let is_last = finish.is_some() && choice + 1 == self.choices;
        match self.script.usage {
            UsageFrames::Every => frame["usage"] = self.usage(),
            UsageFrames::Finish if is_last => frame["usage"] = self.usage(),
            UsageFrames::Null => frame["usage"] = Value::Null,
            UsageFrames::Finish | UsageFrames::Last | UsageFrames::None => {}
        }
        self.event(&frame.to_string())
    }

    const fn finish_reason(&self) -> &'static str {
        if self.is_capped { "length" } else { "stop" }
    }

    const fn chunk_name(&self) -> &'static str {
        match self.route {
            UpstreamRoute::Completions => "text_completion",
            _ => "chat.completion.chunk",
        }
    }

    fn envelope(&self, object: &str) -> Value {
        let marker = &self.script.marker;
        json!({"id": marker, "object": object, "created": 0, "model": self.model})
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

    fn event(&self, data: &str) -> Bytes {
        let end = self.script.ends.text();
        let comment = if self.script.comments {
            format!(": keep-alive{end}{end}")
        } else {
            String::new()
        };
        Bytes::from(format!("{comment}data: {data}{end}{end}"))
    }
}

/// The text of a token.
fn word(position: u32) -> String {
    format!("t{position} ")
}
