//! Decoder-only text models: configuration, weights, forward pass and sampling.

pub(crate) mod attention;
pub(crate) mod cache;
pub(crate) mod config;
pub(crate) mod decoder;
pub(crate) mod layer;
pub(crate) mod linear;
pub(crate) mod lora;
pub(crate) mod matrix;
pub(crate) mod mla;
pub(crate) mod mlp;
pub(crate) mod moe;
pub(crate) mod norm;
pub(crate) mod rope;
pub(crate) mod sampler;
pub(crate) mod soft_cap;
pub(crate) mod weights;
