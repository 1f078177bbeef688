//! What a call of the scripted engine does.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

use super::shape::Named as _;
use super::{FirstFrame, LineEnds, ReasoningField, UpstreamFault, UsageFrames};

/// How a line that carries a script begins.
const PREFIX: &str = "script:";
/// The fields of a request, besides its messages, that may carry a script.
const TEXT_FIELDS: [&str; 3] = ["prompt", "input", "query"];

/// The script of one call. It prints as one line, to be put into any message, the `prompt`, the
/// `input` or the `query` of the request:
///
/// ```text
/// script: marker=a7 prompt=35 cached=4 tokens=20 reasoning=3 delay_us=500 usage=last fault=cut:7
/// ```
///
/// Each name may be left out; the line has those of odd shapes only where they differ from the
/// usual. A request without such a line plays the server's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamScript {
    /// Finds the call in the log again. No spaces.
    pub marker: String,
    /// The tokens of the prompt, as reported.
    pub prompt: u32,
    /// The part of them that came from a cache, as reported.
    pub cached: u32,
    /// The tokens of each choice, if nothing ends it earlier.
    pub tokens: u32,
    /// How many of them, the first ones, are reasoning.
    pub reasoning: u32,
    /// The pause before each token. An answer in one piece comes after all of them.
    pub delay: Duration,
    /// Whether more than the request's `max_tokens` is produced when the script says so.
    pub ignores_max_tokens: bool,
    /// Which frames carry usage. An answer in one piece has it unless it is `None` or `Null`.
    pub usage: UsageFrames,
    /// The pause between the last choice's end and the usage.
    pub usage_delay: Duration,
    /// What goes wrong.
    pub fault: UpstreamFault,
    /// The `Retry-After` of a refusal, in seconds; `None` for none.
    pub retry_after: Option<u32>,
    /// What a streamed chat begins with.
    pub first: FirstFrame,
    /// The field that reasoning is in.
    pub reasoning_field: ReasoningField,
    /// How the lines of a stream end.
    pub ends: LineEnds,
    /// Whether a comment stands before each frame.
    pub comments: bool,
    /// The most bytes that are handed to the connection at once; 0 for whole frames.
    pub split: u32,
    /// Whether the stream ends without `[DONE]`.
    pub omits_done: bool,
}

impl Default for UpstreamScript {
    fn default() -> Self {
        Self {
            marker: "unmarked".to_owned(),
            prompt: 10,
            cached: 0,
            tokens: 5,
            reasoning: 0,
            delay: Duration::ZERO,
            ignores_max_tokens: false,
            usage: UsageFrames::Last,
            usage_delay: Duration::ZERO,
            fault: UpstreamFault::None,
            retry_after: None,
            first: FirstFrame::Role,
            reasoning_field: ReasoningField::ReasoningContent,
            ends: LineEnds::Lf,
            comments: false,
            split: 0,
            omits_done: false,
        }
    }
}

impl UpstreamScript {
    /// The script in a request, `None` when it has none.
    ///
    /// # Errors
    /// When a line begins as a script and is none.
    pub(super) fn of_request(request: &Value) -> Result<Option<Self>, String> {
        let messages = request.get("messages").and_then(Value::as_array);
        let contents = messages
            .into_iter()
            .flatten()
            .filter_map(|message| message.get("content"));
        let fields = TEXT_FIELDS.iter().filter_map(|name| request.get(name));
        let texts = contents.chain(fields).flat_map(texts);
        let line = texts.flat_map(str::lines).find(|line| line.starts_with(PREFIX));
        line.map(str::parse).transpose()
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        let number = || value.parse::<u32>().ok();
        let pause = || number().map(|number| Duration::from_micros(number.into()));
        let switch = || number().map(|number| number == 1);
        match name {
            "marker" => value.clone_into(&mut self.marker),
            "prompt" => self.prompt = number()?,
            "cached" => self.cached = number()?,
            "tokens" => self.tokens = number()?,
            "reasoning" => self.reasoning = number()?,
            "delay_us" => self.delay = pause()?,
            "ignore_max" => self.ignores_max_tokens = switch()?,
            "usage" => self.usage = UsageFrames::named(value)?,
            "usage_delay_us" => self.usage_delay = pause()?,
            "fault" => self.fault = UpstreamFault::named(value)?,
            "retry_after" => self.retry_after = Some(number()?),
            "first" => self.first = FirstFrame::named(value)?,
            "reasoning_field" => self.reasoning_field = ReasoningField::named(value)?,
            "ends" => self.ends = LineEnds::named(value)?,
            "comments" => self.comments = switch()?,
            "split" => self.split = number()?,
            "omit_done" => self.omits_done = switch()?,
            _ => return None,
        }
        Some(())
    }

    /// The settings that the line has only where they are not the usual.
    fn odd_settings(&self) -> Vec<String> {
        let usual = Self::default();
        let mut settings = Vec::new();
        settings.extend(self.retry_after.map(|seconds| format!("retry_after={seconds}")));
        let mut odd = |is_odd: bool, name: &str, value: String| {
            if is_odd {
                settings.push(format!("{name}={value}"));
            }
        };
        let Self {
            first,
            reasoning_field,
            ends,
            comments,
            split,
            omits_done,
            ..
        } = *self;
        odd(first != usual.first, "first", first.name().to_owned());
        let field = reasoning_field.name().to_owned();
        odd(reasoning_field != usual.reasoning_field, "reasoning_field", field);
        odd(ends != usual.ends, "ends", ends.name().to_owned());
        odd(comments, "comments", u8::from(comments).to_string());
        odd(split != usual.split, "split", split.to_string());
        odd(omits_done, "omit_done", u8::from(omits_done).to_string());
        settings
    }
}

/// The texts in a value: itself, its parts, or its items.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items
            .iter()
            .filter_map(|item| item.as_str().or_else(|| item.get("text")?.as_str()))
            .collect(),
        _ => Vec::new(),
    }
}

impl fmt::Display for UpstreamScript {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            marker,
            prompt,
            cached,
            tokens,
            reasoning,
            delay,
            ignores_max_tokens,
            usage,
            usage_delay,
            fault,
            ..
        } = self;
        write!(
            formatter,
            "{PREFIX} marker={marker} prompt={prompt} cached={cached} tokens={tokens} reasoning={reasoning} \
             delay_us={} ignore_max={} usage={} usage_delay_us={} fault={fault}",
            delay.as_micros(),
            u8::from(*ignores_max_tokens),
            usage.name(),
            usage_delay.as_micros(),
        )?;
        self.odd_settings()
            .iter()
            .try_for_each(|setting| write!(formatter, " {setting}"))
    }
}

impl FromStr for UpstreamScript {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let mut script = Self::default();
        let settings = line.strip_prefix(PREFIX).ok_or("no script")?;
        for setting in settings.split_whitespace() {
            let known = setting
                .split_once('=')
                .and_then(|(name, value)| script.set(name, value));
            known.ok_or_else(|| format!("not a setting of a script: {setting}"))?;
        }
        Ok(script)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_script_is_read_from_the_line_it_prints_as() {
        let odd = UpstreamScript {
            marker: "a7".to_owned(),
            prompt: 1,
            cached: 2,
            tokens: 3,
            reasoning: 4,
            delay: Duration::from_micros(5),
            ignores_max_tokens: true,
            usage: UsageFrames::Every,
            usage_delay: Duration::from_micros(6),
            fault: UpstreamFault::Status(429),
            retry_after: Some(7),
            first: FirstFrame::NoChoices,
            reasoning_field: ReasoningField::Reasoning,
            ends: LineEnds::CrLf,
            comments: true,
            split: 8,
            omits_done: true,
        };
        assert_eq!(odd.to_string().parse(), Ok(odd));
        let usual = UpstreamScript::default();
        assert!(usual.to_string().ends_with(" fault=none"));
        assert_eq!(usual.to_string().parse(), Ok(usual));
    }

    #[test]
    fn a_request_carries_its_script_in_a_line_of_any_text() {
        let line = "hello\nscript: marker=x tokens=9\nbye";
        for request in [
            json!({"messages": [{"role": "system", "content": "be kind"}, {"content": line}]}),
            json!({"messages": [{"content": [{"type": "text", "text": line}]}]}),
            json!({"prompt": line}),
            json!({"input": ["first", line]}),
            json!({"query": line, "documents": []}),
        ] {
            let script = UpstreamScript::of_request(&request).unwrap().unwrap();
            assert_eq!((script.marker.as_str(), script.tokens), ("x", 9), "{request}");
        }
        assert_eq!(UpstreamScript::of_request(&json!({"prompt": "hello"})), Ok(None));
        assert!(UpstreamScript::of_request(&json!({"prompt": "script: tokens=x"})).is_err());
    }
}
