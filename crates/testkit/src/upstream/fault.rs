//! What may go wrong in a call of the scripted engine.

use std::fmt;

/// What goes wrong in a call. Numbers are tokens of all choices together, produced before it does.
///
/// A streamed answer goes wrong between two frames; an answer in one piece has its whole text to go
/// wrong in, see each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpstreamFault {
    /// Nothing.
    #[default]
    None,
    /// The request is refused with this status.
    Status(u16),
    /// The request is never answered.
    Hang,
    /// The connection breaks; in one piece: after half of the body, or before all of it for 0.
    Cut(u32),
    /// Nothing more is sent, and the connection stays open; in one piece: as [`Self::Cut`].
    Stall(u32),
    /// A frame, or the whole body, reports a failure.
    Report(u32),
    /// A frame, or the whole body, is no JSON.
    Garble(u32),
    /// The stream ends as if it were whole; in one piece: half of the body is all of it.
    End(u32),
    /// The stream ends within a frame; in one piece: as [`Self::End`].
    Truncate(u32),
    /// What comes is no event and no text.
    Noise(u32),
    /// Nothing but signs of life comes, for ever: comments, or white space before the body.
    Chatter(u32),
    /// A frame, or the whole body, never ends.
    Endless(u32),
    /// A page for people is sent with status 200.
    Html,
    /// Nothing is sent with status 200.
    Empty,
    /// A body of 128 KiB is sent that says it is compressed, and is: to 128 MiB.
    Bomb,
}

impl UpstreamFault {
    /// Whether the fault comes up between two tokens and is due after this many.
    pub(super) const fn is_due(self, produced: u32) -> bool {
        match self.after() {
            Some(tokens) => produced >= tokens,
            None => false,
        }
    }

    /// The tokens before the fault; `None` for one that needs no tokens.
    pub(super) const fn after(self) -> Option<u32> {
        match self {
            Self::Cut(tokens)
            | Self::Stall(tokens)
            | Self::Report(tokens)
            | Self::Garble(tokens)
            | Self::End(tokens)
            | Self::Truncate(tokens)
            | Self::Noise(tokens)
            | Self::Chatter(tokens)
            | Self::Endless(tokens) => Some(tokens),
            Self::None | Self::Status(_) | Self::Hang | Self::Html | Self::Empty | Self::Bomb => None,
        }
    }

    /// Reads what [`fmt::Display`] writes.
    pub(super) fn named(text: &str) -> Option<Self> {
        let (name, number) = text.split_once(':').unwrap_or((text, "0"));
        let tokens: u32 = number.parse().ok()?;
        Some(match name {
            "none" => Self::None,
            "status" => Self::Status(u16::try_from(tokens).ok()?),
            "hang" => Self::Hang,
            "cut" => Self::Cut(tokens),
            "stall" => Self::Stall(tokens),
            "report" => Self::Report(tokens),
            "garble" => Self::Garble(tokens),
            "end" => Self::End(tokens),
            "truncate" => Self::Truncate(tokens),
            "noise" => Self::Noise(tokens),
            "chatter" => Self::Chatter(tokens),
            "endless" => Self::Endless(tokens),
            "html" => Self::Html,
            "empty" => Self::Empty,
            "bomb" => Self::Bomb,
            _ => return None,
        })
    }
}

impl fmt::Display for UpstreamFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("none"),
            Self::Status(status) => write!(formatter, "status:{status}"),
            Self::Hang => formatter.write_str("hang"),
            Self::Cut(tokens) => write!(formatter, "cut:{tokens}"),
            Self::Stall(tokens) => write!(formatter, "stall:{tokens}"),
            Self::Report(tokens) => write!(formatter, "report:{tokens}"),
            Self::Garble(tokens) => write!(formatter, "garble:{tokens}"),
            Self::End(tokens) => write!(formatter, "end:{tokens}"),
            Self::Truncate(tokens) => write!(formatter, "truncate:{tokens}"),
            Self::Noise(tokens) => write!(formatter, "noise:{tokens}"),
            Self::Chatter(tokens) => write!(formatter, "chatter:{tokens}"),
            Self::Endless(tokens) => write!(formatter, "endless:{tokens}"),
            Self::Html => formatter.write_str("html"),
            Self::Empty => formatter.write_str("empty"),
            Self::Bomb => formatter.write_str("bomb"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_from_what_it_prints_as() {
        for text in [
            "none",
            "status:429",
            "hang",
            "cut:0",
            "stall:1",
            "report:2",
            "garble:3",
            "end:4",
            "truncate:5",
            "noise:6",
            "chatter:7",
            "endless:8",
            "html",
            "empty",
            "bomb",
        ] {
            assert_eq!(UpstreamFault::named(text).unwrap().to_string(), text);
        }
        for text in ["", "nothing", "cut:x", "status:70000"] {
            assert_eq!(UpstreamFault::named(text), None, "{text}");
        }
    }

    #[test]
    fn a_fault_is_due_after_its_tokens() {
        assert!(!UpstreamFault::Cut(3).is_due(2));
        assert!(UpstreamFault::Cut(3).is_due(3));
        assert!(!UpstreamFault::Hang.is_due(3));
    }
}
