//! Rope scaling as GGUF files have it: settings, or a tensor of factors for Llama 3.

use std::f64::consts::TAU;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use serde_json::{Value, json};

use super::GgufError;
use super::config::Settings;
use super::tensor::TensorFormat;

/// How far a factor may be from the one that the found parameters give, relatively.
const TOLERANCE: f64 = 1e-4;
/// Llama 3's factors, by llama.cpp's name.
const FACTORS: &str = "rope_freqs.weight";

/// `rope_scaling` of config.json; null where there is none.
pub(super) fn scaling(settings: &Settings<'_>, head_dim: u64) -> Result<Value, GgufError> {
    if settings.file.tensor(FACTORS).is_some() {
        return llama3(settings, head_dim);
    }
    let name = "rope.scaling.type";
    let factor = match settings.real("rope.scaling.factor")? {
        None => settings.real("rope.scale_linear")?,
        given => given,
    };
    let factor = factor.filter(|factor| *factor != 0.0 && (*factor - 1.0).abs() > f64::EPSILON);
    // Old files give a factor only.
    let kind = settings
        .text(name)?
        .unwrap_or(if factor.is_some() { "linear" } else { "none" });
    match kind {
        "none" => Ok(Value::Null),
        "linear" => Ok(factor.map_or(
            Value::Null,
            |factor| json!({ "rope_type": "linear", "factor": factor }),
        )),
        "yarn" => yarn(settings, factor.unwrap_or(1.0)),
        other => Err(settings.unsupported(
            name,
            &format!("`{}`", super::value::shortened(other)),
            "none, linear or yarn",
        )),
    }
}

fn yarn(settings: &Settings<'_>, factor: f64) -> Result<Value, GgufError> {
    let multiplier = settings.real("rope.scaling.yarn_log_multiplier")?.unwrap_or(0.0);
    if multiplier != 0.0 && !settings.has_latent_attention() {
        return Err(settings.unsupported("rope.scaling.yarn_log_multiplier", &multiplier, "only 0"));
    }
    let original = match settings.size("rope.scaling.original_context_length")? {
        None => settings.needed("context_length")?,
        Some(positions) => positions,
    };
    let mut scaling = json!({
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": original,
    });
    if multiplier != 0.0 {
        // A tenth of it is what the file has, in f32; the two are the same in DeepSeek's models.
        let scale = (multiplier * 1e7).round() / 1e6;
        scaling["mscale"] = json!(scale);
        scaling["mscale_all_dim"] = json!(scale);
    }
    let attention = match settings.real("rope.scaling.yarn_attn_factor")? {
        None => settings.real("rope.scaling.attn_factor")?,
        given => given,
    };
    if let Some(attention) = attention {
        // Here a factor on top of the paper's, there the product.
        scaling["attention_factor"] = json!(attention * (0.1 * factor.max(1.0).ln() + 1.0));
    }
    for (name, field) in [("yarn_beta_fast", "beta_fast"), ("yarn_beta_slow", "beta_slow")] {
        if let Some(value) = settings.real(&format!("rope.scaling.{name}"))? {
            scaling[field] = json!(value);
        }
    }
    Ok(scaling)
}

/// What `rope_type = "llama3"` has for parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Llama3 {
    factor: f64,
    low: f64,
    high: f64,
    original: f64,
}

impl Llama3 {
    /// What a frequency of this wavelength is divided by.
    fn divisor(&self, wavelength: f64) -> f64 {
        let smooth = (self.original / wavelength - self.low) / (self.high - self.low);
        let smooth = smooth.clamp(0.0, 1.0);
        1.0 / ((1.0 - smooth) / self.factor + smooth)
    }
}

/// llama.cpp keeps the factors of all frequencies, and not the parameters they come from.
fn llama3(settings: &Settings<'_>, head_dim: u64) -> Result<Value, GgufError> {
    let theta = settings.real("rope.freq_base")?.unwrap_or(10_000.0);
    let divisors = read_factors(settings, head_dim)?;
    if divisors.iter().all(|divisor| (divisor - 1.0).abs() < TOLERANCE) {
        return Ok(Value::Null);
    }
    let wavelengths = wavelengths(theta, divisors.len());
    let found = fit(&divisors, &wavelengths).ok_or_else(|| GgufError::Malformed {
        what: format!("tensor {FACTORS}"),
        problem: "has factors that are not those of rope scaling `llama3`".to_owned(),
    })?;
    Ok(json!({
        "rope_type": "llama3",
        "factor": found.factor,
        "low_freq_factor": found.low,
        "high_freq_factor": found.high,
        "original_max_position_embeddings": found.original,
    }))
}

fn wavelengths(theta: f64, count: usize) -> Vec<f64> {
    (0..count)
        .map(|index| {
            let part = crate::text::config::real(index) / crate::text::config::real(count.max(1));
            TAU * theta.powf(part)
        })
        .collect()
}

/// The parameters that give these divisors. Only ratios of the last three show in them, so the low
/// frequency factor is taken as 1, which it is in all published models.
fn fit(divisors: &[f64], wavelengths: &[f64]) -> Option<Llama3> {
    let factor = divisors.iter().copied().fold(1.0, f64::max);
    // Between the borders, `smooth` is a straight line over the inverse wavelength.
    let smooth = |divisor: f64| (1.0 / divisor - 1.0 / factor) / (1.0 - 1.0 / factor);
    let ramp: Vec<(f64, f64)> = divisors
        .iter()
        .zip(wavelengths)
        .map(|(divisor, wavelength)| (1.0 / wavelength, smooth(*divisor)))
        .filter(|(_, smooth)| (1e-6..=1.0 - 1e-6).contains(smooth))
        .collect();
    let published = Llama3 {
        factor,
        low: 1.0,
        high: 4.0,
        original: 8192.0,
    };
    let mut candidates = vec![published];
    if let (Some(first), Some(last)) = (ramp.first(), ramp.last())
        && ramp.len() >= 2
    {
        let slope = (first.1 - last.1) / (first.0 - last.0);
        let start = first.1 - slope * first.0;
        let width = -1.0 / start;
        candidates.push(Llama3 {
            high: ((1.0 + width) * 1e3).round() / 1e3,
            original: (slope * width).round(),
            ..published
        });
    }
    let matches = |candidate: &Llama3| {
        candidate.high > candidate.low
            && divisors.iter().zip(wavelengths).all(|(divisor, wavelength)| {
                (candidate.divisor(*wavelength) / divisor - 1.0).abs() < TOLERANCE
            })
    };
    candidates.into_iter().find(matches)
}

fn read_factors(settings: &Settings<'_>, head_dim: u64) -> Result<Vec<f64>, GgufError> {
    let malformed = |problem: String| GgufError::Malformed {
        what: format!("tensor {FACTORS}"),
        problem,
    };
    let Some(tensor) = settings.file.tensor(FACTORS) else {
        return Ok(Vec::new());
    };
    let count = tensor.shape.first().copied().unwrap_or_default();
    if tensor.format != TensorFormat::F32
        || tensor.shape.len() != 1
        || count as u64 != head_dim / 2
        || count > 1 << 16
    {
        let problem = format!("has shape {:?}, not {} values in F32", tensor.shape, head_dim / 2);
        return Err(malformed(problem));
    }
    let mut bytes = vec![0; count * 4];
    let read = |bytes: &mut [u8]| -> std::io::Result<()> {
        let mut file = File::open(settings.file.path())?;
        file.seek(SeekFrom::Start(tensor.offset))?;
        file.read_exact(bytes)
    };
    read(&mut bytes).map_err(|error| malformed(format!("cannot be read: {error}")))?;
    let (values, _) = bytes.as_chunks::<4>();
    let values: Vec<f64> = values
        .iter()
        .map(|value| f32::from_le_bytes(*value).into())
        .collect();
    if values.iter().all(|value| value.is_finite() && *value >= 1.0) {
        Ok(values)
    } else {
        Err(malformed("has factors below 1".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divisors(parameters: Llama3, theta: f64, count: usize) -> Vec<f64> {
        // As stored: rounded to f32.
        #[expect(clippy::cast_possible_truncation, reason = "the rounding is meant")]
        wavelengths(theta, count)
            .into_iter()
            .map(|wavelength| f64::from(parameters.divisor(wavelength) as f32))
            .collect()
    }

    #[test]
    fn the_published_parameters_are_found_again() {
        for (factor, count) in [(8.0, 64), (32.0, 32), (32.0, 64)] {
            let published = Llama3 {
                factor,
                low: 1.0,
                high: 4.0,
                original: 8192.0,
            };
            let divisors = divisors(published, 500_000.0, count);
            assert_eq!(
                fit(&divisors, &wavelengths(500_000.0, count)),
                Some(published),
                "{factor}"
            );
        }
    }

    #[test]
    fn other_parameters_are_found_from_the_ramp() {
        let own = Llama3 {
            factor: 4.0,
            low: 1.0,
            high: 3.5,
            original: 2048.0,
        };
        let divisors = divisors(own, 10_000.0, 64);
        assert_eq!(fit(&divisors, &wavelengths(10_000.0, 64)), Some(own));
    }

    #[test]
    fn factors_of_another_kind_are_not_taken_for_llama3() {
        let mut divisors = vec![1.0; 32];
        divisors[3] = 7.0;
        assert_eq!(fit(&divisors, &wavelengths(10_000.0, 32)), None);
    }
}
