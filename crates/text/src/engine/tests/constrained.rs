//! Forms, forced calls and strict tools, with an engine of random weights.

use std::path::Path;

use serde_json::{Value, json};
use silica_engine::scripted::RandomTokenEngine;

use super::*;
use crate::calls::CallSyntax;

/// The demo model's texts before random weights.
fn random(seed: u64) -> TextEngine<Arc<RandomTokenEngine>> {
    random_in(&tiny_chat(), seed)
}

/// The engine's most likely tokens: those of JSON's own signs, and those that end something.
fn random_in(folder: &Path, seed: u64) -> TextEngine<Arc<RandomTokenEngine>> {
    let tokenizer = tiny_tokenizer();
    let size = u32::try_from(tokenizer.get_vocab_size(true)).unwrap();
    let is_sign = |id: &u32| {
        let text = tokenizer.decode(&[*id], false).unwrap();
        !text.trim().is_empty() && text.bytes().all(|byte| b"\"{}[],:".contains(&byte))
    };
    let signs: Vec<u32> = (0..size).filter(is_sign).collect();
    let line = tokenizer.encode("\n", false).unwrap().get_ids().to_vec();
    let mark = |text: &str| tokenizer.token_to_id(text).unwrap();
    let engine = RandomTokenEngine::new(TokenCount(4096), size + 64, seed)
        .favouring(signs, 400)
        .favouring(line, 400)
        .favouring(
            ["<|im_end|>", "<think>", "</think>", "<tool_call>"].map(mark),
            2000,
        );
    TextEngine::load(folder, Arc::new(engine), "random").unwrap()
}

fn asked(form: AnswerForm) -> ChatRequest {
    ChatRequest {
        form,
        max_tokens: TokenCount(400),
        ..request()
    }
}

fn tool(name: &str, parameters: Value, strict: bool) -> Tool {
    Tool {
        name: name.to_owned(),
        description: None,
        parameters: Some(parameters),
        strict,
    }
}

fn tools(strict: bool) -> Vec<Tool> {
    vec![
        tool("weather", place_schema(), strict),
        tool(
            "sum",
            json!({"properties": {"of": {"type": "array", "items": {"type": "integer"}, "minItems": 1}}, "required": ["of"]}),
            strict,
        ),
    ]
}

fn place_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 12},
            "unit": {"enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 14},
            "near": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/point"}]},
        },
        "required": ["city", "unit", "days", "near"],
        "additionalProperties": false,
        "$defs": {"point": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}},
    })
}

async fn run<E: TokenEngine + 'static>(chat: &TextEngine<E>, request: ChatRequest) -> Outcome {
    let events = chat.chat(request).await.unwrap();
    Outcome::of(&events.map(Result::unwrap).collect::<Vec<_>>().await)
}

fn assert_follows(schema: &Value, text: &str) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let validator = jsonschema::validator_for(schema).unwrap();
    if let Err(error) = validator.validate(&value) {
        panic!("{error}: {text}");
    }
}

fn refusal(chat: &TextEngine<Arc<RandomTokenEngine>>, request: &ChatRequest) -> EngineError {
    chat.core.model.prompt(request).unwrap_err()
}

#[tokio::test]
async fn random_weights_write_objects_and_values_of_a_schema() {
    let mut whole = 0;
    let chat = random(1);
    for _ in 0..24 {
        let object = run(&chat, asked(AnswerForm::JsonObject)).await;
        if object.reasons[0].1 == FinishReason::Stop {
            assert_follows(&json!({"type": "object"}), &object.content[0]);
            whole += 1;
        }
        let schema = place_schema();
        let mut request = asked(AnswerForm::JsonSchema(Arc::new(schema.clone())));
        request.choices = 2;
        let answer = run(&chat, request).await;
        for (choice, reason) in answer.reasons {
            if reason == FinishReason::Stop {
                assert_follows(&schema, &answer.content[choice as usize]);
                whole += 1;
            } else {
                assert_eq!(reason, FinishReason::Length);
            }
        }
    }
    assert!(whole > 36, "only {whole} of 72 answers came to their end");
}

#[tokio::test]
async fn reasoning_before_a_form_is_free() {
    let (mut reasoned, chat) = (0, random(2));
    for _ in 0..20 {
        let answer = run(&chat, asked(AnswerForm::JsonSchema(Arc::new(place_schema())))).await;
        if !answer.reasoning[0].is_empty() && answer.reasons[0].1 == FinishReason::Stop {
            assert_follows(&place_schema(), &answer.content[0]);
            reasoned += 1;
        }
        let mut silent = asked(AnswerForm::JsonObject);
        silent.thinking.enabled = Some(false);
        assert_eq!(run(&chat, silent).await.reasoning[0], "");
    }
    assert!(reasoned > 0, "none reasoned and came to its end");
}

#[test]
fn a_budget_closes_the_reasoning_and_the_form_follows() {
    let chat = random(3);
    let mut request = asked(AnswerForm::JsonObject);
    request.thinking.budget = Some(TokenCount(3));
    // This engine puts no ending itself; what engines are given must fit the constraint.
    let prompt = chat.core.model.prompt(&request).unwrap();
    let (limit, source) = (prompt.reasoning_limit.unwrap(), prompt.constraint.unwrap());
    let mut constraint = source.start();
    let inside = tiny_tokenizer().encode("so", false).unwrap().get_ids().to_vec();
    for id in limit.opens.into_iter().chain(inside).chain(limit.ending) {
        assert_eq!(constraint.accept(id).unwrap(), silica_engine::Progress::Open);
    }
    let mut mask = silica_engine::TokenMask::default();
    mask.reset(4096);
    assert_eq!(
        constraint.allow(&mut mask).unwrap(),
        silica_engine::Allowed::Marked
    );
    let brace = tiny_tokenizer().token_to_id("{").unwrap();
    assert!(mask.contains(brace) && !mask.contains(limit.closes));
}

#[tokio::test]
async fn a_forced_call_is_made_and_its_arguments_follow_the_schema() {
    let named = ToolChoice::Named("sum".to_owned());
    let (mut whole, mut most, chat) = (0, 0, random(4));
    for _ in 0..16 {
        for (choice, parallel) in [
            (ToolChoice::Required, true),
            (ToolChoice::Required, false),
            (named.clone(), true),
        ] {
            let mut request = asked(AnswerForm::Text);
            request.tools = tools(false);
            request.tool_choice = choice.clone();
            request.parallel_calls = parallel;
            request.thinking.enabled = Some(false);
            let answer = run(&chat, request).await;
            if answer.reasons[0].1 == FinishReason::Length {
                continue;
            }
            assert_eq!(answer.reasons, [(0, FinishReason::ToolCalls)]);
            assert_eq!(answer.content[0], "");
            for (name, arguments) in &answer.calls {
                let tool = tools(false).into_iter().find(|tool| tool.name == *name).unwrap();
                assert_follows(&tool.parameters.unwrap(), arguments);
                assert!(choice == ToolChoice::Required || name == "sum");
            }
            assert!(parallel && choice == ToolChoice::Required || answer.calls.len() == 1);
            most = most.max(answer.calls.len());
            whole += 1;
        }
    }
    assert!(
        whole > 24 && most > 1,
        "{whole} of 48 came to their end, with up to {most} calls"
    );
}

#[test]
fn references_behind_references_overflow_no_stack() {
    let chat = random(7);
    let mut definitions = serde_json::Map::new();
    for hop in 0..8000 {
        definitions.insert(
            format!("a{hop}"),
            json!({"$ref": format!("#/$defs/a{}", hop + 1)}),
        );
    }
    definitions.insert("a8000".to_owned(), json!({"type": "string"}));
    let schema = json!({"type": "object", "properties": {"x": {"$ref": "#/$defs/a0"}}, "$defs": definitions});
    // Compiled or refused: on this thread's two megabytes it would end the process.
    let _ = chat
        .core
        .model
        .prompt(&asked(AnswerForm::JsonSchema(Arc::new(schema))));
}

/// The demo model's folder with a template of another family, as far as its marks go.
fn folder_of_family(marks: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in [
        "tokenizer.json",
        "tokenizer_config.json",
        "config.json",
        "generation_config.json",
    ] {
        std::fs::copy(tiny_chat().join(file), folder.path().join(file)).unwrap();
    }
    // A template that names such a token wants it; the other marks are spelled.
    let file = folder.path().join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let first = tiny_tokenizer().get_vocab_size(true);
    let is_token = |mark: &&str| mark.starts_with("<|") || mark.starts_with("<｜");
    let tokens = marks.split(' ').filter(is_token);
    for (index, mark) in tokens.enumerate() {
        tokenizer["added_tokens"].as_array_mut().unwrap().push(json!({
            "id": first + index, "content": mark, "special": true, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false,
        }));
    }
    std::fs::write(file, tokenizer.to_string()).unwrap();
    let config = folder.path().join("tokenizer_config.json");
    let mut text: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    let template = "{{ tools | tojson }}{% for message in messages %}{{ message.content }}{% endfor %}";
    text["chat_template"] = format!("{template}{{# {marks} #}}").into();
    std::fs::write(config, text.to_string()).unwrap();
    folder
}

#[tokio::test]
async fn forced_calls_are_written_as_they_are_read_in_the_syntax_of_each_family() {
    for (marks, syntax) in [
        ("<tool_call>", CallSyntax::Hermes),
        ("<|python_tag|>", CallSyntax::Llama),
        ("[TOOL_CALLS]", CallSyntax::Mistral),
        ("[TOOL_CALLS] [ARGS]", CallSyntax::MistralArguments),
        ("<｜tool▁calls▁begin｜> ```json", CallSyntax::DeepSeek),
        ("<｜tool▁calls▁begin｜>", CallSyntax::DeepSeekBare),
        ("<|action_start|> <|plugin|>", CallSyntax::InternLm),
        ("<|observation|>", CallSyntax::Glm),
    ] {
        let folder = folder_of_family(marks);
        let chat = random_in(folder.path(), 6);
        assert_eq!(chat.core.model.syntax, syntax);
        let mut whole = 0;
        for number in 0..8 {
            let mut request = asked(AnswerForm::Text);
            request.tools = tools(false);
            request.tool_choice = ToolChoice::Required;
            // Sixteen calls whose marks are spelled take more than there is.
            request.parallel_calls = number > 4;
            request.max_tokens = TokenCount(1000);
            let answer = run(&chat, request).await;
            if answer.reasons[0].1 == FinishReason::Length {
                continue;
            }
            assert_eq!(answer.reasons, [(0, FinishReason::ToolCalls)], "{syntax:?}");
            assert_eq!(answer.content[0], "", "{syntax:?}");
            for (name, arguments) in &answer.calls {
                let tool = tools(false).into_iter().find(|tool| tool.name == *name).unwrap();
                assert_follows(&tool.parameters.unwrap(), arguments);
            }
            whole += 1;
        }
        assert!(whole > 3, "{syntax:?}: {whole} of 8 came to their end");
    }
}

#[tokio::test]
async fn a_call_of_a_strict_tool_follows_its_schema_once_begun_and_text_is_free() {
    let (mut calls, mut texts, chat) = (0, 0, random(5));
    for _ in 0..40 {
        let mut request = asked(AnswerForm::Text);
        request.tools = tools(true);
        request.thinking.enabled = Some(false);
        let answer = run(&chat, request).await;
        let (reason, last) = (answer.reasons[0].1, answer.calls.len());
        for (index, (name, arguments)) in answer.calls.iter().enumerate() {
            if reason == FinishReason::ToolCalls || index + 1 < last {
                let tool = tools(true).into_iter().find(|tool| tool.name == *name).unwrap();
                assert_follows(&tool.parameters.unwrap(), arguments);
                calls += 1;
            }
        }
        texts += usize::from(!answer.content[0].is_empty());
    }
    assert!(calls > 10 && texts > 0, "{calls} calls, {texts} texts");
}

#[tokio::test]
async fn with_tools_and_a_form_the_answer_is_either() {
    let (mut calls, mut forms, chat) = (0, 0, random(6));
    for _ in 0..30 {
        let mut request = asked(AnswerForm::JsonSchema(Arc::new(place_schema())));
        request.tools = tools(true);
        request.thinking.enabled = Some(false);
        let answer = run(&chat, request).await;
        match answer.reasons[0].1 {
            FinishReason::Stop => {
                assert_follows(&place_schema(), &answer.content[0]);
                forms += 1;
            }
            FinishReason::ToolCalls => {
                assert_eq!(answer.content[0], "");
                calls += 1;
            }
            FinishReason::Length => {}
        }
    }
    assert!(calls > 0 && forms > 0, "{calls} calls, {forms} forms");
}

#[test]
fn what_cannot_be_kept_is_refused_with_its_reason() {
    let chat = random(0);
    let form = |schema: Value| asked(AnswerForm::JsonSchema(Arc::new(schema)));
    let forced = |choice: ToolChoice, tools: Vec<Tool>| ChatRequest {
        tools,
        tool_choice: choice,
        ..asked(AnswerForm::Text)
    };
    let unconstrainable = [
        (
            form(json!({"type": "strin"})),
            Feature::JsonMode,
            "response_format: the schema cannot be kept: ",
        ),
        (
            form(json!({"$ref": "https://example.org/a.json"})),
            Feature::JsonMode,
            "response_format: the schema cannot be kept: ",
        ),
        (
            form(json!({"type": "string", "pattern": "(?=a)b"})),
            Feature::JsonMode,
            "response_format: the schema cannot be kept: ",
        ),
        (
            form(json!({"not": {}})),
            Feature::JsonMode,
            "response_format: the schema cannot be kept: ",
        ),
        (
            forced(
                ToolChoice::Required,
                vec![
                    tool("good", json!({}), false),
                    tool("bad", json!({"type": "array"}), false),
                ],
            ),
            Feature::StrictTools,
            "tools: the parameters of 'bad' cannot be kept: its type is not object",
        ),
        (
            forced(
                ToolChoice::Auto,
                vec![
                    tool("good", json!({}), true),
                    tool("bad", json!({"properties": {"a": {"type": "x"}}}), true),
                ],
            ),
            Feature::StrictTools,
            "tools: the parameters of 'bad' cannot be kept: ",
        ),
    ];
    for (request, expected, beginning) in unconstrainable {
        match refusal(&chat, &request) {
            EngineError::Unconstrainable { feature, reason } => {
                assert_eq!(feature, expected);
                assert!(reason.starts_with(beginning) && reason.len() < 500, "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
    let prefixed = ChatRequest {
        continuation: Continuation::Prefix("{".to_owned()),
        ..asked(AnswerForm::JsonObject)
    };
    for (request, text) in [
        (
            forced(ToolChoice::Named("h".to_owned()), tools(false)),
            "tool_choice: there is no tool named 'h'",
        ),
        (
            forced(ToolChoice::Required, Vec::new()),
            "tool_choice: there are no tools to call",
        ),
        (
            prefixed,
            "an answer that continues a text cannot be a JSON form or a forced call: leave one of the two out",
        ),
    ] {
        match refusal(&chat, &request) {
            EngineError::InvalidRequest(reason) => assert_eq!(reason, text),
            other => panic!("{other:?}"),
        }
    }
    let loose = forced(
        ToolChoice::Auto,
        vec![tool("bad", json!({"type": "array"}), false)],
    );
    assert!(
        chat.core.model.prompt(&loose).unwrap().constraint.is_none(),
        "nothing is promised"
    );
}
