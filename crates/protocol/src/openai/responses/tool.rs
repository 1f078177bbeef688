//! Tool definitions of a responses request and the choice among them.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::ApiError;
use crate::openai::chat::ToolDefinition;
use crate::openai::chat::tool::{MOST_SCHEMA_BYTES, MOST_TOOLS, function_name, schema};
use crate::reader::{Kind, Object, Path, boolean, list, string};

/// Which tools the model may or must call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ResponseToolChoice)]
#[serde(untagged)]
pub enum ToolSelection {
    /// Any of them.
    Any(ToolMode),
    /// This one.
    Named(NamedTool),
    /// Some of them.
    Allowed(AllowedTools),
}

/// Whether tools may or must be called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ResponseToolMode)]
#[serde(rename_all = "lowercase")]
pub enum ToolMode {
    /// The model decides.
    #[default]
    Auto,
    /// No calls.
    None,
    /// At least one call.
    Required,
}

/// A function by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ResponseNamedTool)]
pub struct NamedTool {
    /// Always `function`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Which.
    pub name: String,
}

/// Some of the request's tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ResponseAllowedTools)]
pub struct AllowedTools {
    /// Always `allowed_tools`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `auto` or `required`.
    pub mode: ToolMode,
    /// Which.
    pub tools: Vec<NamedTool>,
}

impl Default for ToolSelection {
    fn default() -> Self {
        Self::Any(ToolMode::Auto)
    }
}

impl ToolSelection {
    /// Whether the model may call this tool.
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::Any(_) | Self::Named(_) => true,
            Self::Allowed(allowed) => allowed.tools.iter().any(|tool| tool.name == name),
        }
    }
}

/// A tool as answers repeat it: unlike in chats, without a level for the function.
pub(super) struct ToolEcho<'a>(pub(super) &'a ToolDefinition);

impl Serialize for ToolEcho<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Form<'a> {
            #[serde(rename = "type")]
            kind: &'static str,
            name: &'a str,
            description: Option<&'a str>,
            parameters: Option<&'a serde_json::Value>,
            strict: bool,
        }
        let ToolDefinition {
            name,
            description,
            parameters,
            strict,
        } = self.0;
        let form = Form {
            kind: "function",
            name,
            description: description.as_deref(),
            parameters: parameters.as_ref(),
            strict: *strict,
        };
        form.serialize(serializer)
    }
}

/// Reads `tools`. Only functions, which the client runs itself: the tools that OpenAI's service runs
/// (`web_search`, `mcp` and the like) do not exist here.
pub(super) fn tools(at: Path<'_>, raw: &RawValue) -> Result<Vec<ToolDefinition>, ApiError> {
    let (mut count, mut schema_bytes) = (0, 0);
    list(at, raw, |item, raw| {
        count += 1;
        if count > MOST_TOOLS {
            return Err(at.fault("List should have at most 128 items after validation"));
        }
        let known = &["type", "name", "description", "parameters", "strict"];
        let tool = Object::read(item, raw, known)?;
        if tool.required("type", string)? != "function" {
            return Err(tool.path("type").fault("Input should be 'function'"));
        }
        Ok(ToolDefinition {
            name: tool.required("name", function_name)?,
            description: tool.optional("description", string)?,
            parameters: tool.optional("parameters", |at, raw| {
                schema_bytes += raw.get().len();
                if schema_bytes > MOST_SCHEMA_BYTES {
                    return Err(at.fault("Schemas should have at most 1048576 bytes together"));
                }
                schema(at, raw)
            })?,
            strict: tool.optional("strict", boolean)?.unwrap_or(false),
        })
    })
}

/// Reads `tool_choice`.
pub(super) fn tool_choice(at: Path<'_>, raw: &RawValue) -> Result<ToolSelection, ApiError> {
    let fault = || at.fault("Input should be 'none', 'auto', 'required', a function or allowed tools");
    match Kind::of(raw) {
        Kind::String => match string(at, raw)?.as_str() {
            "auto" => Ok(ToolSelection::Any(ToolMode::Auto)),
            "none" => Ok(ToolSelection::Any(ToolMode::None)),
            "required" => Ok(ToolSelection::Any(ToolMode::Required)),
            _ => Err(fault()),
        },
        Kind::Object => {
            let choice = Object::read(at, raw, &["type", "name", "mode", "tools"])?;
            match choice.required("type", string)?.as_str() {
                "function" => named(&choice).map(ToolSelection::Named),
                "allowed_tools" => allowed(&choice).map(ToolSelection::Allowed),
                _ => Err(choice
                    .path("type")
                    .fault("Input should be 'function' or 'allowed_tools'")),
            }
        }
        Kind::Array | Kind::Bool | Kind::Null | Kind::Number => Err(fault()),
    }
}

fn named(tool: &Object<'_, '_>) -> Result<NamedTool, ApiError> {
    Ok(NamedTool {
        kind: "function",
        name: tool.required("name", function_name)?,
    })
}

fn allowed(choice: &Object<'_, '_>) -> Result<AllowedTools, ApiError> {
    let mode = choice.required("mode", |at, raw| match string(at, raw)?.as_str() {
        "auto" => Ok(ToolMode::Auto),
        "required" => Ok(ToolMode::Required),
        _ => Err(at.fault("Input should be 'auto' or 'required'")),
    })?;
    let mut count = 0;
    let tools = choice.required("tools", |at, raw| {
        list(at, raw, |item, raw| {
            count += 1;
            if count > MOST_TOOLS {
                return Err(at.fault("List should have at most 128 items after validation"));
            }
            let tool = Object::read(item, raw, &["type", "name"])?;
            if tool.required("type", string)? != "function" {
                return Err(tool.path("type").fault("Input should be 'function'"));
            }
            named(&tool)
        })
    })?;
    Ok(AllowedTools {
        kind: "allowed_tools",
        mode,
        tools,
    })
}
