//! Rate limits of a model or a key: a class of the published table, or explicit numbers.

use serde::{Deserialize, Serialize};
use silica_types::code_enum;

code_enum! {
    /// A row group of the published limit table; the usage level picks the column.
    LimitClass, "limit class", {
        /// Paid models up to 9 B parameters.
        S = "S",
        /// 14 B to 34 B.
        M = "M",
        /// 47 B to 110 B.
        L = "L",
        /// 236 B and more.
        Xl = "XL",
        /// Paid embedding and reranker models.
        E = "E",
        /// Video models.
        Video = "video",
        /// Free chat models; the same at every level, like all that follow.
        FreeChat = "free-chat",
        /// DeepSeek-R1 and DeepSeek-V3.
        DeepSeek = "deepseek",
        /// Free embedding and reranker models.
        FreeEmbedding = "free-embedding",
        /// Free image models.
        FreeImage = "free-image",
        /// Paid image models.
        PaidImage = "paid-image",
    }
}

/// Limits by number. A metric that is absent or -1 does not limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitMetrics {
    /// Requests per minute.
    #[serde(rename = "RPM", default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<i64>,
    /// Requests per hour.
    #[serde(rename = "RPH", default, skip_serializing_if = "Option::is_none")]
    pub requests_per_hour: Option<i64>,
    /// Requests per day.
    #[serde(rename = "RPD", default, skip_serializing_if = "Option::is_none")]
    pub requests_per_day: Option<i64>,
    /// Tokens per minute.
    #[serde(rename = "TPM", default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<i64>,
    /// Tokens per day.
    #[serde(rename = "TPD", default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<i64>,
    /// Images (or videos) per minute.
    #[serde(rename = "IPM", default, skip_serializing_if = "Option::is_none")]
    pub images_per_minute: Option<i64>,
    /// Images (or videos) per day.
    #[serde(rename = "IPD", default, skip_serializing_if = "Option::is_none")]
    pub images_per_day: Option<i64>,
}

impl LimitMetrics {
    /// Returns every metric with its name on the wire.
    pub const fn named(&self) -> [(&'static str, Option<i64>); 7] {
        [
            ("RPM", self.requests_per_minute),
            ("RPH", self.requests_per_hour),
            ("RPD", self.requests_per_day),
            ("TPM", self.tokens_per_minute),
            ("TPD", self.tokens_per_day),
            ("IPM", self.images_per_minute),
            ("IPD", self.images_per_day),
        ]
    }
}

/// The limits of a model or a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Limits {
    /// By class of the published table.
    Class {
        /// The class.
        class: LimitClass,
    },
    /// By number.
    Metrics(LimitMetrics),
}
