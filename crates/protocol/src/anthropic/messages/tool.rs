//! Tool definitions of a messages request and the choice among them.

use serde_json::value::RawValue;

use crate::ApiError;
use crate::openai::chat::tool::{MOST_SCHEMA_BYTES, MOST_TOOLS, function_name, schema};
use crate::openai::chat::{ToolChoice, ToolDefinition};
use crate::reader::{Object, Path, boolean, list, string};

/// Reads `tools`. Only tools that the client runs itself: the types that Anthropic's service runs
/// (`web_search_...` and the like) do not exist here.
pub(super) fn tools(at: Path<'_>, raw: &RawValue) -> Result<Vec<ToolDefinition>, ApiError> {
    let (mut count, mut schema_bytes) = (0, 0);
    list(at, raw, |item, raw| {
        count += 1;
        if count > MOST_TOOLS {
            return Err(at.fault("List should have at most 128 items after validation"));
        }
        let tool = Object::read(
            item,
            raw,
            &["type", "name", "description", "input_schema", "strict"],
        )?;
        if tool
            .optional("type", string)?
            .is_some_and(|kind| kind != "custom")
        {
            return Err(tool.path("type").fault("Input should be 'custom'"));
        }
        Ok(ToolDefinition {
            name: tool.required("name", function_name)?,
            description: tool.optional("description", string)?,
            parameters: Some(tool.required("input_schema", |at, raw| {
                schema_bytes += raw.get().len();
                if schema_bytes > MOST_SCHEMA_BYTES {
                    return Err(at.fault("Schemas should have at most 1048576 bytes together"));
                }
                schema(at, raw)
            })?),
            strict: tool.optional("strict", boolean)?.unwrap_or(false),
        })
    })
}

/// Reads `tool_choice`, and whether several calls may be made in one turn.
pub(super) fn tool_choice(at: Path<'_>, raw: &RawValue) -> Result<(ToolChoice, bool), ApiError> {
    let choice = Object::read(at, raw, &["type", "name", "disable_parallel_tool_use"])?;
    let is_single = choice
        .optional("disable_parallel_tool_use", boolean)?
        .unwrap_or(false);
    Ok((kind(&choice)?, !is_single))
}

fn kind(choice: &Object<'_, '_>) -> Result<ToolChoice, ApiError> {
    match choice.required("type", string)?.as_str() {
        "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        "any" => Ok(ToolChoice::Required),
        "tool" => choice.required("name", function_name).map(ToolChoice::Function),
        _ => Err(choice
            .path("type")
            .fault("Input should be 'auto', 'any', 'tool' or 'none'")),
    }
}
