//! The odd but legal shapes that answers come in.

/// Which frames carry usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UsageFrames {
    /// A frame of its own after the last choice's end, as OpenAI does with `include_usage`.
    #[default]
    Last,
    /// Every frame, cumulative.
    Every,
    /// The frame that ends the last choice.
    Finish,
    /// None at all.
    None,
    /// Every frame, and it says `null`.
    Null,
}

/// What a stream of a chat begins with, for each choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstFrame {
    /// A role and an empty content.
    #[default]
    Role,
    /// A role alone.
    RoleOnly,
    /// A frame without choices, as Azure sends for its filters.
    NoChoices,
    /// The first token.
    Token,
}

/// The field that reasoning is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReasoningField {
    /// `reasoning_content`, as `DeepSeek` has it.
    #[default]
    ReasoningContent,
    /// `reasoning`, as newer servers have it.
    Reasoning,
}

/// How the lines of a stream end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineEnds {
    /// Line feed.
    #[default]
    Lf,
    /// Carriage return and line feed.
    CrLf,
    /// Carriage return.
    Cr,
}

/// A choice that a script's line names.
pub(super) trait Named: Copy + PartialEq + 'static {
    /// Every choice with its name.
    const NAMES: &'static [(Self, &'static str)];

    fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(choice, _)| *choice == self);
        found.map_or("unnamed", |(_, name)| name)
    }

    fn named(name: &str) -> Option<Self> {
        let found = Self::NAMES.iter().find(|(_, known)| *known == name);
        found.map(|(choice, _)| *choice)
    }
}

impl Named for UsageFrames {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Last, "last"),
        (Self::Every, "every"),
        (Self::Finish, "finish"),
        (Self::None, "none"),
        (Self::Null, "null"),
    ];
}

impl Named for FirstFrame {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Role, "role"),
        (Self::RoleOnly, "role-only"),
        (Self::NoChoices, "no-choices"),
        (Self::Token, "token"),
    ];
}

impl Named for ReasoningField {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::ReasoningContent, "reasoning_content"),
        (Self::Reasoning, "reasoning"),
    ];
}

impl Named for LineEnds {
    const NAMES: &'static [(Self, &'static str)] =
        &[(Self::Lf, "lf"), (Self::CrLf, "crlf"), (Self::Cr, "cr")];
}

impl LineEnds {
    /// The bytes at the end of a line.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
            Self::Cr => "\r",
        }
    }
}
