//! What a call of the scripted engine does.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

/// How a line that carries a script begins.
const PREFIX: &str = "script:";

/// The script of one call. It prints as one line, to be put into any message of the request:
///
/// ```text
/// script: marker=a7 prompt=35 cached=4 tokens=20 reasoning=3 delay_us=500 usage=last fault=cut:7
/// ```
///
/// Each name may be left out. A request without such a line plays the default.
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
    /// The pause before each token.
    pub delay: Duration,
    /// Whether more than the request's `max_tokens` is produced when the script says so.
    pub ignores_max_tokens: bool,
    /// Which frames carry usage.
    pub usage: UsageFrames,
    /// The pause between the last choice's end and the usage.
    pub usage_delay: Duration,
    /// What goes wrong.
    pub fault: UpstreamFault,
}

/// Which frames carry usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UsageFrames {
    /// A frame of its own after the last choice's end, as OpenAI does with `include_usage`.
    #[default]
    Last,
    /// Every frame, cumulative.
    Every,
    /// None at all.
    None,
}

/// What goes wrong in a call. Numbers are tokens of all choices together, produced before it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpstreamFault {
    /// Nothing.
    #[default]
    None,
    /// The request is refused with this status.
    Status(u16),
    /// The request is never answered.
    Hang,
    /// The connection breaks.
    Cut(u32),
    /// Nothing more is sent, and the connection stays open.
    Stall(u32),
    /// A frame reports a failure and ends the stream.
    Report(u32),
    /// A frame is no JSON.
    Garble(u32),
    /// The stream ends as if it were whole.
    End(u32),
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
        }
    }
}

impl UpstreamScript {
    /// The script in a request's messages, or the default.
    ///
    /// # Errors
    /// When a line begins as a script and is none.
    pub(super) fn of_request(request: &Value) -> Result<Self, String> {
        let messages = request.get("messages").and_then(Value::as_array);
        let texts = messages
            .into_iter()
            .flatten()
            .filter_map(|message| message.get("content")?.as_str());
        let line = texts.flat_map(str::lines).find(|line| line.starts_with(PREFIX));
        line.map_or_else(|| Ok(Self::default()), str::parse)
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
        } = self;
        let usage = match usage {
            UsageFrames::Last => "last",
            UsageFrames::Every => "every",
            UsageFrames::None => "none",
        };
        write!(
            formatter,
            "{PREFIX} marker={marker} prompt={prompt} cached={cached} tokens={tokens} reasoning={reasoning} \
             delay_us={} ignore_max={} usage={usage} usage_delay_us={} fault={fault}",
            delay.as_micros(),
            u8::from(*ignores_max_tokens),
            usage_delay.as_micros(),
        )
    }
}

impl fmt::Display for UpstreamFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("none"),
            Self::Hang => formatter.write_str("hang"),
            Self::Status(status) => write!(formatter, "status:{status}"),
            Self::Cut(tokens) => write!(formatter, "cut:{tokens}"),
            Self::Stall(tokens) => write!(formatter, "stall:{tokens}"),
            Self::Report(tokens) => write!(formatter, "report:{tokens}"),
            Self::Garble(tokens) => write!(formatter, "garble:{tokens}"),
            Self::End(tokens) => write!(formatter, "end:{tokens}"),
        }
    }
}

impl FromStr for UpstreamScript {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let mut script = Self::default();
        let settings = line.strip_prefix(PREFIX).ok_or("no script")?;
        for setting in settings.split_whitespace() {
            let wrong = || format!("not a setting of a script: {setting}");
            let (name, value) = setting.split_once('=').ok_or_else(wrong)?;
            let number = || value.parse::<u32>().map_err(|_| wrong());
            let pause = || number().map(|number| Duration::from_micros(number.into()));
            match name {
                "marker" => value.clone_into(&mut script.marker),
                "prompt" => script.prompt = number()?,
                "cached" => script.cached = number()?,
                "tokens" => script.tokens = number()?,
                "reasoning" => script.reasoning = number()?,
                "delay_us" => script.delay = pause()?,
                "ignore_max" => script.ignores_max_tokens = number()? == 1,
                "usage_delay_us" => script.usage_delay = pause()?,
                "usage" => script.usage = usage_frames(value).ok_or_else(wrong)?,
                "fault" => script.fault = fault(value).ok_or_else(wrong)?,
                _ => return Err(wrong()),
            }
        }
        Ok(script)
    }
}

fn usage_frames(name: &str) -> Option<UsageFrames> {
    match name {
        "last" => Some(UsageFrames::Last),
        "every" => Some(UsageFrames::Every),
        "none" => Some(UsageFrames::None),
        _ => None,
    }
}

fn fault(text: &str) -> Option<UpstreamFault> {
    let (name, number) = text.split_once(':').unwrap_or((text, "0"));
    let tokens: u32 = number.parse().ok()?;
    Some(match name {
        "none" => UpstreamFault::None,
        "hang" => UpstreamFault::Hang,
        "status" => UpstreamFault::Status(u16::try_from(tokens).ok()?),
        "cut" => UpstreamFault::Cut(tokens),
        "stall" => UpstreamFault::Stall(tokens),
        "report" => UpstreamFault::Report(tokens),
        "garble" => UpstreamFault::Garble(tokens),
        "end" => UpstreamFault::End(tokens),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_from_the_line_it_prints_as() {
        for fault in [
            "none",
            "hang",
            "status:429",
            "cut:0",
            "stall:1",
            "report:2",
            "garble:3",
            "end:4",
        ] {
            let script = UpstreamScript {
                marker: "a7".to_owned(),
                prompt: 1,
                cached: 2,
                tokens: 3,
                reasoning: 4,
                delay: Duration::from_micros(5),
                ignores_max_tokens: true,
                usage: UsageFrames::Every,
                usage_delay: Duration::from_micros(6),
                fault: super::fault(fault).unwrap(),
            };
            assert_eq!(script.to_string().parse(), Ok(script));
        }
    }

    #[test]
    fn a_request_carries_its_script_in_a_line_of_any_message() {
        let request = serde_json::json!({"messages": [
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": "hello\nscript: marker=x tokens=9\nbye"},
        ]});
        let script = UpstreamScript::of_request(&request).unwrap();
        assert_eq!((script.marker.as_str(), script.tokens), ("x", 9));
        let request = serde_json::json!({"messages": [{"role": "user", "content": "script: tokens=x"}]});
        assert!(UpstreamScript::of_request(&request).is_err());
    }
}
