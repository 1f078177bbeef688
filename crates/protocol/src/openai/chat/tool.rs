//! Tool definitions and the choice among them.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::ApiError;
use crate::reader::{Kind, Object, Path, boolean, list, string};

/// The most tools of one request (contract section 3.1).
pub(crate) const MOST_TOOLS: usize = 128;
/// The most bytes that the schemas of one request may have together. They are kept as trees, which
/// take many times the size of their text.
pub(crate) const MOST_SCHEMA_BYTES: usize = 1024 * 1024;

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ToolDefinition {
    /// 1 to 64 of `A-Za-z0-9_-`.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON Schema of its arguments; `None` takes no arguments.
    pub parameters: Option<Value>,
    /// Whether the arguments must follow the schema exactly.
    pub strict: bool,
}

/// Which tools the model may or must call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No calls.
    None,
    /// At least one call.
    Required,
    /// A call of this function.
    Function(String),
}

/// Reads `tools`.
pub(super) fn tools(at: Path<'_>, raw: &RawValue) -> Result<Vec<ToolDefinition>, ApiError> {
    let mut count = 0;
    let mut schema_bytes = 0;
    list(at, raw, |item, raw| {
        count += 1;
        if count > MOST_TOOLS {
            return Err(at.fault("List should have at most 128 items after validation"));
        }
        let tool = Object::read(item, raw, &["type", "function"])?;
        if tool.required("type", string)? != "function" {
            return Err(tool.path("type").fault("Input should be 'function'"));
        }
        tool.required("function", |at, raw| definition(at, raw, &mut schema_bytes))
    })
}

fn definition(at: Path<'_>, raw: &RawValue, schema_bytes: &mut usize) -> Result<ToolDefinition, ApiError> {
    let function = Object::read(at, raw, &["name", "description", "parameters", "strict"])?;
    Ok(ToolDefinition {
        name: function.required("name", function_name)?,
        description: function.optional("description", string)?,
        parameters: function.optional("parameters", |at, raw| {
            *schema_bytes += raw.get().len();
            if *schema_bytes > MOST_SCHEMA_BYTES {
                return Err(at.fault("Schemas should have at most 1048576 bytes together"));
            }
            schema(at, raw)
        })?,
        strict: function.optional("strict", boolean)?.unwrap_or(false),
    })
}

/// Reads a function's name: 1 to 64 of `A-Za-z0-9_-`.
pub(crate) fn function_name(at: Path<'_>, raw: &RawValue) -> Result<String, ApiError> {
    let name = string(at, raw)?;
    let valid = (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if valid {
        Ok(name)
    } else {
        Err(at.fault("String should match pattern '^[a-zA-Z0-9_-]{1,64}$'"))
    }
}

/// Reads a JSON Schema, which may not be nested more than 127 levels deep.
pub(crate) fn schema(at: Path<'_>, raw: &RawValue) -> Result<Value, ApiError> {
    if Kind::of(raw) != Kind::Object {
        return Err(at.fault("Input should be a valid dictionary"));
    }
    // The syntax is checked already: what fails here is nested deeper than the parser goes.
    serde_json::from_str(raw.get()).map_err(|_| at.fault("Input is nested too deeply"))
}

/// Reads `tool_choice`.
pub(super) fn tool_choice(at: Path<'_>, raw: &RawValue) -> Result<ToolChoice, ApiError> {
    if Kind::of(raw) == Kind::Object {
        let choice = Object::read(at, raw, &["type", "function"])?;
        if choice.required("type", string)? != "function" {
            return Err(choice.path("type").fault("Input should be 'function'"));
        }
        return choice.required("function", |at, raw| {
            Object::read(at, raw, &["name"])?
                .required("name", function_name)
                .map(ToolChoice::Function)
        });
    }
    let fault = || at.fault("Input should be 'none', 'auto', 'required' or a function");
    match string(at, raw).map_err(|_| fault())?.as_str() {
        "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        "required" => Ok(ToolChoice::Required),
        _ => Err(fault()),
    }
}
