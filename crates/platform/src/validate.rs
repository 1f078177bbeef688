//! The rules for the fields of accounts, keys, models and deployments.

use ipnet::{IpNet, Ipv4Net};
use jiff::Timestamp;
use rust_decimal::Decimal;
use silica_billing::{KeyLimits, LimitMetrics, Limits, Price, PriceAmount};
use silica_types::{Money, UnknownCode};

use crate::PlatformError;

/// RFC 5321, section 4.5.3.1.3, without the angle brackets.
const EMAIL_BYTES: usize = 254;
const NAME_CHARACTERS: usize = 128;
const DESCRIPTION_CHARACTERS: usize = 4096;
const TAGS: usize = 32;
const TAG_CHARACTERS: usize = 64;
const DEPLOYMENT_NAME_BYTES: usize = 128;
/// CNY for a unit. Far above any price, and far below where a sum could leave the range of amounts.
const DEAREST_UNIT: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);
const MODE_BYTES: usize = 64;
const BADGE_CHARACTERS: usize = 64;
const IDEMPOTENCY_KEY_BYTES: usize = 128;
const KEY_MODELS: usize = 256;
const KEY_ADDRESSES: usize = 256;
/// The bits of an IPv6 address before the IPv4 address that it wraps (RFC 4291, section 2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// Makes the error for a field.
pub(crate) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> PlatformError {
    PlatformError::Invalid {
        field: field.into(),
        problem: problem.into(),
    }
}

/// Makes the error for a field with a text of a fixed list.
pub(crate) fn unknown(field: impl Into<String>) -> impl FnOnce(UnknownCode) -> PlatformError {
    let field = field.into();
    move |error| invalid(field, error.to_string())
}

/// Checks an e-mail address and makes it lower case, so that one mailbox has one account.
///
/// Only the form is checked, loosely: whether mail arrives is for a mail to find out.
pub(crate) fn email(text: &str) -> Result<String, PlatformError> {
    let text = text.trim().to_lowercase();
    let good = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with('.');
    let well_formed = text.len() <= EMAIL_BYTES
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
        && text
            .split_once('@')
            .is_some_and(|(local, domain)| good(local) && good(domain) && !domain.contains('@'));
    if well_formed {
        return Ok(text);
    }
    Err(invalid(
        "email",
        "not an e-mail address; it looks like name@example.org and has at most 254 bytes",
    ))
}

/// Checks a name that people read.
pub(crate) fn display_name(field: &str, text: &str) -> Result<String, PlatformError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > NAME_CHARACTERS || text.chars().any(char::is_control) {
        return Err(invalid(
            field,
            format!("must have 1 to {NAME_CHARACTERS} characters and no control characters"),
        ));
    }
    Ok(text.to_owned())
}

/// Checks a text of any length up to 4,096 characters; empty is fine.
pub(crate) fn description(text: &str) -> Result<String, PlatformError> {
    let controls = text.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
    if controls || text.chars().count() > DESCRIPTION_CHARACTERS {
        return Err(invalid(
            "description",
            format!("must have at most {DESCRIPTION_CHARACTERS} characters and no control characters"),
        ));
    }
    Ok(text.to_owned())
}

/// Checks the tags of a model.
pub(crate) fn tags(tags: &[String]) -> Result<Vec<String>, PlatformError> {
    if tags.len() > TAGS {
        return Err(invalid("tags", format!("at most {TAGS} tags")));
    }
    for (index, tag) in tags.iter().enumerate() {
        let bad = tag.trim().is_empty()
            || tag.chars().count() > TAG_CHARACTERS
            || tag.chars().any(char::is_control);
        if bad {
            return Err(invalid(
                format!("tags[{index}]"),
                format!("must have 1 to {TAG_CHARACTERS} characters"),
            ));
        }
    }
    Ok(tags.to_vec())
}

/// Checks limits: every metric is -1 (none) or more, and at least one is given.
pub(crate) fn limits(limits: Limits) -> Result<Limits, PlatformError> {
    if let Limits::Metrics(metrics) = &limits {
        if *metrics == LimitMetrics::default() {
            return Err(invalid(
                "limits",
                "needs a class or at least one of RPM, RPH, RPD, TPM, TPD, IPM, IPD",
            ));
        }
        for (name, value) in metrics.named() {
            if value.is_some_and(|value| value < -1) {
                return Err(invalid(format!("limits.{name}"), "must be -1 (no limit) or more"));
            }
        }
    }
    Ok(limits)
}

/// Checks that no unit of a price is absurdly dear.
pub(crate) fn price(field: &str, price: Price) -> Result<Price, PlatformError> {
    let dearest = price.amounts().into_iter().flatten().map(PriceAmount::get).max();
    if dearest.is_some_and(|amount| amount > DEAREST_UNIT) {
        return Err(invalid(field, format!("a unit costs at most {DEAREST_UNIT} CNY")));
    }
    Ok(price)
}

/// Checks the mode of calls that a price is for, such as `image-to-video`.
pub(crate) fn mode(text: &str) -> Result<String, PlatformError> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    if text.is_empty() || text.len() > MODE_BYTES || !text.bytes().all(legal) {
        return Err(invalid(
            "mode",
            format!("must have 1 to {MODE_BYTES} of the characters a-z 0-9 - _ ."),
        ));
    }
    Ok(text.to_owned())
}

/// Checks the label of a price.
pub(crate) fn badge(text: &str) -> Result<String, PlatformError> {
    let text = text.trim();
    let illegal = text.is_empty() || text.chars().any(char::is_control);
    if illegal || text.chars().count() > BADGE_CHARACTERS {
        return Err(invalid(
            "badge",
            format!("must have 1 to {BADGE_CHARACTERS} characters and no control characters"),
        ));
    }
    Ok(text.to_owned())
}

/// Checks the text by which a client marks repetitions of one request.
pub(crate) fn idempotency_key(text: &str) -> Result<String, PlatformError> {
    let legal = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.is_empty() || text.len() > IDEMPOTENCY_KEY_BYTES || !legal {
        return Err(invalid(
            "Idempotency-Key",
            format!("must have 1 to {IDEMPOTENCY_KEY_BYTES} visible ASCII characters"),
        ));
    }
    Ok(text.to_owned())
}

/// Cuts a time to what the database keeps.
pub(crate) fn whole_microseconds(field: &str, time: Timestamp) -> Result<Timestamp, PlatformError> {
    Timestamp::from_microsecond(time.as_microsecond()).map_err(|error| invalid(field, error.to_string()))
}

/// Checks the limits of a key and puts them into one form; `None` when nothing is limited.
///
/// Zero requests or tokens a minute are refused: a key that may do nothing is a disabled key.
pub(crate) fn key_limits(mut limits: KeyLimits) -> Result<Option<KeyLimits>, PlatformError> {
    if limits.models.len() > KEY_MODELS {
        return Err(invalid("limits.models", format!("at most {KEY_MODELS} models")));
    }
    if limits.addresses.len() > KEY_ADDRESSES {
        return Err(invalid(
            "limits.ips",
            format!("at most {KEY_ADDRESSES} addresses"),
        ));
    }
    if limits.monthly_spend.is_some_and(Money::is_negative) {
        return Err(invalid("limits.monthly_spend", "must not be negative"));
    }
    let per_minute = [
        ("limits.RPM", limits.requests_per_minute),
        ("limits.TPM", limits.tokens_per_minute),
    ];
    for (field, value) in per_minute {
        if value == Some(0) {
            return Err(invalid(field, "must be 1 or more; disable the key to stop it"));
        }
    }
    limits.models.sort_unstable();
    limits.models.dedup();
    for network in &mut limits.addresses {
        *network = plain_network(*network);
    }
    limits.addresses.sort_unstable();
    limits.addresses.dedup();
    Ok(Some(limits).filter(|limits| *limits != KeyLimits::default()))
}

/// Clears the bits behind the prefix, and takes IPv4 networks out of their IPv6 clothes: addresses
/// are compared without them.
fn plain_network(network: IpNet) -> IpNet {
    if let IpNet::V6(wrapped) = &network
        && let Some(address) = wrapped.addr().to_ipv4_mapped()
        && let Some(bits) = wrapped.prefix_len().checked_sub(MAPPED_BITS)
        && let Ok(plain) = Ipv4Net::new(address, bits)
    {
        return IpNet::V4(plain.trunc());
    }
    network.trunc()
}

/// Checks the name of a deployment, which stands in paths of the admin API and in metrics.
pub(crate) fn deployment_name(text: &str) -> Result<String, PlatformError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(&byte);
    if text.is_empty() || text.len() > DEPLOYMENT_NAME_BYTES || !text.bytes().all(legal) {
        return Err(invalid(
            "name",
            format!("must have 1 to {DEPLOYMENT_NAME_BYTES} of the characters A-Z a-z 0-9 . _ - / :"),
        ));
    }
    Ok(text.to_owned())
}

/// Checks a count that must not be zero.
pub(crate) fn positive(field: impl Into<String>, value: u32) -> Result<u32, PlatformError> {
    if value == 0 {
        Err(invalid(field, "must be 1 or more"))
    } else {
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use silica_types::ModelName;

    use super::*;

    #[test]
    fn usual_addresses_are_taken_and_lower_cased() {
        for (given, kept) in [
            ("Ada@Example.ORG", "ada@example.org"),
            (" a.b+c@sub.example.org ", "a.b+c@sub.example.org"),
            ("operator@localhost", "operator@localhost"),
        ] {
            assert_eq!(email(given).unwrap(), kept);
        }
    }

    #[test]
    fn texts_that_are_no_address_are_refused_without_repeating_them() {
        for text in [
            "",
            "geheim",
            "@geheim",
            "geheim@",
            "a@b@c",
            "a b@c.d",
            "a@.geheim",
            "a\u{7}@b.c",
            &format!("{}@b.c", "x".repeat(260)),
        ] {
            let error = email(text).unwrap_err();
            assert!(!error.to_string().contains("geheim"), "{text:?}");
        }
    }

    #[test]
    fn limits_take_minus_one_and_refuse_less_or_nothing() {
        let with = |value| {
            Limits::Metrics(LimitMetrics {
                tokens_per_minute: Some(value),
                ..LimitMetrics::default()
            })
        };
        assert!(limits(with(-1)).is_ok() && limits(with(0)).is_ok());
        assert!(
            limits(with(-2))
                .unwrap_err()
                .to_string()
                .starts_with("limits.TPM")
        );
        assert!(limits(Limits::Metrics(LimitMetrics::default())).is_err());
    }

    #[test]
    fn key_limits_are_sorted_and_addresses_brought_into_one_form() {
        let limits = KeyLimits {
            models: ["b/b", "a/a", "b/b"]
                .map(|name| ModelName::new(name).unwrap())
                .to_vec(),
            addresses: [
                "::ffff:10.1.2.3/104",
                "10.9.9.9/8",
                "2001:db8::1/32",
                "192.0.2.7/32",
            ]
            .map(|network| network.parse().unwrap())
            .to_vec(),
            ..KeyLimits::default()
        };
        let kept = key_limits(limits).unwrap().unwrap();
        let shown: Vec<_> = kept.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
        assert_eq!(kept.models.len(), 2);
        assert!(kept.allows_address("::ffff:10.255.0.1".parse().unwrap()));
    }

    #[test]
    fn key_limits_of_nothing_are_none_and_unusable_ones_are_refused() {
        assert_eq!(key_limits(KeyLimits::default()).unwrap(), None);
        for (limits, field) in [
            (
                KeyLimits {
                    monthly_spend: Some(Money::from_nano(-1)),
                    ..KeyLimits::default()
                },
                "limits.monthly_spend",
            ),
            (
                KeyLimits {
                    requests_per_minute: Some(0),
                    ..KeyLimits::default()
                },
                "limits.RPM",
            ),
            (
                KeyLimits {
                    models: vec![ModelName::new("a/b").unwrap(); KEY_MODELS + 1],
                    ..KeyLimits::default()
                },
                "limits.models",
            ),
        ] {
            let refusal = key_limits(limits).unwrap_err().to_string();
            assert!(refusal.starts_with(field), "{refusal}");
        }
    }

    proptest! {
        #[test]
        fn checked_addresses_stay_the_same_when_checked_again(text in "\\PC{0,40}@\\PC{0,40}") {
            if let Ok(once) = email(&text) {
                prop_assert_eq!(email(&once).unwrap(), once);
            }
        }
    }
}
