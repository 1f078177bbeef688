//! Which grammar a request needs.

use std::sync::Arc;

use serde_json::Value;
use silica_engine::{AnswerForm, ChatRequest, ConstraintSource, EngineError, Feature, Tool, ToolChoice};

use super::calls::{CallTool, MOST_CALLS, rules};
use super::constraint::{AnswerConstraint, Body, Reasoning};
use super::library::{Grammar, Grammars};
use super::schema;
use crate::answer::Patterns;
use crate::calls::CallSyntax;

/// A request, and what is known of its answer's beginning.
pub(crate) struct Asked<'a> {
    pub(crate) request: &'a ChatRequest,
    /// Whether the model sees the tools.
    pub(crate) tools: bool,
    pub(crate) reasoning: Reasoning,
    /// The token that closes the reasoning; without one it is spelled.
    pub(crate) closes: Option<u32>,
    pub(crate) syntax: CallSyntax,
}

/// What keeps the answers to a request within what it asks for; `None` when it asks for nothing.
///
/// # Errors
/// [`EngineError::Unconstrainable`] for schemas that cannot be compiled, and
/// [`EngineError::InvalidRequest`] for a forced call of a tool that is not there.
pub(crate) fn plan(
    grammars: &Grammars,
    asked: &Asked<'_>,
) -> Result<Option<Arc<dyn ConstraintSource>>, EngineError> {
    let Some(body) = body(grammars, asked)? else {
        return Ok(None);
    };
    let barred = match &body {
        Body::Whole(_) => Vec::new(),
        Body::After(trigger, _) => {
            let marks = asked.syntax.marks().open.iter();
            marks
                .filter_map(|mark| grammars.vocabulary().added_token(mark))
                .filter(|id| id != trigger)
                .collect()
        }
    };
    Ok(Some(Arc::new(AnswerConstraint {
        barred,
        vocabulary: Arc::clone(grammars.vocabulary()),
        stop_tokens: grammars.stop_tokens().to_vec(),
        reasoning: asked.reasoning,
        closes: asked.closes,
        close_text: Patterns::new(["</think>"]),
        body,
    })))
}

fn body(grammars: &Grammars, asked: &Asked<'_>) -> Result<Option<Body>, EngineError> {
    let request = asked.request;
    if request.tool_choice.forces_call() {
        let called = forced_tools(request)?;
        return forced(grammars, asked, &called).map(|grammar| Some(Body::Whole(grammar)));
    }
    let is_strict = asked.tools && request.tools.iter().any(|tool| tool.strict);
    match (&request.form, asked.tools) {
        (AnswerForm::Text, _) if is_strict => strict(grammars, asked).map(Some),
        (AnswerForm::Text, _) => Ok(None),
        (form, false) => formed(grammars, form, "").map(|grammar| Some(Body::Whole(grammar))),
        (form, true) => {
            let tools = loose_tools(&request.tools)?;
            let calls = rules(asked.syntax, grammars.vocabulary(), &tools, most_calls(request));
            formed(grammars, form, &format!(" | calls\n{}", calls.rules))
                .map(|grammar| Some(Body::Whole(grammar)))
        }
    }
}

/// The tools of which one must be called.
fn forced_tools(request: &ChatRequest) -> Result<Vec<&Tool>, EngineError> {
    let called: Vec<&Tool> = match &request.tool_choice {
        ToolChoice::Named(name) => request.tools.iter().filter(|tool| tool.name == *name).collect(),
        _ => request.tools.iter().collect(),
    };
    if called.is_empty() {
        return Err(EngineError::InvalidRequest(match &request.tool_choice {
            ToolChoice::Named(name) => format!("tool_choice: there is no tool named '{name}'"),
            _ => "tool_choice: there are no tools to call".to_owned(),
        }));
    }
    Ok(called)
}

/// Nothing but calls of these tools, whose arguments follow their schemas.
fn forced(grammars: &Grammars, asked: &Asked<'_>, called: &[&Tool]) -> Result<Arc<Grammar>, EngineError> {
    let tools = called.iter().map(|tool| exact(tool));
    let tools: Vec<_> = tools.collect::<Result<_, _>>()?;
    let most = match asked.request.tool_choice {
        ToolChoice::Named(_) => 1,
        _ => most_calls(asked.request),
    };
    let calls = rules(asked.syntax, grammars.vocabulary(), &tools, most);
    let compiled = grammars.compile(format!("start: calls\n{}", calls.rules));
    compiled.map_err(|error| blame(grammars, &tools, Feature::ForcedCalls, &error.to_string()))
}

/// Text, and calls that follow the schemas of the strict tools.
fn strict(grammars: &Grammars, asked: &Asked<'_>) -> Result<Body, EngineError> {
    let tools = loose_tools(&asked.request.tools)?;
    let calls = rules(
        asked.syntax,
        grammars.vocabulary(),
        &tools,
        most_calls(asked.request),
    );
    let failed = |error: super::library::GrammarError| {
        blame(grammars, &tools, Feature::StrictTools, &error.to_string())
    };
    if let Some(trigger) = calls.trigger {
        let grammar = grammars
            .compile(format!("start: rest\n{}", calls.rules))
            .map_err(failed)?;
        return Ok(Body::After(trigger, grammar));
    }
    if asked.syntax != CallSyntax::Llama {
        let reason = "tools: strict must be false: calls of this model are not marked by tokens of their own";
        return Err(EngineError::Unconstrainable {
            feature: Feature::StrictTools,
            reason: reason.to_owned(),
        });
    }
    // A call is all of the answer; what does not begin like one is text.
    let text = r"TEXT: /[ \t\r\n]*[^{ \t\r\n](?s:.*)/";
    let grammar = grammars.compile(format!("start: calls | TEXT\n{text}\n{}", calls.rules));
    grammar.map(Body::Whole).map_err(failed)
}

/// One JSON value; `others` are further rules, and alternatives to it.
fn formed(grammars: &Grammars, form: &AnswerForm, others: &str) -> Result<Arc<Grammar>, EngineError> {
    let refused = |reason: String| EngineError::Unconstrainable {
        feature: Feature::JsonMode,
        reason: format!("response_format: the schema cannot be kept: {reason}"),
    };
    let schema = match form {
        AnswerForm::JsonSchema(schema) => {
            schema::of_answer(schema).map_err(|error| refused(error.to_string()))?
        }
        AnswerForm::Text | AnswerForm::JsonObject => schema::any_object(),
    };
    let others = if others.is_empty() { "\n" } else { others };
    let compiled = grammars.compile(format!("start: answer{others}answer: %json {schema}\n"));
    compiled.map_err(|error| refused(error.to_string()))
}

const fn most_calls(request: &ChatRequest) -> usize {
    if request.parallel_calls { MOST_CALLS } else { 1 }
}

/// A tool whose arguments follow its schema.
fn exact(tool: &Tool) -> Result<CallTool<'_>, EngineError> {
    let schema = schema::of_arguments(tool.parameters.as_ref())
        .map_err(|error| refused_tool(&tool.name, Feature::StrictTools, &error.to_string()))?;
    Ok(called(tool, &schema))
}

/// Tools of which only the strict ones keep to their schemas; the others take any object.
fn loose_tools(tools: &[Tool]) -> Result<Vec<CallTool<'_>>, EngineError> {
    let tools = tools.iter().map(|tool| {
        if tool.strict {
            exact(tool)
        } else {
            Ok(called(tool, &schema::any_object()))
        }
    });
    tools.collect()
}

fn called<'a>(tool: &'a Tool, schema: &Value) -> CallTool<'a> {
    CallTool {
        name: &tool.name,
        schema: schema.to_string(),
    }
}

/// Finds the tool whose schema cannot be compiled.
fn blame(grammars: &Grammars, tools: &[CallTool<'_>], feature: Feature, reason: &str) -> EngineError {
    for tool in tools {
        if let Err(error) = grammars.compile(format!("start: %json {}\n", tool.schema)) {
            return refused_tool(tool.name, feature, &error.to_string());
        }
    }
    EngineError::Unconstrainable {
        feature,
        reason: format!("tools: their schemas cannot be kept together: {reason}"),
    }
}

fn refused_tool(name: &str, feature: Feature, reason: &str) -> EngineError {
    EngineError::Unconstrainable {
        feature,
        reason: format!("tools: the parameters of '{name}' cannot be kept: {reason}"),
    }
}
