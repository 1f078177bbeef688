//! Bad tools and results, in each dialect: the contract's code and text, and no call.

use serde_json::{Value, json};

use super::support::App;

const TOOL_ROLE: &str = "\"messages\" in request are illegal: Message has tool role, but there was no previous assistant message with a tool call!..";
const PATTERN: &str = "String should match pattern '^[a-zA-Z0-9_-]{1,64}$'";
const MOST: &str = "tools: List should have at most 128 items after validation";

/// A dialect: its route, how a tool is written, where its name stands, what is asked, and how a result
/// of no call is sent and refused.
struct Dialect {
    path: &'static str,
    tool: fn(&str) -> Value,
    name: &'static str,
    question: fn() -> Value,
    stray_result: fn() -> Value,
    refusal: &'static str,
}

fn dialects() -> [Dialect; 3] {
    [
        Dialect {
            path: "/chat/completions",
            tool: |name| json!({"type": "function", "function": {"name": name}}),
            name: "tools.0.function.name",
            question: || json!({"messages": [{"role": "user", "content": "a"}]}),
            stray_result: || {
                json!({"messages": [
                    {"role": "user", "content": "a"}, {"role": "tool", "tool_call_id": "c", "content": "b"},
                ]})
            },
            refusal: TOOL_ROLE,
        },
        Dialect {
            path: "/messages",
            tool: |name| json!({"name": name, "input_schema": {"type": "object"}}),
            name: "tools.0.name",
            question: || json!({"max_tokens": 9, "messages": [{"role": "user", "content": "a"}]}),
            stray_result: || {
                json!({"max_tokens": 9, "messages": [
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "b"}]},
                ]})
            },
            refusal: "messages.0.content.0.tool_use_id: Value error, there is no earlier `tool_use` block with this id",
        },
        Dialect {
            path: "/responses",
            tool: |name| json!({"type": "function", "name": name}),
            name: "tools.0.name",
            question: || json!({"input": "a"}),
            stray_result: || json!({"input": [{"type": "function_call_output", "call_id": "c", "output": "b"}]}),
            refusal: "input.0.call_id: Value error, there is no earlier `function_call` item with this id",
        },
    ]
}

#[tokio::test]
async fn too_many_tools_bad_names_and_results_of_no_call_are_refused_in_each_dialect() {
    let app = App::new().await;
    for dialect in dialects() {
        let Dialect { path, tool, name, .. } = dialect;
        let asked = app.engine.requests().len();
        let with_tools = |tools: Vec<Value>| {
            let mut body = (dialect.question)();
            body["tools"] = tools.into();
            body
        };
        let many = (0..129).map(|index| tool(&format!("f{index}"))).collect();
        let bad_name = format!("{name}: {PATTERN}");
        let mut cases = vec![
            ((dialect.stray_result)(), dialect.refusal),
            (with_tools(many), MOST),
        ];
        for bad in ["", "a b", "é", &"x".repeat(65)] {
            cases.push((with_tools(vec![tool(bad)]), bad_name.as_str()));
        }
        for (mut body, text) in cases {
            body["model"] = "silica/full".into();
            for stream in [false, true] {
                body["stream"] = stream.into();
                let answer = app.post(path, &body).await;
                assert_eq!(answer.status, 400, "{path}: {}", answer.text());
                let refusal = answer.json();
                assert_eq!(
                    (&refusal["code"], &refusal["message"]),
                    (&json!(20015), &json!(text))
                );
            }
        }
        assert_eq!(app.engine.requests().len(), asked, "{path}");
        let most = (0..128).map(|index| tool(&format!("f-{index}_"))).collect();
        let mut body = with_tools(most);
        body["model"] = "silica/full".into();
        assert_eq!(app.post(path, &body).await.status, 200, "{path}");
    }
}
