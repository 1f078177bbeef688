//! The values that templates see, in the shape of the OpenAI API.

use serde_json::{Map, Value, json};
use silica_engine::{Message, Tool, ToolCall};

/// One object per message: `role`, `content`, and where present `reasoning_content`, `tool_calls`,
/// `tool_call_id` and `name`.
pub(crate) fn message_values(messages: impl IntoIterator<Item = Message>) -> Vec<Value> {
    messages.into_iter().map(message_value).collect()
}

/// `{"type": "function", "function": {name, description, parameters}}` for each tool, without
/// what is not given.
pub(crate) fn tool_values(tools: &[Tool]) -> Vec<Value> {
    tools.iter().map(tool_value).collect()
}

fn message_value(message: Message) -> Value {
    let mut object = Map::new();
    object.insert("role".to_owned(), message.role.as_str().into());
    object.insert("content".to_owned(), message.content.into());
    let mut optional = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            object.insert(key.to_owned(), value.into());
        }
    };
    optional("reasoning_content", message.reasoning);
    optional("tool_call_id", message.tool_call_id);
    optional("name", message.name);
    if !message.tool_calls.is_empty() {
        let calls: Vec<Value> = message.tool_calls.into_iter().map(call_value).collect();
        object.insert("tool_calls".to_owned(), calls.into());
    }
    Value::Object(object)
}

/// Templates expect the arguments as an object; text that is none is passed on as it is.
fn call_value(call: ToolCall) -> Value {
    let object: Option<Map<String, Value>> = serde_json::from_str(&call.arguments).ok();
    let arguments = object.map_or(Value::String(call.arguments), Value::Object);
    json!({ "type": "function", "id": call.id, "function": { "name": call.name, "arguments": arguments } })
}

fn tool_value(tool: &Tool) -> Value {
    let mut function = Map::new();
    function.insert("name".to_owned(), tool.name.clone().into());
    if let Some(description) = &tool.description {
        function.insert("description".to_owned(), description.clone().into());
    }
    if let Some(parameters) = &tool.parameters {
        function.insert("parameters".to_owned(), parameters.clone());
    }
    json!({ "type": "function", "function": function })
}
