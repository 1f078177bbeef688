//! Which hub, and how it speaks.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

const HUGGING_FACE: &str = "https://huggingface.co";
const MODEL_SCOPE: &str = "https://modelscope.cn";
/// Stands before the address of a hub that speaks like `ModelScope`.
const MODEL_SCOPE_PREFIX: &str = "modelscope+";

/// How a hub speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// As the Hugging Face hub, which its mirrors do too.
    HuggingFace,
    /// As `ModelScope`.
    ModelScope,
}

impl Dialect {
    /// The environment variable that people keep their token in.
    pub const fn token_variable(self) -> &'static str {
        match self {
            Self::HuggingFace => "HF_TOKEN",
            Self::ModelScope => "MODELSCOPE_API_TOKEN",
        }
    }
}

/// Where a hub is, written `huggingface`, `modelscope`, or as the address of a mirror: of the Hugging
/// Face hub, or of `ModelScope` with `modelscope+` before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HubAddress {
    dialect: Dialect,
    /// Without a slash at its end.
    address: Cow<'static, str>,
}

/// The text names no hub. It is not quoted: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no hub; write huggingface, modelscope, or the address of a mirror: https://host, or modelscope+https://host, without user, query and fragment"
)]
pub struct InvalidHub;

impl HubAddress {
    /// The hub of Hugging Face itself.
    pub const fn hugging_face() -> Self {
        Self {
            dialect: Dialect::HuggingFace,
            address: Cow::Borrowed(HUGGING_FACE),
        }
    }

    /// How it speaks.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(super) fn url(&self) -> Result<Url, InvalidHub> {
        Url::parse(&self.address).map_err(|_| InvalidHub)
    }

    fn parse(dialect: Dialect, text: &str) -> Result<Self, InvalidHub> {
        let url = Url::parse(text).map_err(|_| InvalidHub)?;
        let has_extras = !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some();
        if has_extras || !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(InvalidHub);
        }
        let address = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self {
            dialect,
            address: Cow::Owned(address),
        })
    }
}

impl FromStr for HubAddress {
    type Err = InvalidHub;

    fn from_str(text: &str) -> Result<Self, InvalidHub> {
        match text {
            "huggingface" => Self::parse(Dialect::HuggingFace, HUGGING_FACE),
            "modelscope" => Self::parse(Dialect::ModelScope, MODEL_SCOPE),
            _ => match text.strip_prefix(MODEL_SCOPE_PREFIX) {
                Some(address) => Self::parse(Dialect::ModelScope, address),
                None => Self::parse(Dialect::HuggingFace, text),
            },
        }
    }
}

impl TryFrom<String> for HubAddress {
    type Error = InvalidHub;

    fn try_from(text: String) -> Result<Self, InvalidHub> {
        text.parse()
    }
}

impl From<HubAddress> for String {
    fn from(address: HubAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for HubAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.dialect, self.address.as_ref()) {
            (Dialect::HuggingFace, HUGGING_FACE) => formatter.write_str("huggingface"),
            (Dialect::ModelScope, MODEL_SCOPE) => formatter.write_str("modelscope"),
            (Dialect::HuggingFace, address) => formatter.write_str(address),
            (Dialect::ModelScope, address) => write!(formatter, "{MODEL_SCOPE_PREFIX}{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hubs_are_written_as_they_are_read() {
        for (text, dialect) in [
            ("huggingface", Dialect::HuggingFace),
            ("modelscope", Dialect::ModelScope),
            ("https://mirror.example", Dialect::HuggingFace),
            ("http://10.0.0.1:8000/hub", Dialect::HuggingFace),
            ("modelscope+https://mirror.example", Dialect::ModelScope),
        ] {
            let address: HubAddress = text.parse().unwrap();
            assert_eq!((address.to_string().as_str(), address.dialect()), (text, dialect));
        }
    }

    #[test]
    fn what_is_no_address_of_a_hub_is_refused() {
        for text in [
            "",
            "hugging face",
            "mirror.example",
            "ftp://mirror.example",
            "https://user:geheim@mirror.example",
            "https://mirror.example?token=geheim",
            "modelscope+file:///etc",
        ] {
            assert_eq!(text.parse::<HubAddress>(), Err(InvalidHub), "{text}");
        }
    }
}
