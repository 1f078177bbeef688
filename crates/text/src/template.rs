//! Chat templates: Jinja with the semantics of the transformers library.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, Value};
use minijinja::{Environment, Error, ErrorKind};
use minijinja_contrib::pycompat;
use silica_engine::EngineError;
use silica_types::{Clock, SharedClock};

use crate::TextError;
use crate::folder::TemplateSource;

mod generation_tag;
mod json;
mod messages;

pub(crate) use messages::{message_values, tool_values};

const DEFAULT: &str = "default";
const TOOL_USE: &str = "tool_use";

/// The compiled chat templates of a model.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    /// Without fuel; each rendering gets its own amount.
    environment: Environment<'static>,
    sources: Vec<TemplateSource>,
    bos_token: Value,
    eos_token: Value,
}

/// What a template renders.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// See [`message_values`].
    pub(crate) messages: Vec<serde_json::Value>,
    /// See [`tool_values`]; empty when no tools are offered.
    pub(crate) tools: Vec<serde_json::Value>,
    /// `enable_thinking`; `None` leaves it undefined.
    pub(crate) enable_thinking: Option<bool>,
    /// Bytes of text in messages and tools; bounds the work of rendering.
    pub(crate) bytes: usize,
}

/// Raised by a template's `raise_exception`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

impl ChatTemplate {
    /// Compiles the templates; `None` when there are none.
    ///
    /// # Errors
    /// Names the file of the first template that does not compile.
    pub(crate) fn compile(
        sources: Vec<TemplateSource>,
        bos_token: Option<&str>,
        eos_token: Option<&str>,
        clock: SharedClock,
    ) -> Result<Option<Self>, TextError> {
        if sources.is_empty() {
            return Ok(None);
        }
        let mut environment = environment(clock);
        for template in &sources {
            let source = generation_tag::without_generation_tags(&template.source);
            let invalid = |error| TextError::Template {
                file: template.file.clone(),
                source: Box::new(error),
            };
            environment
                .add_template_owned(template.name.clone(), source)
                .map_err(invalid)?;
        }
        let token = |token: Option<&str>| token.map_or(Value::UNDEFINED, Value::from);
        let (bos_token, eos_token) = (token(bos_token), token(eos_token));
        Ok(Some(Self {
            environment,
            sources,
            bos_token,
            eos_token,
        }))
    }

    /// Whether the template that would be used mentions this variable at all.
    pub(crate) fn mentions(&self, variable: &str, with_tools: bool) -> bool {
        self.source(with_tools)
            .is_some_and(|template| template.source.contains(variable))
    }

    /// Whether any of the templates has this text in it.
    pub(crate) fn contains(&self, text: &str) -> bool {
        self.sources.iter().any(|template| template.source.contains(text))
    }

    /// Renders the prompt up to where the assistant's answer begins.
    ///
    /// # Errors
    /// [`EngineError::InvalidRequest`] with the template's own text when it raises an exception,
    /// with a description when it cannot render these messages or would work too long on them.
    pub(crate) fn render(&self, conversation: Conversation) -> Result<String, EngineError> {
        let with_tools = !conversation.tools.is_empty();
        let name = self
            .source(with_tools)
            .map_or(DEFAULT, |template| template.name.as_str());
        // Copying shares all that is compiled.
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel(&conversation)));
        let rendered = environment
            .get_template(name)
            .and_then(|template| template.render(self.context(conversation)));
        rendered.map_err(|error| refusal(&error))
    }

    /// Whether tools stand in a message, as in GLM-4's template, whose own code puts them into a system
    /// message. Others read a variable.
    fn reads_tools_from_messages(&self) -> bool {
        self.source(true)
            .is_some_and(|template| template.source.contains("['tools']"))
    }

    /// As the transformers library chooses among named templates.
    fn source(&self, with_tools: bool) -> Option<&TemplateSource> {
        let named = |name: &str| self.sources.iter().find(|template| template.name == name);
        let for_tools = if with_tools { named(TOOL_USE) } else { None };
        for_tools
            .or_else(|| named(DEFAULT))
            .or_else(|| self.sources.first())
    }

    fn context(&self, mut conversation: Conversation) -> Value {
        if !conversation.tools.is_empty() && self.reads_tools_from_messages() {
            let tools = conversation.tools.clone();
            let message = serde_json::json!({ "role": "system", "content": "", "tools": tools });
            conversation.messages.insert(0, message);
        }
        let json = |values: Vec<serde_json::Value>| Value::from(minijinja::value::Serde(values));
        let tools = if conversation.tools.is_empty() {
            Value::from(())
        } else {
            json(conversation.tools)
        };
        let mut variables = BTreeMap::from([
            ("messages", json(conversation.messages)),
            ("tools", tools),
            ("documents", Value::from(())),
            ("add_generation_prompt", Value::from(true)),
            ("bos_token", self.bos_token.clone()),
            ("eos_token", self.eos_token.clone()),
        ]);
        variables.extend(
            conversation
                .enable_thinking
                .map(|enabled| ("enable_thinking", Value::from(enabled))),
        );
        Value::from(variables)
    }
}

/// One unit pays for one instruction or 64 bytes of text. Real templates take some 100 to 300
/// instructions for a message and copy each text a few times.
fn fuel(conversation: &Conversation) -> u64 {
    let items = conversation.messages.len() + conversation.tools.len();
    200_000 + 2_000 * items as u64 + conversation.bytes as u64 / 2
}

fn environment(clock: SharedClock) -> Environment<'static> {
    let mut environment = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    if let Ok(syntax) = syntax.trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    // Prompts are no HTML, whatever a template is called.
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(pycompat::unknown_method_callback);
    environment.add_filter(
        "tojson",
        |value: &Value, arguments: Rest<Value>, options: Kwargs| json::to_json(value, &arguments, &options),
    );
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, "raise_exception").with_source(Raised(message)))
    });
    environment.add_function("strftime_now", move |format: String| {
        strftime(clock.as_ref(), &format)
    });
    environment
}

/// The current time in UTC.
fn strftime(clock: &dyn Clock, format: &str) -> Result<String, Error> {
    let invalid =
        |error| Error::new(ErrorKind::InvalidOperation, "strftime_now: invalid format").with_source(error);
    jiff::fmt::strtime::BrokenDownTime::from(clock.now())
        .to_string(format)
        .map_err(invalid)
}

fn refusal(error: &Error) -> EngineError {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(Raised(message)) = cause.downcast_ref() {
            return EngineError::InvalidRequest(message.clone());
        }
        source = cause.source();
    }
    EngineError::InvalidRequest(match error.kind() {
        ErrorKind::OutOfFuel => "the messages take the model's chat template too much work".to_owned(),
        kind => {
            let detail = error.detail().unwrap_or_default();
            format!("the model's chat template cannot render these messages: {kind}: {detail}")
        }
    })
}

#[cfg(test)]
mod tests;
