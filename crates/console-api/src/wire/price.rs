//! Prices: exact decimals. Strings are written, strings and plain numbers are read.

use serde::{Deserialize, Serialize};
use silica_platform::{Price, PriceAmount};

use super::money::decimal;

/// What a model costs in CNY, for a million tokens where the unit is tokens. An absent unit is
/// not charged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PriceBody {
    /// For a million input tokens.
    #[serde(
        default,
        deserialize_with = "decimal",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>, example = "0.70")]
    input: Option<PriceAmount>,
    /// For a million output tokens.
    #[serde(
        default,
        deserialize_with = "decimal",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    output: Option<PriceAmount>,
    /// For a million input tokens found in the cache.
    #[serde(
        default,
        deserialize_with = "decimal",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    cached_input: Option<PriceAmount>,
    /// For a megapixel and an inference step.
    #[serde(
        default,
        deserialize_with = "decimal",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    per_mpx_step: Option<PriceAmount>,
    /// For an image.
    #[serde(
        default,
        deserialize_with = "decimal",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    per_image: Option<PriceAmount>,
    /// For a video.
    #[serde(
        default,
        deserialize_with = "decimal",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    per_video: Option<PriceAmount>,
    /// For a million UTF-8 bytes of input text.
    #[serde(
        default,
        deserialize_with = "decimal",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    per_m_bytes: Option<PriceAmount>,
    /// For a million input tokens of a batch; the online price when absent.
    #[serde(
        default,
        deserialize_with = "decimal",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    batch_input: Option<PriceAmount>,
    /// For a million output tokens of a batch; the online price when absent.
    #[serde(
        default,
        deserialize_with = "decimal",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    batch_output: Option<PriceAmount>,
    /// For a million tokens of training data, times the epochs.
    #[serde(
        default,
        deserialize_with = "decimal",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    training: Option<PriceAmount>,
    /// For a second of audio or video.
    #[serde(
        default,
        deserialize_with = "decimal",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    per_second: Option<PriceAmount>,
}

impl From<Price> for PriceBody {
    fn from(price: Price) -> Self {
        Self {
            input: price.input,
            output: price.output,
            cached_input: price.cached_input,
            per_mpx_step: price.per_mpx_step,
            per_image: price.per_image,
            per_video: price.per_video,
            per_m_bytes: price.per_m_bytes,
            batch_input: price.batch_input,
            batch_output: price.batch_output,
            training: price.training,
            per_second: price.per_second,
        }
    }
}

impl From<PriceBody> for Price {
    fn from(body: PriceBody) -> Self {
        Self {
            input: body.input,
            output: body.output,
            cached_input: body.cached_input,
            per_mpx_step: body.per_mpx_step,
            per_image: body.per_image,
            per_video: body.per_video,
            per_m_bytes: body.per_m_bytes,
            batch_input: body.batch_input,
            batch_output: body.batch_output,
            training: body.training,
            per_second: body.per_second,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<PriceBody, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn strings_and_numbers_keep_their_digits() {
        let body = read(r#"{"input":"0.70","output":0.1000000000000000055,"per_image":3,"per_video":null}"#)
            .unwrap();
        let written = serde_json::to_string(&body).unwrap();
        assert_eq!(
            written,
            r#"{"input":"0.70","output":"0.1000000000000000055","per_image":"3"}"#
        );
    }

    #[test]
    fn other_values_and_fields_are_refused() {
        for json in [
            r#"{"input":"-1"}"#,
            r#"{"input":1e3}"#,
            r#"{"input":true}"#,
            r#"{"input":["1"]}"#,
            r#"{"inputs":"1"}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
