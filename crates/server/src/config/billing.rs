//! `[billing]`: days, months and how long single calls are kept.

use anyhow::Context as _;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::InvalidValue;

/// Bills and the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BillingConfig {
    /// The zone whose midnight begins a day: of bills, of day limits and of months.
    pub(crate) time_zone: String,
    /// Days that single calls stay in the ledger, 7 to 36500. Sums by day stay for ever. Unset: calls stay too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) call_retention_days: Option<u32>,
    /// Days that the voucher of a level package is good, 1 to 3650. Packages that were sold before keep their end.
    pub(crate) level_package_days: u16,
}

impl Default for BillingConfig {
    fn default() -> Self {
        Self {
            time_zone: "Asia/Shanghai".to_owned(),
            call_retention_days: None,
            level_package_days: 31,
        }
    }
}

impl BillingConfig {
    /// The zone.
    ///
    /// # Errors
    /// When there is none of that name; the configuration was checked for that before.
    pub(crate) fn zone(&self) -> anyhow::Result<TimeZone> {
        TimeZone::get(&self.time_zone).context("billing.time_zone")
    }

    pub(super) fn validate(&self) -> Result<(), InvalidValue> {
        if TimeZone::get(&self.time_zone).is_err() {
            return Err(InvalidValue {
                key: "billing.time_zone",
                message: "no known time zone; write a name such as \"Asia/Shanghai\" or \"UTC\"".to_owned(),
            });
        }
        // Shorter, and a process that was away could bring back calls whose rows are gone.
        if self
            .call_retention_days
            .is_some_and(|days| !(7..=36_500).contains(&days))
        {
            return Err(InvalidValue {
                key: "billing.call_retention_days",
                message: "must be from 7 to 36500; leave it out to keep calls for ever".to_owned(),
            });
        }
        if !(1..=3650).contains(&self.level_package_days) {
            return Err(InvalidValue {
                key: "billing.level_package_days",
                message: "must be from 1 to 3650".to_owned(),
            });
        }
        Ok(())
    }
}
