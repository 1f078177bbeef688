//! `[gateway]`: how engines elsewhere are watched, and who vouches for them.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use silica_gateway::HealthOptions;

use super::{HumanDuration, InvalidValue, at_least_one};

/// How engines elsewhere are watched, and who vouches for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GatewayConfig {
    /// How often each engine is asked for its health, give or take a tenth.
    pub(crate) health_interval: HumanDuration,
    /// The longest wait for its answer.
    pub(crate) health_timeout: HumanDuration,
    /// After this many failures in a row no call goes to the engine while its deployment has another one.
    /// At the start one failure is enough.
    pub(crate) unhealthy_after: u32,
    /// After this many answers in a row calls go there again.
    pub(crate) healthy_after: u32,
    /// Certificates (PEM) of authorities that may vouch for engines elsewhere, such as the operator's
    /// own, beside those of the system. Read at the start, which fails when it cannot be read, and again
    /// for each engine that is loaded later.
    pub(crate) upstream_ca_file: Option<PathBuf>,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        let HealthOptions {
            interval,
            timeout,
            unhealthy_after,
            healthy_after,
        } = HealthOptions::default();
        Self {
            health_interval: HumanDuration(interval),
            health_timeout: HumanDuration(timeout),
            unhealthy_after,
            healthy_after,
            upstream_ca_file: None,
        }
    }
}

impl GatewayConfig {
    /// What the gateway is told.
    pub(crate) const fn health(&self) -> HealthOptions {
        HealthOptions {
            interval: self.health_interval.0,
            timeout: self.health_timeout.0,
            unhealthy_after: self.unhealthy_after,
            healthy_after: self.healthy_after,
        }
    }

    pub(super) fn validate(&self) -> Result<(), InvalidValue> {
        // Asking more often would be a load of its own.
        if self.health_interval.0 < Duration::from_millis(100) {
            return Err(InvalidValue {
                key: "gateway.health_interval",
                message: "must be at least 100ms".to_owned(),
            });
        }
        self.health_timeout.not_zero("gateway.health_timeout")?;
        at_least_one("gateway.unhealthy_after", u64::from(self.unhealthy_after))?;
        at_least_one("gateway.healthy_after", u64::from(self.healthy_after))
    }
}
