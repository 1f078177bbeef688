//! Accounts: the subject that keys, limits and balances belong to.

use jiff::Timestamp;
use silica_billing::{LevelSources, Monthly, UsageLevel};
use silica_types::{AccountId, Money, code_enum};

code_enum! {
    /// Whether an account may call.
    AccountStatus, "account status", {
        /// May call.
        Normal = "normal",
        /// Refused with code 30002.
        Disabled = "disabled",
    }
}

/// One account.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// The e-mail address, lower case; unique. Never logged.
    pub email: String,
    /// The display name.
    pub name: String,
    /// Whether it may call.
    pub status: AccountStatus,
    /// Whether the holder's real name was verified.
    pub verified: bool,
    /// A level set by the operator; `None` means that usage decides.
    pub level_override: Option<UsageLevel>,
    /// What its calls took from its buckets, by calendar month. Grows with settled calls only: no
    /// change of the account stores it.
    pub spent: Monthly<Money>,
    /// The highest level that it bought as a package, by the month of the purchase.
    pub bought: Monthly<UsageLevel>,
    /// When it was made, whole microseconds.
    pub created_at: Timestamp,
    /// When it was last changed, whole microseconds.
    pub updated_at: Timestamp,
}

impl Account {
    /// All that its usage level comes from.
    pub const fn level_sources(&self) -> LevelSources {
        LevelSources {
            set: self.level_override,
            spent: self.spent,
            bought: self.bought,
        }
    }
}

/// Leaves out the e-mail address and the name, which must not reach a log.
impl std::fmt::Debug for Account {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Account")
            .field("id", &self.id)
            .field("status", &self.status)
            .field("verified", &self.verified)
            .field("level_override", &self.level_override)
            .field("spent", &self.spent)
            .field("bought", &self.bought)
            .field("created_at", &self.created_at)
            .field("updated_at", &self.updated_at)
            .finish_non_exhaustive()
    }
}
