//! The grammar of tool calls, in the model's own syntax.

use std::fmt::Write as _;

use crate::calls::CallSyntax;
use crate::vocabulary::Vocabulary;

/// The most calls of one answer; a model that cannot stop would go on to its limit.
pub(super) const MOST_CALLS: usize = 16;

/// A tool as the grammar sees it.
pub(super) struct CallTool<'a> {
    pub(super) name: &'a str,
    /// The schema of its arguments, with the library's options.
    pub(super) schema: String,
}

/// Rules for the calls of an answer.
pub(super) struct CallRules {
    /// The rules `calls` (all calls from the first mark on), `rest` (the same after `trigger`) and what they
    /// need.
    pub(super) rules: String,
    /// The token that begins calls, if one token does. After it nothing but a call may follow.
    pub(super) trigger: Option<u32>,
}

/// Writes the rules for up to `most` calls.
pub(super) fn rules(
    syntax: CallSyntax,
    vocabulary: &Vocabulary,
    tools: &[CallTool<'_>],
    most: usize,
) -> CallRules {
    let mark = |text: &str| match vocabulary.added_token(text) {
        Some(id) => format!("<[{id}]>"),
        None => quoted(text),
    };
    let trigger = |text: &str| vocabulary.added_token(text);
    // What may follow the first call: so many times what stands between calls and another one.
    let more = |another: String| match most {
        0 | 1 => String::new(),
        _ => format!(" ({another}){{0,{}}}", most - 1),
    };
    let object = |key: &str| {
        each(tools, |name| {
            (format!("{{\"name\": {}, \"{key}\": ", quoted(name)), "}")
        })
    };
    let (rules, trigger) = match syntax {
        CallSyntax::Hermes => {
            let (open, close) = (mark("<tool_call>"), mark("</tool_call>"));
            let rules = format!(
                "calls: {open} rest\nrest: inner{}\ninner: \"\\n\" call \"\\n\" {close}\n{}",
                more(format!("\"\\n\" {open} inner")),
                object("arguments")
            );
            (rules, trigger("<tool_call>"))
        }
        CallSyntax::Llama => (format!("calls: rest\nrest: call\n{}", object("parameters")), None),
        CallSyntax::Mistral => {
            let open = mark("[TOOL_CALLS]");
            let rules = format!(
                "calls: {open} rest\nrest: \" \"? \"[\" call{} \"]\"\n{}",
                more("\", \" call".to_owned()),
                object("arguments")
            );
            (rules, trigger("[TOOL_CALLS]"))
        }
        CallSyntax::MistralArguments => {
            let (open, arguments) = (mark("[TOOL_CALLS]"), mark("[ARGS]"));
            let calls = named(tools, |name, schema| {
                format!("{} {arguments} {schema}", quoted(name))
            });
            let rules = format!(
                "calls: {open} rest\nrest: call{}\n{calls}",
                more(format!("{open} call"))
            );
            (rules, trigger("[TOOL_CALLS]"))
        }
        CallSyntax::DeepSeek | CallSyntax::DeepSeekBare => {
            let [begin, end] = [mark("<｜tool▁calls▁begin｜>"), mark("<｜tool▁calls▁end｜>")];
            let [open, close] = [mark("<｜tool▁call▁begin｜>"), mark("<｜tool▁call▁end｜>")];
            let split = mark("<｜tool▁sep｜>");
            let is_bare = syntax == CallSyntax::DeepSeekBare;
            let calls = named(tools, |name, schema| {
                if is_bare {
                    format!("{open} {} {split} {schema} {close}", quoted(name))
                } else {
                    let fence = quoted(&format!("{name}\n```json\n"));
                    format!("{open} \"function\" {split} {fence} {schema} \"\\n```\" {close}")
                }
            });
            let between = if is_bare { "" } else { "\"\\n\" " };
            let others = more(format!("{between}call"));
            let rules = format!("calls: {begin} rest\nrest: call{others} {end}\n{calls}");
            (rules, trigger("<｜tool▁calls▁begin｜>"))
        }
        CallSyntax::InternLm => {
            let open = format!("{} {}", mark("<|action_start|>"), mark("<|plugin|>"));
            let close = mark("<|action_end|>");
            let rules = format!(
                "calls: {open} rest\nrest: inner{}\ninner: \"\\n\" call {close}\n{}",
                more(format!("\"\\n\" {open} inner")),
                object("parameters")
            );
            (
                rules,
                trigger("<|plugin|>").filter(|_| vocabulary.added_token("<|action_start|>").is_some()),
            )
        }
        CallSyntax::Glm => {
            let calls = named(tools, |name, schema| {
                format!("{} {schema}", quoted(&format!("{name}\n")))
            });
            let others = more("\"\\n\" call".to_owned());
            (format!("calls: rest\nrest: call{others}\n{calls}"), None)
        }
    };
    CallRules { rules, trigger }
}

/// The rule `call`: for each tool what stands before and after its arguments.
fn each(tools: &[CallTool<'_>], around: impl Fn(&str) -> (String, &'static str)) -> String {
    named(tools, |name, schema| {
        let (before, after) = around(name);
        format!("{} {schema} {}", quoted(&before), quoted(after))
    })
}

/// The rule `call` from what each tool's name and arguments become.
fn named(tools: &[CallTool<'_>], write: impl Fn(&str, &str) -> String) -> String {
    let mut calls = String::from("call: ");
    let mut schemas = String::new();
    for (index, tool) in tools.iter().enumerate() {
        let schema = format!("arguments_{index}");
        let separator = if index == 0 { "" } else { " | " };
        // Writing to a string cannot fail.
        let _ = write!(calls, "{separator}{}", write(tool.name, &schema));
        let _ = writeln!(schemas, "{schema}: %json {}", tool.schema);
    }
    format!("{calls}\n{schemas}")
}

/// A text as a string of JSON, which is how the grammar writes its own too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
