mod constrained;
mod reasoning;

use futures::StreamExt as _;
use silica_engine::scripted::{ScriptedTokenEngine, TokenScript};
use silica_engine::{
    AnswerForm, ChatEvent, ChatEventKind, Continuation, Delta, FinishReason, GenerateEvent, Message,
    Priority, Role, StopCause, Thinking, TokenLogprob, Tool, ToolChoice, Usage,
};
use tokenizers::Tokenizer;

use super::*;
use crate::testing::{tiny_chat, tiny_tokenizer};

const CONTEXT: TokenCount = TokenCount(128);

struct Fixture {
    tokens: Arc<ScriptedTokenEngine>,
    chat: TextEngine<Arc<ScriptedTokenEngine>>,
    tokenizer: Tokenizer,
}

impl Fixture {
    fn new() -> Self {
        let tokens = Arc::new(ScriptedTokenEngine::new(CONTEXT, 4096));
        let chat = TextEngine::load(&tiny_chat(), Arc::clone(&tokens), "tiny").unwrap();
        Self {
            tokens,
            chat,
            tokenizer: tiny_tokenizer(),
        }
    }

    fn ids(&self, text: &str) -> Vec<u32> {
        self.tokenizer.encode(text, false).unwrap().get_ids().to_vec()
    }

    /// Queues an answer that the model ends itself; returns its number of tokens.
    fn answers(&self, text: &str) -> u32 {
        let ids = self.ids(&format!("{text}<|im_end|>"));
        self.tokens
            .push(TokenScript::sequence(&ids, StopCause::StopToken));
        u32::try_from(ids.len()).unwrap()
    }

    async fn run(&self, request: ChatRequest) -> Outcome {
        let events: Vec<_> = self
            .chat
            .chat(request)
            .await
            .unwrap()
            .map(Result::unwrap)
            .collect()
            .await;
        Outcome::of(&events)
    }
}

/// An answer put together again.
#[derive(Debug, Default)]
struct Outcome {
    content: Vec<String>,
    reasoning: Vec<String>,
    calls: Vec<(String, String)>,
    reasons: Vec<(u32, FinishReason)>,
    logprobs: Vec<String>,
    usage: Usage,
}

impl Outcome {
    fn of(events: &[ChatEvent]) -> Self {
        let mut outcome = Self {
            content: vec![String::new(); 4],
            reasoning: vec![String::new(); 4],
            ..Self::default()
        };
        assert_eq!(events[0].kind, ChatEventKind::Started);
        for event in events {
            assert!(
                event.usage.completion >= outcome.usage.completion,
                "usage is cumulative"
            );
            outcome.usage = event.usage;
            match event.kind.clone() {
                ChatEventKind::Started => {}
                ChatEventKind::Delta { choice, delta } => outcome.add(choice as usize, delta),
                ChatEventKind::Finished { choice, reason, .. } => outcome.reasons.push((choice, reason)),
                ChatEventKind::Forwarded { .. } => unreachable!("nothing was forwarded"),
            }
        }
        outcome
    }

    fn add(&mut self, choice: usize, delta: Delta) {
        match delta {
            Delta::Content { text, logprobs } => {
                assert!(!text.is_empty());
                self.content[choice].push_str(&text);
                self.logprobs
                    .extend(logprobs.into_iter().map(|entry| entry.token.text));
            }
            Delta::Reasoning { text } => self.reasoning[choice].push_str(&text),
            Delta::ToolCallStarted { index, id, name } => {
                assert_eq!((index as usize, id.len()), (self.calls.len(), 32));
                self.calls.push((name, String::new()));
            }
            Delta::ToolCallArguments { index, fragment } => self.calls[index as usize].1.push_str(&fragment),
        }
    }
}

fn request() -> ChatRequest {
    ChatRequest {
        messages: vec![Message {
            content: "Hello".to_owned(),
            ..Message::default()
        }],
        tools: Vec::new(),
        tool_choice: ToolChoice::Auto,
        parallel_calls: true,
        form: AnswerForm::Text,
        continuation: Continuation::None,
        sampling: Sampling::greedy(),
        max_tokens: TokenCount(64),
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

fn weather() -> Tool {
    Tool {
        name: "get_weather".to_owned(),
        description: None,
        parameters: None,
        strict: false,
    }
}

#[tokio::test]
async fn a_plain_answer_is_whole_and_counted_with_its_end_token() {
    let fixture = Fixture::new();
    let tokens = fixture.answers("Hello, 世界 🙂!");
    let outcome = fixture.run(request()).await;
    assert_eq!(outcome.content[0], "Hello, 世界 🙂!");
    assert_eq!(outcome.reasons, [(0, FinishReason::Stop)]);
    assert_eq!(outcome.usage.completion, TokenCount(tokens));
    let prompt = fixture
        .chat
        .prepare(Arc::new(request()))
        .await
        .unwrap()
        .prompt_tokens();
    assert_eq!(outcome.usage.prompt, prompt);
    assert_eq!(TokenCount::of(&fixture.tokens.requests()[0].prompt), prompt);
    assert_eq!(fixture.tokens.cancelled(), 0);
}

#[tokio::test]
async fn reasoning_is_split_off_and_counted() {
    let fixture = Fixture::new();
    let tokens = fixture.answers("<think>\n1+1=2\n</think>\n\n2");
    let outcome = fixture.run(request()).await;
    assert_eq!(
        (outcome.reasoning[0].as_str(), outcome.content[0].as_str()),
        ("1+1=2", "2")
    );
    let after = fixture.ids("\n\n2<|im_end|>").len();
    assert_eq!(
        outcome.usage.reasoning,
        TokenCount(tokens - u32::try_from(after).unwrap())
    );
}

#[tokio::test]
async fn a_stop_text_ends_the_visible_answer_and_cancels_the_generation() {
    let fixture = Fixture::new();
    let ids = fixture.ids("<think>\nEND\n</think>\n\none END two");
    let script = TokenScript::sequence(&ids, StopCause::Length).held();
    fixture.tokens.push(script);
    let stream = fixture
        .chat
        .chat(ChatRequest {
            stop: vec!["END".to_owned()],
            ..request()
        })
        .await
        .unwrap();
    fixture.tokens.release(0, ids.len());
    let events: Vec<_> = stream.map(Result::unwrap).collect().await;
    let outcome = Outcome::of(&events);
    assert_eq!(
        (outcome.reasoning[0].as_str(), outcome.content[0].as_str()),
        ("END", "one ")
    );
    assert_eq!(outcome.reasons, [(0, FinishReason::Stop)]);
    let stop = events.iter().find_map(|event| match &event.kind {
        ChatEventKind::Finished { stop, .. } => stop.as_deref(),
        _ => None,
    });
    assert_eq!(stop, Some("END"));
    assert_eq!(fixture.tokens.cancelled(), 1);
    assert!(
        outcome.usage.completion < TokenCount::of(&ids),
        "tokens after the stop text are not counted"
    );
}

#[tokio::test]
async fn text_held_for_a_stop_text_comes_at_the_end() {
    let fixture = Fixture::new();
    fixture.answers("a EN");
    let outcome = fixture
        .run(ChatRequest {
            stop: vec!["END".to_owned()],
            ..request()
        })
        .await;
    assert_eq!(outcome.content[0], "a EN");
}

#[tokio::test]
async fn a_tool_call_is_read_only_when_tools_are_offered() {
    let fixture = Fixture::new();
    let answer =
        "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>";
    fixture.answers(answer);
    let outcome = fixture
        .run(ChatRequest {
            tools: vec![weather()],
            ..request()
        })
        .await;
    assert_eq!(
        outcome.calls,
        [("get_weather".to_owned(), "{\"city\": \"Paris\"}".to_owned())]
    );
    assert_eq!(outcome.content[0], "");
    assert_eq!(outcome.reasons, [(0, FinishReason::ToolCalls)]);
    fixture.answers(answer);
    let outcome = fixture.run(request()).await;
    assert_eq!(
        (outcome.content[0].as_str(), outcome.reasons[0].1),
        (answer, FinishReason::Stop)
    );
}

#[tokio::test]
async fn log_probabilities_travel_with_their_text() {
    let fixture = Fixture::new();
    let ids = fixture.ids("yes END no");
    let logprob = TokenLogprob {
        logprob: -0.25,
        top: vec![(ids[0], -0.25)],
    };
    let script = ids.iter().fold(TokenScript::started(), |script, id| {
        script.token(*id, logprob.clone())
    });
    fixture
        .tokens
        .push(script.event(GenerateEvent::Finished(StopCause::Length)));
    let request = ChatRequest {
        stop: vec!["END".to_owned()],
        logprobs: Some(1),
        ..request()
    };
    let outcome = fixture.run(request).await;
    assert_eq!(outcome.content[0], "yes ");
    assert_eq!(outcome.logprobs.concat().trim_end(), "yes");
}

#[tokio::test]
async fn choices_are_merged_with_their_own_seeds_and_one_prompt() {
    let fixture = Fixture::new();
    let tokens = fixture.answers("first") + fixture.answers("second");
    let sampling = Sampling {
        seed: Some(u64::MAX),
        ..Sampling::greedy()
    };
    let outcome = fixture
        .run(ChatRequest {
            choices: 2,
            sampling,
            ..request()
        })
        .await;
    assert_eq!(outcome.content[..2], ["first", "second"]);
    assert_eq!(outcome.usage.completion, TokenCount(tokens));
    assert_eq!(
        outcome.usage.prompt,
        fixture
            .chat
            .prepare(Arc::new(request()))
            .await
            .unwrap()
            .prompt_tokens()
    );
    let seeds: Vec<_> = fixture
        .tokens
        .requests()
        .iter()
        .map(|request| request.sampling.seed)
        .collect();
    assert_eq!(seeds, [Some(u64::MAX), Some(0)]);
}

#[tokio::test]
async fn choices_take_turns() {
    let fixture = Fixture::new();
    fixture.answers("a b c d");
    fixture.answers("e f g h");
    let stream = fixture
        .chat
        .chat(ChatRequest {
            choices: 2,
            ..request()
        })
        .await
        .unwrap();
    let events: Vec<_> = stream.map(Result::unwrap).collect().await;
    let order: Vec<u32> = events
        .iter()
        .filter_map(|event| match event.kind {
            ChatEventKind::Delta { choice, .. } => Some(choice),
            _ => None,
        })
        .collect();
    assert_eq!(order[..6], [0, 1, 0, 1, 0, 1]);
}

#[tokio::test]
async fn a_refused_choice_cancels_those_already_queued() {
    let fixture = Fixture::new();
    fixture.tokens.push(TokenScript::started().tokens(&[5]).held());
    let refused = fixture
        .chat
        .chat(ChatRequest {
            choices: 2,
            ..request()
        })
        .await;
    assert!(matches!(refused.err(), Some(EngineError::QueueFull)));
    assert_eq!(fixture.tokens.cancelled(), 1);
}

#[tokio::test]
async fn one_failing_choice_ends_the_stream_and_cancels_the_others() {
    let fixture = Fixture::new();
    fixture
        .tokens
        .push(TokenScript::started().event(GenerateEvent::Failed("out of memory".to_owned())));
    fixture.tokens.push(TokenScript::started().tokens(&[5, 6]).held());
    let stream = fixture
        .chat
        .chat(ChatRequest {
            choices: 2,
            ..request()
        })
        .await
        .unwrap();
    let events: Vec<_> = stream.collect().await;
    let Some(Err(EngineError::Failed(source))) = events.last() else {
        panic!("{events:?}")
    };
    assert_eq!(source.to_string(), "out of memory");
    assert_eq!(fixture.tokens.cancelled(), 1);
}

#[tokio::test]
async fn a_sequence_that_waited_too_long_finds_the_engine_busy() {
    let fixture = Fixture::new();
    fixture
        .tokens
        .push(TokenScript::default().event(GenerateEvent::Overloaded));
    let mut stream = fixture.chat.chat(request()).await.unwrap();
    assert!(matches!(stream.next().await, Some(Err(EngineError::QueueFull))));
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_cut_token_stream_is_a_failure() {
    let fixture = Fixture::new();
    fixture.tokens.push(TokenScript::started().tokens(&[5]));
    let events: Vec<_> = fixture.chat.chat(request()).await.unwrap().collect().await;
    assert!(matches!(events.last(), Some(Err(EngineError::Failed(_)))));
}

#[tokio::test]
async fn dropping_the_answer_cancels_every_choice() {
    let fixture = Fixture::new();
    for _ in 0..2 {
        fixture.tokens.push(TokenScript::started().tokens(&[5, 6]).held());
    }
    let stream = fixture
        .chat
        .chat(ChatRequest {
            choices: 2,
            ..request()
        })
        .await
        .unwrap();
    drop(stream);
    assert_eq!(fixture.tokens.cancelled(), 2);
}

#[tokio::test]
async fn the_limit_is_cut_to_the_room_in_the_context() {
    let fixture = Fixture::new();
    fixture
        .tokens
        .push(TokenScript::sequence(&[5], StopCause::Length));
    let outcome = fixture
        .run(ChatRequest {
            max_tokens: TokenCount(4096),
            ..request()
        })
        .await;
    assert_eq!(outcome.reasons, [(0, FinishReason::Length)]);
    let submitted = &fixture.tokens.requests()[0];
    assert_eq!(submitted.max_tokens + TokenCount::of(&submitted.prompt), CONTEXT);
}

#[tokio::test]
async fn the_priority_reaches_every_choice() {
    let fixture = Fixture::new();
    for _ in 0..2 {
        fixture
            .tokens
            .push(TokenScript::sequence(&[5], StopCause::Length));
    }
    fixture
        .run(ChatRequest {
            priority: Priority(4),
            choices: 2,
            ..request()
        })
        .await;
    let submitted = fixture.tokens.requests();
    assert_eq!(submitted.len(), 2);
    assert!(submitted.iter().all(|request| request.priority == Priority(4)));
}

#[tokio::test]
async fn a_prompt_without_room_is_refused_before_anything_is_queued() {
    let fixture = Fixture::new();
    let message = Message {
        content: "word ".repeat(2000),
        ..Message::default()
    };
    let refused = fixture
        .chat
        .chat(ChatRequest {
            messages: vec![message],
            ..request()
        })
        .await;
    match refused.err() {
        Some(EngineError::ContextExceeded { prompt, limit }) => assert!(limit == CONTEXT && prompt > CONTEXT),
        other => panic!("{other:?}"),
    }
    assert!(fixture.tokens.requests().is_empty());
}

#[tokio::test]
async fn a_prefix_is_continued_and_not_repeated() {
    let fixture = Fixture::new();
    fixture.answers(" is 2.");
    let continuation = Continuation::Prefix("The sum".to_owned());
    let outcome = fixture
        .run(ChatRequest {
            continuation,
            ..request()
        })
        .await;
    assert_eq!(outcome.content[0], " is 2.");
    let prompt = fixture
        .tokenizer
        .decode(&fixture.tokens.requests()[0].prompt, false)
        .unwrap();
    assert!(prompt.ends_with("The sum"));
}
