//! Headers in the configuration, whose values are secrets.

use std::borrow::Cow;
use std::str::FromStr;

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What the sender itself says; nobody else may.
const OWN: [HeaderName; 5] = [CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING];

/// Headers as one text, `name=value,name=value`, in which values may be percent-encoded: the form of
/// `OTEL_EXPORTER_OTLP_HEADERS`. Printed with each value masked.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SecretHeaders(HeaderMap);

/// Why a text is not a list of headers. Says which one by its place: a value may stand where a name
/// should.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidHeaders {
    /// No name, no `=`, or a name that is none.
    #[error("header {0} must have the form name=value")]
    Form(usize),
    /// A value that no header can have, or a percent sign without two digits.
    #[error("the value of header {0} cannot be sent; encode what is not printable as %XX")]
    Value(usize),
    /// A header that is not for the operator to set.
    #[error("header {0} is set by Silica itself")]
    Own(usize),
}

impl SecretHeaders {
    /// The headers; their values hide themselves from `Debug`.
    pub(crate) const fn get(&self) -> &HeaderMap {
        &self.0
    }
}

impl FromStr for SecretHeaders {
    type Err = InvalidHeaders;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut headers = HeaderMap::new();
        let entries = text.split(',').map(str::trim);
        for (entry, place) in entries.filter(|entry| !entry.is_empty()).zip(1..) {
            let (name, value) = entry.split_once('=').ok_or(InvalidHeaders::Form(place))?;
            let name = HeaderName::from_str(name.trim()).map_err(|_| InvalidHeaders::Form(place))?;
            if OWN.contains(&name) {
                return Err(InvalidHeaders::Own(place));
            }
            let value = decoded(value.trim()).ok_or(InvalidHeaders::Value(place))?;
            let mut value = HeaderValue::from_bytes(&value).map_err(|_| InvalidHeaders::Value(place))?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        Ok(Self(headers))
    }
}

/// Takes the percent-encoding off; `None` when it is none.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let digit = |bytes: &mut std::str::Bytes<'_>| char::from(bytes.next()?).to_digit(16);
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let (high, low) = (digit(&mut bytes)?, digit(&mut bytes)?);
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        });
    }
    Some(decoded)
}

impl<'de> Deserialize<'de> for SecretHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for SecretHeaders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let masked: Vec<String> = self.0.keys().map(|name| format!("{name}=***")).collect();
        serializer.serialize_str(&masked.join(","))
    }
}

impl JsonSchema for SecretHeaders {
    fn schema_name() -> Cow<'static, str> {
        "secret-headers".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_from_one_text() {
        let headers: SecretHeaders = "api-key=geheim=1, Authorization=Basic%20Zz%3D%3D,"
            .parse()
            .unwrap();
        assert_eq!(headers.get()["api-key"], "geheim=1");
        assert_eq!(headers.get()["authorization"], "Basic Zz==");
        assert_eq!(headers.get().len(), 2);
        assert!("".parse::<SecretHeaders>().unwrap().get().is_empty());
    }

    #[test]
    fn what_cannot_be_sent_is_refused_by_its_place_alone() {
        for (text, expected) in [
            ("geheim", InvalidHeaders::Form(1)),
            ("a=1,=geheim", InvalidHeaders::Form(2)),
            ("a b=geheim", InvalidHeaders::Form(1)),
            ("a=geheim%", InvalidHeaders::Value(1)),
            ("a=geheim%x1", InvalidHeaders::Value(1)),
            ("a=geheim%0a", InvalidHeaders::Value(1)),
            ("a=1,Content-Type=geheim", InvalidHeaders::Own(2)),
        ] {
            let error = text.parse::<SecretHeaders>().unwrap_err();
            assert!(!error.to_string().contains("geheim"), "{error}");
            assert_eq!(error, expected, "{text}");
        }
    }

    #[test]
    fn values_are_not_shown() {
        let headers: SecretHeaders = "api-key=geheim,x=geheim".parse().unwrap();
        assert!(!format!("{headers:?}").contains("geheim"));
        assert_eq!(serde_json::to_value(&headers).unwrap(), "api-key=***,x=***");
    }
}
