//! ggml's blocks of quantised values: what is in them, and how values are rounded into them.
//!
//! The definitions are those of `ggml-quants.c`: `dequantize_row_*` and `quantize_row_*_ref`.

use half::f16;

use super::ShapeError;
use crate::gguf::TensorFormat;

/// Values in the smallest group with a scale of its own for activations, and in most blocks.
pub(super) const BLOCK: usize = 32;

/// Rounds `values` (whole blocks) into blocks of `format` and appends their bytes.
///
/// # Errors
/// [`ShapeError::NoRounding`] for Q4_K and Q6_K, whose rounding is a search: they are read, and not
/// made.
pub(super) fn quantise(format: TensorFormat, values: &[f32], bytes: &mut Vec<u8>) -> Result<(), ShapeError> {
    match format {
        TensorFormat::F32 => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        TensorFormat::F16 => bytes.extend(
            values
                .iter()
                .flat_map(|value| f16::from_f32(*value).to_le_bytes()),
        ),
        TensorFormat::Bf16 => bytes.extend(
            values
                .iter()
                .flat_map(|value| half::bf16::from_f32(*value).to_le_bytes()),
        ),
        TensorFormat::Q4_0 => each_block(format, values, |block| quantise_q4_0(block, bytes))?,
        TensorFormat::Q5_0 => each_block(format, values, |block| quantise_q5_0(block, bytes))?,
        TensorFormat::Q8_0 => each_block(format, values, |block| quantise_q8_0(block, bytes))?,
        TensorFormat::Q4K | TensorFormat::Q6K => return Err(ShapeError::NoRounding { format }),
    }
    Ok(())
}

/// `round` appends a block and returns its scale.
fn each_block(
    format: TensorFormat,
    values: &[f32],
    mut round: impl FnMut(&[f32; BLOCK]) -> f16,
) -> Result<(), ShapeError> {
    for block in values.as_chunks::<BLOCK>().0 {
        // A value that is no number would be nobody's scale, and become some code.
        if !round(block).is_finite() || block.iter().any(|value| value.is_nan()) {
            return Err(ShapeError::Values { format });
        }
    }
    Ok(())
}

/// The value that is furthest from zero, with its sign; the first of several.
fn furthest(block: &[f32; BLOCK]) -> f32 {
    block.iter().fold(
        0.0,
        |found: f32, value| if value.abs() > found.abs() { *value } else { found },
    )
}

/// One over a scale; 0 for blocks of zeros, and of values so small that it would not be finite.
fn inverse(scale: f32) -> f32 {
    let inverse = 1.0 / scale;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// Cuts `value + middle` to an unsigned code of at most `largest`; a middle and a half rounds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts of floats saturate, and the result is bounded by `largest`"
)]
fn code(value: f32, middle: f32, largest: u8) -> u8 {
    ((value + middle) as u8).min(largest)
}

fn quantise_q4_0(block: &[f32; BLOCK], bytes: &mut Vec<u8>) -> f16 {
    let scale = furthest(block) / -8.0;
    let (inverse, scale) = (inverse(scale), f16::from_f32(scale));
    bytes.extend(scale.to_le_bytes());
    let (low, high) = block.split_at(BLOCK / 2);
    bytes.extend(
        low.iter()
            .zip(high)
            .map(|(low, high)| code(low * inverse, 8.5, 15) | code(high * inverse, 8.5, 15) << 4),
    );
    scale
}

fn quantise_q5_0(block: &[f32; BLOCK], bytes: &mut Vec<u8>) -> f16 {
    let scale = furthest(block) / -16.0;
    let (inverse, scale) = (inverse(scale), f16::from_f32(scale));
    bytes.extend(scale.to_le_bytes());
    let codes = block.map(|value| code(value * inverse, 16.5, 31));
    let fifth = codes
        .iter()
        .rev()
        .fold(0_u32, |bits, code| bits << 1 | u32::from(code >> 4));
    bytes.extend(fifth.to_le_bytes());
    let (low, high) = codes.split_at(BLOCK / 2);
    bytes.extend(
        low.iter()
            .zip(high)
            .map(|(low, high)| (low & 15) | (high & 15) << 4),
    );
    scale
}

fn quantise_q8_0(block: &[f32; BLOCK], bytes: &mut Vec<u8>) -> f16 {
    let scale = furthest(block).abs() / 127.0;
    let (inverse, scale) = (inverse(scale), f16::from_f32(scale));
    bytes.extend(scale.to_le_bytes());
    bytes.extend(
        block
            .iter()
            .map(|value| rounded(value * inverse).to_le_bytes()[0]),
    );
    scale
}

/// To the nearest whole number, and from the middle away from zero; the library's function is a call
/// for each value.
#[expect(
    clippy::cast_precision_loss,
    reason = "below 128, after the division by the scale"
)]
#[expect(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
fn rounded(value: f32) -> i32 {
    let whole = value as i32;
    let rest = value - whole as f32;
    whole + i32::from(rest >= 0.5) - i32::from(rest <= -0.5)
}

/// The scale and the minimum, of 6 bits each, of sub-block `index` of a Q4_K block; `packed` are
/// its 12 bytes of them (`get_scale_min_k4`).
pub(super) fn q4_k_scale(packed: &[u8], index: usize) -> (u8, u8) {
    if index < 4 {
        (packed[index] & 63, packed[index + 4] & 63)
    } else {
        let (low, high) = (packed[index + 4], index - 4);
        (
            (low & 15) | packed[high] >> 6 << 4,
            low >> 4 | packed[high + 4] >> 6 << 4,
        )
    }
}
