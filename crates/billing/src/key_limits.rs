//! What a key may do less than its account.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use silica_types::{ModelName, Money};

/// A key's own limits. What is absent does not limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyLimits {
    /// The models that it may call; empty means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelName>,
    /// The most that it may spend in a calendar month of the configured zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monthly_spend: Option<Money>,
    /// The addresses that it may be used from; empty means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpNet>,
    /// Requests per minute, over all models.
    #[serde(rename = "RPM", skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Tokens per minute, over all models.
    #[serde(rename = "TPM", skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
}

impl KeyLimits {
    /// Whether the key may call a model.
    pub fn allows_model(&self, model: &ModelName) -> bool {
        self.models.is_empty() || self.models.contains(model)
    }

    /// Whether the key may be used from an address. IPv4 addresses in IPv6 clothes
    /// (`::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2) count as what they are.
    pub fn allows_address(&self, address: IpAddr) -> bool {
        self.addresses.is_empty()
            || self
                .addresses
                .iter()
                .any(|net| net.contains(&address.to_canonical()))
    }
}
