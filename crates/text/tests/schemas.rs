//! Schemas as they are met with: nearly all compile, whatever random weights write follows them, and the
//! others are refused with a reason.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test support: what fails here is a failed test"
)]

use std::path::Path;
use std::sync::Arc;

use futures::StreamExt as _;
use jsonschema::Validator;
use serde_json::Value;
use silica_engine::scripted::RandomTokenEngine;
use silica_engine::{
    AnswerForm, ChatEngine as _, ChatEventKind, ChatRequest, Continuation, Delta, EngineError, Feature,
    FinishReason, Message, Priority, Sampling, Thinking, ToolChoice,
};
use silica_text::TextEngine;
use silica_types::TokenCount;
use tokenizers::Tokenizer;

/// Answers to a schema are tried until one is whole, so often at most.
const TRIES: u64 = 4;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All schemas: file, name, schema.
fn schemas() -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(here().join("tests/schemas"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    for path in files {
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let Value::Object(named) = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap() else {
            panic!("{file} is no object");
        };
        all.extend(
            named
                .into_iter()
                .map(|(name, schema)| (file.clone(), name, schema)),
        );
    }
    all
}

/// Random weights that like to close what is open.
fn engine(tokenizer: &Tokenizer, seed: u64) -> TextEngine<RandomTokenEngine> {
    let size = u32::try_from(tokenizer.get_vocab_size(true)).unwrap();
    let is_sign = |id: &u32| {
        let text = tokenizer.decode(&[*id], false).unwrap();
        !text.is_empty() && text.bytes().all(|byte| b"\"}]".contains(&byte))
    };
    let signs: Vec<u32> = (0..size).filter(is_sign).collect();
    let stop = tokenizer.token_to_id("<|im_end|>").unwrap();
    let engine = RandomTokenEngine::new(TokenCount(4096), size, seed)
        .favouring(signs, 1500)
        .favouring([stop], 1_000_000);
    TextEngine::load(&here().join("../../models/tiny-chat"), engine, "random").unwrap()
}

fn asked(schema: &Value) -> ChatRequest {
    ChatRequest {
        messages: vec![Message {
            content: "a".to_owned(),
            ..Message::default()
        }],
        tools: Vec::new(),
        tool_choice: ToolChoice::Auto,
        parallel_calls: true,
        form: AnswerForm::JsonSchema(Arc::new(schema.clone())),
        continuation: Continuation::None,
        sampling: Sampling::greedy(),
        max_tokens: TokenCount(700),
        stop: Vec::new(),
        choices: 1,
        logprobs: None,
        thinking: Thinking {
            enabled: Some(false),
            budget: None,
        },
        demands: vec![Feature::JsonMode],
        priority: Priority::default(),
        account: None,
        image_tokens: None,
        wire: None,
    }
}

/// A whole answer, or `None` when its limit cut it.
async fn answer(
    engine: &TextEngine<RandomTokenEngine>,
    schema: &Value,
) -> Result<Option<String>, EngineError> {
    let mut events = engine.chat(asked(schema)).await?;
    let mut content = String::new();
    while let Some(event) = events.next().await {
        match event?.kind {
            ChatEventKind::Delta {
                delta: Delta::Content { text, .. },
                ..
            } => content.push_str(&text),
            ChatEventKind::Finished { reason, .. } => {
                return Ok((reason == FinishReason::Stop).then_some(content));
            }
            _ => {}
        }
    }
    panic!("the answer has no end");
}

#[derive(Debug, Default)]
struct Tally {
    all: usize,
    whole: usize,
    refused: Vec<String>,
    wrong: Vec<String>,
}

/// Why a text does not follow a schema.
fn fault(schema: &Value, text: &str) -> Option<String> {
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        // JSON has numbers of any size (RFC 8259), this reader does not.
        Err(error) if error.to_string().starts_with("number out of range") => return None,
        Err(error) => return Some(error.to_string()),
    };
    // Formats are kept to by their grammar, not by lengths: 64 letters before the @ are not counted.
    let options = jsonschema::options()
        .should_validate_formats(true)
        .with_format("email", |text: &str| {
            text.split('@').filter(|part| !part.is_empty()).count() == 2
        });
    // These are passed over.
    let options = ["json-pointer", "regex", "uri-reference"]
        .into_iter()
        .fold(options, |options, format| {
            options.with_format(format, |_: &str| true)
        });
    let validator: Validator = options.build(schema).unwrap();
    validator.validate(&value).err().map(|error| error.to_string())
}

#[tokio::test]
async fn what_is_written_follows_each_schema_that_is_taken() {
    let tokenizer = Tokenizer::from_file(here().join("../../models/tiny-chat/tokenizer.json")).unwrap();
    let mut tally = Tally::default();
    let engine = engine(&tokenizer, 7);
    'schemas: for (file, name, schema) in schemas() {
        tally.all += 1;
        for _ in 0..TRIES {
            match answer(&engine, &schema).await {
                Err(EngineError::Unconstrainable { feature, reason }) => {
                    assert_eq!(feature, Feature::JsonMode);
                    let why = reason.strip_prefix("response_format: the schema cannot be kept: ");
                    assert!(why.is_some_and(|why| why.len() > 10), "{file} {name}: {reason}");
                    tally.refused.push(format!("{file} {name}: {reason}"));
                    continue 'schemas;
                }
                Err(error) => panic!("{file} {name}: {error}"),
                Ok(None) => {}
                Ok(Some(text)) => {
                    if let Some(fault) = fault(&schema, &text) {
                        tally.wrong.push(format!("{file} {name}: {fault}: {text}"));
                    }
                    tally.whole += 1;
                    continue 'schemas;
                }
            }
        }
    }
    assert!(tally.wrong.is_empty(), "{}", tally.wrong.join("\n"));
    let taken = tally.all - tally.refused.len();
    let refused = tally.refused.join("\n");
    assert!(
        tally.all >= 240 && taken >= 215,
        "{taken} of {}; refused:\n{refused}",
        tally.all
    );
    assert!(
        tally.whole + 25 >= taken,
        "{} of {taken} came to their end",
        tally.whole
    );
}
