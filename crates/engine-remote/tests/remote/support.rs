//! A scripted server with an engine for it, and a request that carries a script.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use silica_engine::{
    AnswerForm, ChatEngine as _, ChatEvent, ChatEventKind, ChatRequest, Continuation, Delta, EngineError,
    Message, Priority, Sampling, Thinking, ToolChoice, Usage,
};
use silica_engine_remote::{RemoteEngine, RemoteError, RemoteOptions};
use silica_testkit::{Upstream, UpstreamScript};
use silica_types::{Secret, SystemClock, TokenCount};

/// Long enough for anything that happens at all.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Options for a server on this machine.
pub(crate) fn options(base_url: impl Into<String>) -> RemoteOptions {
    RemoteOptions {
        api_key: Some(Secret::new("sk-upstream")),
        allow_private: true,
        connect_limit: LONG,
        first_frame_limit: LONG,
        stall_limit: LONG,
        usage_limit: LONG,
        ..RemoteOptions::new(base_url, "upstream-model")
    }
}

pub(crate) fn engine(options: &RemoteOptions) -> RemoteEngine {
    RemoteEngine::new(options, Arc::new(SystemClock)).unwrap()
}

/// A request whose answer follows the script.
pub(crate) fn request(script: &UpstreamScript) -> ChatRequest {
    ChatRequest {
        messages: vec![Message {
            content: script.to_string(),
            ..Message::default()
        }],
        tools: Vec::new(),
        tool_choice: ToolChoice::Auto,
        parallel_calls: true,
        form: AnswerForm::Text,
        continuation: Continuation::None,
        sampling: Sampling::greedy(),
        max_tokens: TokenCount(100),
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

pub(crate) fn script(marker: &str) -> UpstreamScript {
    UpstreamScript {
        marker: marker.to_owned(),
        prompt: 35,
        ..UpstreamScript::default()
    }
}

/// What came of a call.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) events: Vec<ChatEvent>,
    pub(crate) error: Option<EngineError>,
}

impl Told {
    /// The answer text of a choice.
    pub(crate) fn text(&self, wanted: u32) -> String {
        let texts = self.events.iter().filter_map(|event| match &event.kind {
            ChatEventKind::Delta {
                choice,
                delta: Delta::Content { text, .. },
            } if *choice == wanted => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// What the call had consumed at its last event.
    pub(crate) fn usage(&self) -> Usage {
        self.events.last().expect("an event").usage
    }

    pub(crate) fn is_finished(&self) -> bool {
        let last = self.events.last();
        matches!(last, Some(event) if matches!(event.kind, ChatEventKind::Finished { .. }))
    }

    /// The cause of the failure.
    pub(crate) fn cause(&self) -> &RemoteError {
        cause(self.error.as_ref().expect("a failure"))
    }
}

/// The cause of a failure of ours.
pub(crate) fn cause(error: &EngineError) -> &RemoteError {
    match error {
        EngineError::Failed(cause) | EngineError::TimedOut(cause) => {
            cause.downcast_ref().expect("a failure of the engine elsewhere")
        }
        error => panic!("no failure with a cause: {error:?}"),
    }
}

/// Runs a call to its end.
pub(crate) async fn call(options: &RemoteOptions, request: ChatRequest) -> Result<Told, EngineError> {
    tell(&engine(options), request).await
}

/// Runs a call of this engine to its end.
pub(crate) async fn tell(engine: &RemoteEngine, request: ChatRequest) -> Result<Told, EngineError> {
    let mut stream = engine.chat(request).await?;
    let mut told = Told {
        events: Vec::new(),
        error: None,
    };
    while let Some(event) = stream.next().await {
        assert!(told.error.is_none(), "nothing follows a failure");
        match event {
            Ok(event) => told.events.push(event),
            Err(error) => told.error = Some(error),
        }
    }
    Ok(told)
}

/// A server and options for it.
pub(crate) async fn upstream() -> (Upstream, RemoteOptions) {
    let upstream = Upstream::start().await;
    let options = options(upstream.base_url());
    (upstream, options)
}
