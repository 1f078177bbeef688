//! `[admin]`: the operator's listener and account.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::InvalidValue;

/// The operator's listener and account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AdminConfig {
    /// Address and port of `/admin/v1` and `/metrics`. Keep it on a loopback or private address:
    /// `/metrics` needs no key.
    pub(crate) listen: SocketAddr,
    /// E-mail address of the account that the first start on an empty data folder makes.
    pub(crate) operator_email: String,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)),
            operator_email: "operator@localhost".to_owned(),
        }
    }
}

impl AdminConfig {
    pub(super) fn validate(&self) -> Result<(), InvalidValue> {
        let valid = match self.operator_email.split_once('@') {
            Some((name, domain)) => {
                !name.is_empty() && !domain.is_empty() && !self.operator_email.contains(char::is_whitespace)
            }
            None => false,
        };
        if valid {
            return Ok(());
        }
        let message = "must be an e-mail address such as operator@example.com".to_owned();
        Err(InvalidValue {
            key: "admin.operator_email",
            message,
        })
    }
}
