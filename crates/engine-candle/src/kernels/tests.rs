use proptest::prelude::*;
use safetensors::SafeTensors;

use super::*;

mod blocks;
mod products;

/// Deterministic values between -1 and 1.
fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(i16::from_le_bytes([
            state.to_le_bytes()[2],
            state.to_le_bytes()[3],
        ])) / 32_768.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// The bytes of a random matrix in a format, as in a weight file.
fn weights(format: TensorFormat, rows: usize, columns: usize, seed: u32) -> Vec<u8> {
    let count = rows * columns;
    let mut bytes = Vec::new();
    if blocks::ROUNDED.contains(&format) {
        super::blocks::quantise(format, &values(count, seed), &mut bytes).unwrap();
        return bytes;
    }
    // Any bytes are a block as long as its scales are numbers.
    let (size, scales) = match format {
        TensorFormat::Q4K => (144, 0..4),
        _ => (210, 208..210),
    };
    for (index, block) in values(count / 256 * size, seed).chunks(size).enumerate() {
        let start = bytes.len();
        bytes.extend(block.iter().map(|value| value.to_bits().to_le_bytes()[1]));
        for (value, scale) in values(2, seed + 1 + u32::try_from(index).unwrap())
            .iter()
            .zip(bytes[start..][scales.clone()].chunks_exact_mut(2))
        {
            scale.copy_from_slice(&half::f16::from_f32(value / 64.0).to_le_bytes());
        }
    }
    bytes
}

/// All rows of a matrix, widened.
fn widened(matrix: &PackedMatrix) -> Vec<f32> {
    let mut all = vec![f32::NAN; matrix.rows() * matrix.columns()];
    for (index, row) in all.chunks_exact_mut(matrix.columns()).enumerate() {
        matrix.row(index, row);
    }
    all
}
