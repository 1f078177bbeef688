//! The scripts that Redis runs. Each is one step that happens whole or not at all.

/// A script, by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    Admit,
    Applied,
    Beat,
    Days,
    Finish,
    Install,
    Join,
    Leave,
    Open,
    Propose,
    Spending,
}

const WINDOWS: &str = include_str!("scripts/windows.lua");
const MONEY: &str = include_str!("scripts/money.lua");

impl Script {
    /// All, in the order of their numbers.
    pub(crate) const ALL: [Self; 11] = [
        Self::Admit,
        Self::Applied,
        Self::Beat,
        Self::Days,
        Self::Finish,
        Self::Install,
        Self::Join,
        Self::Leave,
        Self::Open,
        Self::Propose,
        Self::Spending,
    ];

    /// What it is called in errors.
    pub(crate) const fn action(self) -> &'static str {
        match self {
            Self::Admit => "an admission",
            Self::Applied => "what was applied",
            Self::Beat => "a sign of life",
            Self::Days => "the counts of a day",
            Self::Finish => "the end of a call",
            Self::Install => "balances",
            Self::Join => "a joining",
            Self::Leave => "a leaving",
            Self::Open => "the opening of an epoch",
            Self::Propose => "the proposal of an epoch",
            Self::Spending => "the spending of a key",
        }
    }

    /// Its text, with the functions that it calls before it.
    pub(crate) fn text(self) -> String {
        let (uses, body): (&[&str], &str) = match self {
            Self::Admit => (&[WINDOWS, MONEY], include_str!("scripts/admit.lua")),
            Self::Applied => (&[MONEY], include_str!("scripts/applied.lua")),
            Self::Beat => (&[MONEY], include_str!("scripts/beat.lua")),
            Self::Days => (&[WINDOWS], include_str!("scripts/days.lua")),
            Self::Finish => (&[WINDOWS, MONEY], include_str!("scripts/finish.lua")),
            Self::Install => (&[MONEY], include_str!("scripts/install.lua")),
            Self::Join => (&[MONEY], include_str!("scripts/join.lua")),
            Self::Leave => (&[MONEY], include_str!("scripts/leave.lua")),
            Self::Open => (&[], include_str!("scripts/open.lua")),
            Self::Propose => (&[], include_str!("scripts/propose.lua")),
            Self::Spending => (&[MONEY], include_str!("scripts/spending.lua")),
        };
        uses.iter().copied().chain([body]).collect()
    }
}
