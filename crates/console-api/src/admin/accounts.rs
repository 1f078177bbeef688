//! `/admin/v1/accounts`.

pub(crate) mod create;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod update;

use jiff::Timestamp;
use serde::Serialize;
use silica_platform::{Account, AccountStatus, Platform, UsageLevel};
use silica_types::{AccountId, Money};

/// An account as the operator sees it.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct AccountView {
    /// The account's id.
    #[schema(value_type = String, example = "019516ecd5791194e7ce760dcc227413")]
    id: Text<AccountId>,
    /// The e-mail address, in lower case.
    email: String,
    /// The display name.
    name: String,
    /// `normal` or `disabled`.
    #[schema(value_type = String)]
    status: AccountStatus,
    /// Whether the holder's real name was verified.
    verified: bool,
    /// The usage level that is in force, `L0` to `L5`.
    #[schema(value_type = String)]
    level: UsageLevel,
    /// The level set by the operator; `null` when usage decides.
    #[schema(value_type = Option<String>)]
    level_override: Option<UsageLevel>,
    /// The level that the account has by a package; `null` when none is in force.
    #[schema(value_type = Option<String>)]
    package_level: Option<UsageLevel>,
    /// When that level ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    package_level_until: Option<Timestamp>,
    /// What calls took from all balances in this calendar month, in CNY; with that of the last month,
    /// what the level comes from.
    #[schema(value_type = String, example = "12.50")]
    spent_this_month: Money,
    /// The same of the month before.
    #[schema(value_type = String, example = "210.00")]
    spent_last_month: Money,
    /// What is left of the gift, in CNY.
    #[schema(value_type = String, example = "0.88")]
    gift_balance: Money,
    /// What is left of what was paid in.
    #[schema(value_type = String, example = "88.00")]
    charge_balance: Money,
    /// What is left of vouchers that have not ended.
    #[schema(value_type = String, example = "0.00")]
    voucher_balance: Money,
    /// All of it.
    #[schema(value_type = String, example = "88.88")]
    total_balance: Money,
    /// When the account was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// Ids are printed as the contract prints them: 32 digits, no dashes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<T>(pub(crate) T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl AccountView {
    /// Shows an account with what it can spend now.
    pub(super) async fn new(platform: &Platform, account: &Account) -> Self {
        let balances = platform.balances_now(account.id).await;
        let (spent_this_month, spent_last_month) = platform.spent(account);
        let bought = platform.bought_level(account);
        Self {
            id: Text(account.id),
            email: account.email.clone(),
            name: account.name.clone(),
            status: account.status,
            verified: account.verified,
            level: platform.level_in_force(account),
            level_override: account.level_override,
            package_level: bought.map(|(level, _)| level),
            package_level_until: bought.map(|(_, until)| until),
            spent_this_month,
            spent_last_month,
            gift_balance: balances.gift,
            charge_balance: balances.charge,
            voucher_balance: balances.voucher,
            total_balance: balances.total(),
            created_at: account.created_at,
            updated_at: account.updated_at,
        }
    }
}
