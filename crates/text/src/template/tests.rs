use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use silica_engine::{Message, Role, Tool, ToolCall};
use silica_types::ManualClock;

use super::*;

/// One rendering by the transformers library, see `tests/fixtures/make_templates.py`.
#[derive(Deserialize)]
struct Case {
    template: String,
    #[serde(rename = "case")]
    label: String,
    bos_token: Option<String>,
    eos_token: Option<String>,
    messages: Vec<CaseMessage>,
    tools: Option<Vec<CaseTool>>,
    enable_thinking: Option<bool>,
    expected: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct CaseMessage {
    role: String,
    content: String,
    reasoning_content: Option<String>,
    #[serde(default)]
    tool_calls: Vec<CaseCall>,
    tool_call_id: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct CaseCall {
    id: String,
    function: CaseCallFunction,
}

#[derive(Deserialize)]
struct CaseCallFunction {
    name: String,
    arguments: serde_json::Value,
}

#[derive(Deserialize)]
struct CaseTool {
    function: CaseFunction,
}

#[derive(Deserialize)]
struct CaseFunction {
    name: String,
    description: Option<String>,
    parameters: Option<serde_json::Value>,
}

impl From<CaseMessage> for Message {
    fn from(message: CaseMessage) -> Self {
        let role = match message.role.as_str() {
            "system" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            _ => Role::Tool,
        };
        let call = |call: CaseCall| ToolCall {
            id: call.id,
            name: call.function.name,
            arguments: call.function.arguments.to_string(),
        };
        Self {
            role,
            content: message.content,
            reasoning: message.reasoning_content,
            tool_calls: message.tool_calls.into_iter().map(call).collect(),
            tool_call_id: message.tool_call_id,
            name: message.name,
            ..Self::default()
        }
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/templates")
}

fn source(name: &str) -> String {
    if name == "tiny-chat" {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tiny-chat/tokenizer_config.json");
        let config: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        return config["chat_template"].as_str().unwrap().to_owned();
    }
    std::fs::read_to_string(fixtures().join(format!("{name}.jinja"))).unwrap()
}

fn compile(source: &str, bos_token: Option<&str>) -> ChatTemplate {
    compile_with(source, bos_token, None)
}

fn compile_with(source: &str, bos_token: Option<&str>, eos_token: Option<&str>) -> ChatTemplate {
    let clock = Arc::new(ManualClock::new("2025-02-13T21:22:26Z".parse().unwrap()));
    let template = TemplateSource {
        name: "default".to_owned(),
        source: source.to_owned(),
        file: PathBuf::from("test"),
    };
    ChatTemplate::compile(vec![template], bos_token, eos_token, clock)
        .unwrap()
        .unwrap()
}

fn conversation(text: &str) -> Conversation {
    let message = Message {
        content: text.to_owned(),
        ..Message::default()
    };
    Conversation {
        messages: message_values([message]),
        tools: Vec::new(),
        enable_thinking: None,
        bytes: text.len(),
    }
}

fn message(result: Result<String, EngineError>) -> String {
    match result {
        Err(EngineError::InvalidRequest(text)) => text,
        other => panic!("{other:?}"),
    }
}

/// Gemma has no place for a system message: the client is told so, in the template's words.
#[test]
fn a_role_that_a_template_refuses_is_the_clients_error() {
    let template = compile(&source("gemma-2"), Some("<bos>"));
    let system = Message {
        role: Role::System,
        ..Message::default()
    };
    let refused = template.render(Conversation {
        messages: message_values([system, Message::default()]),
        tools: Vec::new(),
        enable_thinking: None,
        bytes: 0,
    });
    assert_eq!(message(refused), "System role not supported");
}

#[test]
fn every_fixture_renders_as_transformers_renders_it() {
    let cases: Vec<Case> =
        serde_json::from_slice(&std::fs::read(fixtures().join("expected.json")).unwrap()).unwrap();
    assert!(cases.len() > 50);
    for case in cases {
        let label = format!("{}: {}", case.template, case.label);
        let (bos, eos) = (case.bos_token.as_deref(), case.eos_token.as_deref());
        let template = compile_with(&source(&case.template), bos, eos);
        let tool = |tool: CaseTool| Tool {
            name: tool.function.name,
            description: tool.function.description,
            parameters: tool.function.parameters,
            strict: false,
        };
        let tools: Vec<Tool> = case.tools.unwrap_or_default().into_iter().map(tool).collect();
        let rendered = template.render(Conversation {
            messages: message_values(case.messages.into_iter().map(Message::from)),
            tools: tool_values(&tools),
            enable_thinking: case.enable_thinking,
            bytes: 1000,
        });
        match case.expected {
            Some(expected) => assert_eq!(rendered.expect(&label), expected, "{label}"),
            None => assert_eq!(Some(message(rendered)), case.error, "{label}"),
        }
    }
}

#[test]
fn the_clock_gives_the_date() {
    let template = compile("{{ strftime_now('%d %b %Y') }}", None);
    assert_eq!(template.render(conversation("")).unwrap(), "13 Feb 2025");
    let invalid = compile("{{ strftime_now('%Q%') }}", None);
    assert!(message(invalid.render(conversation(""))).contains("strftime_now"));
}

#[test]
fn an_exception_of_the_template_is_the_clients_fault_with_its_text() {
    let template = compile(
        "{% macro f() %}{{ raise_exception('Roles must alternate!') }}{% endmacro %}{{ f() }}",
        None,
    );
    assert_eq!(
        message(template.render(conversation(""))),
        "Roles must alternate!"
    );
}

#[test]
fn endless_templates_run_out_of_fuel() {
    let template = compile(
        "{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}",
        None,
    );
    assert!(message(template.render(conversation(""))).contains("too much work"));
}

#[test]
fn long_messages_have_the_fuel_they_need() {
    let template = compile(&source("qwen3"), None);
    let text = "long text ".repeat(500_000);
    assert!(template.render(conversation(&text)).unwrap().contains(&text));
    let many: Vec<Message> = (0..5000).map(|_| Message::default()).collect();
    let messages = message_values(many);
    let short = Conversation {
        messages,
        tools: Vec::new(),
        enable_thinking: None,
        bytes: 0,
    };
    assert!(template.render(short).is_ok());
}

#[test]
fn the_template_for_tools_is_taken_when_tools_are_offered() {
    let clock = Arc::new(ManualClock::new("2025-02-13T21:22:26Z".parse().unwrap()));
    let named = |name: &str| TemplateSource {
        name: name.to_owned(),
        source: format!("{name} {{{{ tools is none }}}}"),
        file: PathBuf::from("test"),
    };
    let sources = vec![named("default"), named("tool_use")];
    let template = ChatTemplate::compile(sources, None, None, clock)
        .unwrap()
        .unwrap();
    assert_eq!(template.render(conversation("")).unwrap(), "default True");
    let tool = Tool {
        name: "f".to_owned(),
        description: None,
        parameters: None,
        strict: false,
    };
    let with_tools = Conversation {
        tools: tool_values(&[tool]),
        ..conversation("")
    };
    assert_eq!(template.render(with_tools).unwrap(), "tool_use False");
}

#[test]
fn arguments_that_are_no_object_stay_text() {
    let template = compile(
        "{{ messages[0].tool_calls[0].function.arguments is string }}",
        None,
    );
    let call = ToolCall {
        id: "1".to_owned(),
        name: "f".to_owned(),
        arguments: "[1".to_owned(),
    };
    let message = Message {
        tool_calls: vec![call],
        ..Message::default()
    };
    let conversation = Conversation {
        messages: message_values([message]),
        ..conversation("")
    };
    assert_eq!(template.render(conversation).unwrap(), "True");
}
