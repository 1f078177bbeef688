//! Limits of a key: `{"models":[…],"monthly_spend":"50.00","ips":["10.0.0.0/8"],"RPM":60,"TPM":10000}`.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use silica_api::parse_network;
use silica_platform::KeyLimits;
use silica_protocol::ApiError;
use silica_types::{ModelName, Money};

use super::money::decimal;

/// What a key may do less than its account. What is absent or empty does not limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct KeyLimitsBody {
    /// The models that it may call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, example = json!(["Qwen/Qwen2.5-7B-Instruct"]))]
    models: Option<Vec<ModelName>>,
    /// The most that it may spend in a calendar month, in CNY.
    #[serde(deserialize_with = "decimal", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "50.00")]
    monthly_spend: Option<Money>,
    /// The addresses and networks that it may be used from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["192.0.2.7", "10.0.0.0/8", "2001:db8::/32"]))]
    ips: Option<Vec<String>>,
    /// Requests per minute, over all models.
    #[serde(rename = "RPM", skip_serializing_if = "Option::is_none")]
    requests_per_minute: Option<u64>,
    /// Tokens per minute, over all models.
    #[serde(rename = "TPM", skip_serializing_if = "Option::is_none")]
    tokens_per_minute: Option<u64>,
}

impl From<&KeyLimits> for KeyLimitsBody {
    fn from(limits: &KeyLimits) -> Self {
        let addresses = || limits.addresses.iter().map(show).collect();
        Self {
            models: (!limits.models.is_empty()).then(|| limits.models.clone()),
            monthly_spend: limits.monthly_spend,
            ips: (!limits.addresses.is_empty()).then(addresses),
            requests_per_minute: limits.requests_per_minute,
            tokens_per_minute: limits.tokens_per_minute,
        }
    }
}

impl TryFrom<KeyLimitsBody> for KeyLimits {
    type Error = ApiError;

    fn try_from(body: KeyLimitsBody) -> Result<Self, ApiError> {
        let addresses = body.ips.unwrap_or_default();
        Ok(Self {
            models: body.models.unwrap_or_default(),
            monthly_spend: body.monthly_spend,
            addresses: addresses
                .iter()
                .enumerate()
                .map(|(index, text)| {
                    parse_network(text)
                        .map_err(|error| ApiError::invalid(format!("limits.ips[{index}]: {error}")))
                })
                .collect::<Result<_, _>>()?,
            requests_per_minute: body.requests_per_minute,
            tokens_per_minute: body.tokens_per_minute,
        })
    }
}

/// Shows a network of one address as the address.
fn show(network: &IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<KeyLimits, String> {
        let body: KeyLimitsBody = serde_json::from_str(json).map_err(|error| error.to_string())?;
        KeyLimits::try_from(body).map_err(|error| error.message.into_owned())
    }

    #[test]
    fn limits_are_read_and_written_back() {
        let json = r#"{"models":["a/b"],"monthly_spend":"12.50","ips":["192.0.2.7","10.0.0.0/8","2001:db8::1"],"RPM":60,"TPM":10000}"#;
        let limits = read(json).unwrap();
        assert_eq!(limits.monthly_spend, Some(Money::from_nano(12_500_000_000)));
        assert_eq!(
            serde_json::to_string(&KeyLimitsBody::from(&limits)).unwrap(),
            json
        );
        assert_eq!(read("{}").unwrap(), KeyLimits::default());
        assert_eq!(
            read(r#"{"models":null,"monthly_spend":null}"#).unwrap(),
            KeyLimits::default()
        );
    }

    #[test]
    fn numbers_of_money_are_read_by_their_digits_and_other_forms_refused() {
        let spend = |text: &str| read(&format!(r#"{{"monthly_spend":{text}}}"#));
        assert_eq!(
            spend("0.000000001").unwrap().monthly_spend,
            Some(Money::from_nano(1))
        );
        for text in [
            "1e3",
            "0.0000000001",
            "true",
            "[1]",
            "\"\"",
            "1234567890",
            "\"NaN\"",
        ] {
            assert!(spend(text).is_err(), "{text}");
        }
        for json in [
            r#"{"RPM":-1}"#,
            r#"{"RPM":1.5}"#,
            r#"{"RPH":1}"#,
            r#"{"ips":["10.0.0.0/33"]}"#,
            r#"{"ips":["example.org"]}"#,
            r#"{"models":[""]}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
