//! The rotary part of `config.json`: `rope_theta`, `rope_scaling`, `rope_parameters`.

use super::raw::{RawConfig, RawRope};
use super::theta::RopeRatio;
use super::{Checker, Family, LoadError, real};

/// Rotary position embedding of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeConfig {
    /// The base of the wavelengths.
    pub theta: f64,
    /// The width of a head.
    pub head_dim: usize,
    /// How many of its dimensions are rotated: the first ones. Even.
    pub rotated: usize,
    /// Which of those are rotated with each other, in safetensors.
    pub pairs: RotaryPairs,
    /// How positions beyond the original training length are treated.
    pub scaling: RopeScaling,
}

/// Which two dimensions of a head are rotated with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotaryPairs {
    /// One of the first half and one of the second.
    Halves,
    /// One and the next.
    Neighbours,
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

/// The largest `mscale`; ten times those of published models.
const MAX_MSCALE: f64 = 10.0;

impl Checker<RawConfig> {
    /// `rope_scaling` wins over `rope_parameters`, as in the reference, but for what it does not say.
    fn raw_rope(&self) -> RawRope {
        match (&self.raw.rope_scaling, &self.raw.rope_parameters) {
            (Some(scaling), Some(parameters)) => RawRope {
                rope_theta: scaling.rope_theta.or(parameters.rope_theta),
                partial_rotary_factor: scaling.partial_rotary_factor.or(parameters.partial_rotary_factor),
                ..scaling.clone()
            },
            (one, other) => one.as_ref().or(other.as_ref()).cloned().unwrap_or_default(),
        }
    }

    pub(super) fn rope(&self, family: Family, head_dim: usize) -> Result<RopeConfig, LoadError> {
        let raw = self.raw_rope();
        let rotated = self.rotated(family, head_dim, &raw)?;
        let theta = match raw.rope_theta.or(self.raw.rope_theta) {
            Some(theta) => theta,
            None => self.own_theta(family, rotated)?,
        };
        if !(theta > 1.0 && theta.is_finite()) {
            return Err(self.invalid("rope_theta", format!("({theta}) must be greater than 1")));
        }
        Ok(RopeConfig {
            theta,
            head_dim,
            rotated,
            pairs: match family {
                Family::Glm | Family::Glm4 | Family::ChatGlm => RotaryPairs::Neighbours,
                Family::DeepSeekV2 | Family::DeepSeekV3 => self.latent_pairs(),
                _ => RotaryPairs::Halves,
            },
            scaling: self.scaling(family, &raw)?,
        })
    }

    /// How many dimensions of a head are rotated.
    fn rotated(&self, family: Family, head_dim: usize, raw: &RawRope) -> Result<usize, LoadError> {
        let part = raw.partial_rotary_factor.or(self.raw.partial_rotary_factor);
        let part = match family {
            Family::Glm | Family::Glm4 => part.unwrap_or(0.5),
            Family::ChatGlm => 0.5,
            _ if part.is_none_or(|part| (part - 1.0).abs() <= f64::EPSILON) => return Ok(head_dim),
            _ => {
                let part = part.unwrap_or_default().to_string();
                return Err(self.unsupported("partial_rotary_factor", part, "only 1"));
            }
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be a part of a width"
        )]
        let rotated = if part > 0.0 && part <= 1.0 {
            (real(head_dim) * part) as usize
        } else {
            0
        };
        if rotated > 0 && rotated.is_multiple_of(2) {
            return Ok(rotated);
        }
        let problem = format!("({part}) makes {rotated} of {head_dim} dimensions, which are no pairs");
        Err(self.invalid("partial_rotary_factor", problem))
    }

    fn scaling(&self, family: Family, raw: &RawRope) -> Result<RopeScaling, LoadError> {
        if family == Family::ChatGlm
            && let RopeRatio::Divides(factor) = self.rope_ratio()?
        {
            return Ok(RopeScaling::Linear { factor });
        }
        let positions = real(self.positions(family)?);
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
            Some("llama3") => self.llama3(raw, positions),
            Some("yarn") => self.yarn(raw, positions),
            Some(other) => Err(self.unsupported(
                "rope_type",
                other.to_owned(),
                "default, linear, dynamic, yarn or llama3",
            )),
        }
    }

    fn llama3(&self, raw: &RawRope, positions: f64) -> Result<RopeScaling, LoadError> {
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
            original_positions: self.original_positions(raw, positions)?,
        })
    }

    fn yarn(&self, raw: &RawRope, positions: f64) -> Result<RopeScaling, LoadError> {
        let original_positions = self.original_positions(raw, positions)?;
        let factor = match raw.factor {
            Some(_) => self.factor(raw)?,
            // As for models that give both lengths and leave the ratio out.
            None if positions >= original_positions => positions / original_positions,
            None => {
                let problem = format!("({original_positions}) is more than the {positions} of the model");
                return Err(self.invalid("original_max_position_embeddings", problem));
            }
        };
        for (field, weight) in [("mscale", raw.mscale), ("mscale_all_dim", raw.mscale_all_dim)] {
            if let Some(weight) = weight.filter(|weight| !(0.0..=MAX_MSCALE).contains(weight)) {
                let problem = format!("({weight}) must be between 0 and {MAX_MSCALE}");
                return Err(self.invalid(field, problem));
            }
        }
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

    fn original_positions(&self, raw: &RawRope, positions: f64) -> Result<f64, LoadError> {
        // A value beside the rope settings wins over one inside them, as in the reference.
        let given = self
            .raw
            .original_max_position_embeddings
            .or(raw.original_max_position_embeddings);
        let value = given.unwrap_or(positions);
        self.positive("original_max_position_embeddings", Some(value))
    }

    pub(super) fn positive(&self, field: &'static str, value: Option<f64>) -> Result<f64, LoadError> {
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
