//! The rotary part of `config.json`: `rope_theta`, `rope_scaling`, `rope_parameters`.

use super::raw::{RawConfig, RawRope};
use super::{Checker, LoadError, real};

/// Rotary position embedding of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeConfig {
    /// The base of the wavelengths.
    pub theta: f64,
    /// The width of a head, all of which is rotated.
    pub head_dim: usize,
    /// How positions beyond the original training length are treated.
    pub scaling: RopeScaling,
}

/// The variants that the supported families' configurations use.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// None.
    Default,
    /// All frequencies divided by the factor.
    Linear {
        /// At least 1.
        factor: f64,
    },
    /// Neural-tangent-kernel scaling of the base by the current length.
    Dynamic {
        /// At least 1.
        factor: f64,
        /// The length from which on the base grows.
        original_positions: f64,
    },
    /// Llama 3.1: low frequencies divided, high ones kept, a ramp between.
    Llama3 {
        /// Divides the low frequencies.
        factor: f64,
        /// Wavelengths above `original_positions / low_freq_factor` are low frequencies.
        low_freq_factor: f64,
        /// Wavelengths below `original_positions / high_freq_factor` are high frequencies.
        high_freq_factor: f64,
        /// The original training length.
        original_positions: f64,
    },
    /// YaRN.
    Yarn(YarnScaling),
}

/// Parameters of YaRN, with the paper's defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct YarnScaling {
    /// Ratio of the new length to the original one.
    pub factor: f64,
    /// The original training length.
    pub original_positions: f64,
    /// Rotations above which a dimension is extrapolated.
    pub beta_fast: f64,
    /// Rotations below which a dimension is interpolated.
    pub beta_slow: f64,
    /// Multiplies cosine and sine, and so scales the attention's logits by its square.
    pub attention_factor: f64,
    /// Whether the correction range is rounded to whole dimensions.
    pub truncate: bool,
}

impl Checker<RawConfig> {
    /// `rope_scaling` wins over `rope_parameters`, as in the reference.
    pub(super) fn rope(&self, head_dim: usize) -> Result<RopeConfig, LoadError> {
        let raw = self
            .raw
            .rope_scaling
            .as_ref()
            .or(self.raw.rope_parameters.as_ref())
            .cloned()
            .unwrap_or_default();
        let theta = raw.rope_theta.or(self.raw.rope_theta).unwrap_or(10_000.0);
        if !(theta > 1.0 && theta.is_finite()) {
            return Err(self.invalid("rope_theta", format!("({theta}) must be greater than 1")));
        }
        if let Some(part) = raw.partial_rotary_factor.or(self.raw.partial_rotary_factor)
            && (part - 1.0).abs() > f64::EPSILON
        {
            return Err(self.unsupported("partial_rotary_factor", part.to_string(), "only 1"));
        }
        Ok(RopeConfig {
            theta,
            head_dim,
            scaling: self.scaling(&raw)?,
        })
    }

    fn scaling(&self, raw: &RawRope) -> Result<RopeScaling, LoadError> {
        let positions = real(self.raw.max_position_embeddings);
        let kind = raw.rope_type.as_deref().or(raw.old_type.as_deref());
        match kind {
            None | Some("default") => Ok(RopeScaling::Default),
            Some("linear") => Ok(RopeScaling::Linear {
                factor: self.factor(raw)?,
            }),
            Some("dynamic") => Ok(RopeScaling::Dynamic {
                factor: self.factor(raw)?,
                original_positions: positions,
            }),
            Some("llama3") => self.llama3(raw),
            Some("yarn") => self.yarn(raw),
            Some(other) => Err(self.unsupported(
                "rope_type",
                other.to_owned(),
                "default, linear, dynamic, yarn or llama3",
            )),
        }
    }

    fn llama3(&self, raw: &RawRope) -> Result<RopeScaling, LoadError> {
        let low_freq_factor = self.positive("low_freq_factor", raw.low_freq_factor)?;
        let high_freq_factor = self.positive("high_freq_factor", raw.high_freq_factor)?;
        if high_freq_factor <= low_freq_factor {
            let problem =
                format!("({high_freq_factor}) must be greater than low_freq_factor ({low_freq_factor})");
            return Err(self.invalid("high_freq_factor", problem));
        }
        Ok(RopeScaling::Llama3 {
            factor: self.factor(raw)?,
            low_freq_factor,
            high_freq_factor,
            original_positions: self.original_positions(raw)?,
        })
    }

    fn yarn(&self, raw: &RawRope) -> Result<RopeScaling, LoadError> {
        let original_positions = self.original_positions(raw)?;
        let factor = match raw.factor {
            Some(_) => self.factor(raw)?,
            // As for models that give both lengths and leave the ratio out.
            None => real(self.raw.max_position_embeddings) / original_positions,
        };
        let attention_factor = match raw.attention_factor {
            Some(given) => self.positive("attention_factor", Some(given))?,
            None => inferred_attention_factor(factor, raw.mscale, raw.mscale_all_dim),
        };
        Ok(RopeScaling::Yarn(YarnScaling {
            factor,
            original_positions,
            beta_fast: self.positive("beta_fast", Some(nonzero_or(raw.beta_fast, 32.0)))?,
            beta_slow: self.positive("beta_slow", Some(nonzero_or(raw.beta_slow, 1.0)))?,
            attention_factor,
            truncate: raw.truncate.unwrap_or(true),
        }))
    }

    fn factor(&self, raw: &RawRope) -> Result<f64, LoadError> {
        let factor = self.positive("rope_scaling.factor", raw.factor)?;
        if factor >= 1.0 {
            Ok(factor)
        } else {
            Err(self.invalid("rope_scaling.factor", format!("({factor}) must be at least 1")))
        }
    }

    fn original_positions(&self, raw: &RawRope) -> Result<f64, LoadError> {
        // A value beside the rope settings wins over one inside them, as in the reference.
        let given = self
            .raw
            .original_max_position_embeddings
            .or(raw.original_max_position_embeddings);
        let value = given.unwrap_or(real(self.raw.max_position_embeddings));
        self.positive("original_max_position_embeddings", Some(value))
    }

    fn positive(&self, field: &'static str, value: Option<f64>) -> Result<f64, LoadError> {
        match value {
            Some(value) if value > 0.0 && value.is_finite() => Ok(value),
            Some(value) => Err(self.invalid(field, format!("({value}) must be greater than 0"))),
            None => Err(self.invalid(field, "is missing".to_owned())),
        }
    }
}

/// The reference treats 0 like an absent value here.
fn nonzero_or(value: Option<f64>, default: f64) -> f64 {
    value.filter(|value| *value != 0.0).unwrap_or(default)
}

/// The paper's attention factor, or the ratio that models with `mscale` settings use.
fn inferred_attention_factor(factor: f64, mscale: Option<f64>, mscale_all_dim: Option<f64>) -> f64 {
    let scale_by = |weight: f64| {
        if factor <= 1.0 {
            1.0
        } else {
            0.1 * weight * factor.ln() + 1.0
        }
    };
    match (
        mscale.filter(|value| *value != 0.0),
        mscale_all_dim.filter(|value| *value != 0.0),
    ) {
        (Some(numerator), Some(denominator)) => scale_by(numerator) / scale_by(denominator),
        _ => scale_by(1.0),
    }
}
