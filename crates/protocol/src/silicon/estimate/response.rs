//! What a request would cost.

use serde::Serialize;
use utoipa::ToSchema;

/// What a request would cost if it came now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Estimate {
    /// Always `estimate`.
    pub object: &'static str,
    /// The model.
    #[schema(example = "Qwen/Qwen2.5-7B-Instruct")]
    pub model: String,
    /// Where the request would go.
    #[schema(example = "/v1/chat/completions")]
    pub endpoint: &'static str,
    /// Always `CNY`.
    pub currency: &'static str,
    /// The entry of the price book that is in force; `null` when the model has no price.
    pub price_version: Option<i64>,
    /// Whether the input was counted as it will be billed. It is not where the model runs elsewhere: what
    /// that engine reports is billed then.
    pub is_exact: bool,
    /// What it will likely cost at the most: if the answer is as long as it may be.
    pub likely: Costs,
    /// What is taken from the balance while it runs: the most that it can cost. The rest is given back.
    pub reserved: Costs,
}

/// Units and what they cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Costs {
    /// Tokens of the input.
    pub prompt_tokens: u64,
    /// The most tokens of the output, over all choices.
    pub completion_tokens: u64,
    /// What each kind of units costs; empty when the model is free.
    pub lines: Vec<CostLine>,
    /// All of it in CNY, rounded once.
    #[schema(example = "0.0014")]
    pub total: String,
}

/// What the units of one kind cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CostLine {
    /// The name of the price, such as `input` or `output`.
    #[schema(example = "input")]
    pub unit: &'static str,
    /// How many units.
    pub count: u64,
    /// The price in CNY.
    #[schema(example = "0.70")]
    pub price: String,
    /// How many units that is for.
    #[schema(example = 1_000_000)]
    pub per: u64,
    /// What they cost in CNY, rounded.
    #[schema(example = "0.0007")]
    pub amount: String,
}
