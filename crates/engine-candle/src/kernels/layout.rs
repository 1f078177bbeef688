//! Where the values of a weight matrix lie once it is packed for products.
//!
//! Rows are taken in groups of 16 ([`LANES`]). A group is a sequence of chunks; each chunk holds one
//! block (of floats: one value) of every row of the group, so that a product reads memory strictly
//! forward and one vector instruction works on several rows. Within a chunk:
//!
//! | format | chunk |
//! |---|---|
//! | floats | 16 values, one a row |
//! | Q8_0 | 16 scales; 8 quads |
//! | Q4_0 | 16 scales; quads 0 to 3 in the low and 4 to 7 in the high half of each byte |
//! | Q5_0 | 16 scales; a quad of fifth bits (bit `q` belongs to quad `q`); as Q4_0 |
//! | Q4_K | 16 scales, 16 scales of minima; for each of 8 parts 16 scales and 16 minima of a byte; for each pair of parts 8 quads, the first part in the low and the second in the high half |
//! | Q6_K | 16 scales; for each of 8 parts 16 pairs of scales of a byte; for each half 16 quads of low bits and 8 of high bits |
//!
//! A **quad** is 64 bytes: four consecutive columns of 16 rows, row by row; one register of AVX-512,
//! two of AVX2, one row of an AMX tile. A **part** is 32 columns. Scales are f16. Every format but Q4_K (whose scales of
//! 6 bits become bytes) keeps its size. All instruction sets read the same layout.

use half::f16;

use super::blocks::{BLOCK, q4_k_scale};
use crate::gguf::TensorFormat;

/// Rows in a group.
pub(super) const LANES: usize = 16;
/// Bytes of four columns of a group.
pub(super) const QUAD: usize = 4 * LANES;
/// Bytes of a group's scales, or of any two bytes for each row.
pub(super) const SCALES: usize = 2 * LANES;
/// Parts of 32 columns in the blocks of 256.
pub(super) const PARTS: usize = 8;

/// Columns in a chunk: the values of a block.
pub(super) fn block_values(format: TensorFormat) -> usize {
    match format {
        TensorFormat::F32 | TensorFormat::F16 | TensorFormat::Bf16 => 1,
        TensorFormat::Q4_0 | TensorFormat::Q5_0 | TensorFormat::Q8_0 => BLOCK,
        TensorFormat::Q4K | TensorFormat::Q6K => PARTS * BLOCK,
    }
}

/// Bytes of a block in a weight file.
pub(super) fn block_bytes(format: TensorFormat) -> usize {
    match format {
        TensorFormat::F32 => 4,
        TensorFormat::F16 | TensorFormat::Bf16 => 2,
        TensorFormat::Q4_0 => 18,
        TensorFormat::Q5_0 => 22,
        TensorFormat::Q8_0 => 34,
        TensorFormat::Q4K => 144,
        TensorFormat::Q6K => 210,
    }
}

/// Bytes of a chunk.
pub(super) fn chunk_bytes(format: TensorFormat) -> usize {
    match format {
        TensorFormat::Q4K => LANES * (2 + 2 + 2 * PARTS + 128),
        other => LANES * block_bytes(other),
    }
}

/// Whether activations are rounded to int8 for products with this format.
pub(super) fn is_quantised(format: TensorFormat) -> bool {
    block_values(format) > 1
}

/// Where column `i` (below 4) of row `lane` is in quad `index`.
fn quad(index: usize, lane: usize, i: usize) -> usize {
    index * QUAD + lane * 4 + i
}

/// Puts the bytes of one row of a weight file, which is row `lane` of the group, into its chunks.
pub(super) fn write_row(format: TensorFormat, row: &[u8], lane: usize, group: &mut [u8]) {
    match format {
        TensorFormat::F32 => write_values::<4>(row, lane, group),
        TensorFormat::F16 | TensorFormat::Bf16 => write_values::<2>(row, lane, group),
        _ => {
            let chunks = group.chunks_exact_mut(chunk_bytes(format));
            for (block, chunk) in row.chunks_exact(block_bytes(format)).zip(chunks) {
                write_block(format, block, lane, chunk);
            }
        }
    }
}

/// Writes a value of the row into each chunk of 16.
fn write_values<const BYTES: usize>(row: &[u8], lane: usize, group: &mut [u8]) {
    let chunks = group.as_chunks_mut::<BYTES>().0.chunks_exact_mut(LANES);
    for (value, chunk) in row.as_chunks::<BYTES>().0.iter().zip(chunks) {
        chunk[lane] = *value;
    }
}

/// Puts one block of a quantised row into its chunk.
fn write_block(format: TensorFormat, block: &[u8], lane: usize, chunk: &mut [u8]) {
    match format {
        // Not in blocks.
        TensorFormat::F32 | TensorFormat::F16 | TensorFormat::Bf16 => {}
        TensorFormat::Q8_0 | TensorFormat::Q4_0 => {
            chunk[lane * 2..][..2].copy_from_slice(&block[..2]);
            write_quads(&block[2..], lane, &mut chunk[SCALES..]);
        }
        TensorFormat::Q5_0 => {
            chunk[lane * 2..][..2].copy_from_slice(&block[..2]);
            write_fifth_bits(&block[2..6], lane, &mut chunk[SCALES..]);
            write_quads(&block[6..], lane, &mut chunk[SCALES + QUAD..]);
        }
        TensorFormat::Q4K => {
            chunk[lane * 2..][..2].copy_from_slice(&block[..2]);
            chunk[SCALES + lane * 2..][..2].copy_from_slice(&block[2..4]);
            for part in 0..PARTS {
                let (scale, minimum) = q4_k_scale(&block[4..16], part);
                chunk[(2 + part) * SCALES + lane] = scale;
                chunk[(2 + part) * SCALES + LANES + lane] = minimum;
            }
            write_quads(&block[16..], lane, &mut chunk[(2 + PARTS) * SCALES..]);
        }
        TensorFormat::Q6K => {
            chunk[lane * 2..][..2].copy_from_slice(&block[208..]);
            for (part, scales) in block[192..208].as_chunks::<2>().0.iter().enumerate() {
                chunk[(1 + part) * SCALES + lane * 2..][..2].copy_from_slice(scales);
            }
            for half in 0..2 {
                let target = &mut chunk[(1 + PARTS) * SCALES + half * 24 * QUAD..];
                write_quads(&block[half * 64..][..64], lane, target);
                write_quads(&block[128 + half * 32..][..32], lane, &mut target[16 * QUAD..]);
            }
        }
    }
}

/// Writes four bytes of the row into each quad.
fn write_quads(bytes: &[u8], lane: usize, quads: &mut [u8]) {
    for (index, values) in bytes.as_chunks::<4>().0.iter().enumerate() {
        quads[quad(index, lane, 0)..][..4].copy_from_slice(values);
    }
}

fn write_fifth_bits(bits: &[u8], lane: usize, quads: &mut [u8]) {
    for i in 0..4 {
        let bit = |q: usize| (bits[q / 2] >> (q % 2 * 4 + i) & 1) << q;
        quads[quad(0, lane, i)] = (0..8).map(bit).fold(0, |all, bit| all | bit);
    }
}

/// 32 columns of one row: each value is `values[i] * scale - minimum`, in f32.
pub(super) struct Part {
    pub(super) values: [i16; BLOCK],
    pub(super) scale: f32,
    pub(super) minimum: f32,
}

/// Reads part `part` of row `lane` from a chunk of a quantised format.
pub(super) fn part(format: TensorFormat, chunk: &[u8], lane: usize, part: usize) -> Part {
    let mut values = [0; BLOCK];
    let mut scale = half_at(chunk, lane);
    let mut minimum = 0.0;
    let (low, high) = values.split_at_mut(BLOCK / 2);
    let halves = low
        .as_chunks_mut::<4>()
        .0
        .iter_mut()
        .zip(high.as_chunks_mut::<4>().0);
    match format {
        TensorFormat::Q8_0 => {
            for (index, values) in values.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let bytes = &chunk[SCALES + quad(index, lane, 0)..][..4];
                *values = [bytes[0], bytes[1], bytes[2], bytes[3]].map(signed);
            }
        }
        TensorFormat::Q4_0 => {
            for (index, (low, high)) in halves.enumerate() {
                let bytes = four(&chunk[SCALES..], index, lane);
                (*low, *high) = (
                    bytes.map(|byte| (byte & 15) - 8),
                    bytes.map(|byte| (byte >> 4) - 8),
                );
            }
        }
        TensorFormat::Q5_0 => {
            let fifth = four(&chunk[SCALES..], 0, lane);
            for (index, (low, high)) in halves.enumerate() {
                let bytes = four(&chunk[SCALES + QUAD..], index, lane);
                for i in 0..4 {
                    low[i] = (bytes[i] & 15) + (fifth[i] >> index & 1) * 16 - 16;
                    high[i] = (bytes[i] >> 4) + (fifth[i] >> (index + 4) & 1) * 16 - 16;
                }
            }
        }
        TensorFormat::Q4K => {
            let shift = part % 2 * 4;
            let quads = &chunk[(2 + PARTS) * SCALES + part / 2 * 8 * QUAD..];
            for (index, values) in values.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                *values = four(quads, index, lane).map(|byte| byte >> shift & 15);
            }
            let scales = &chunk[(2 + part) * SCALES..];
            scale *= f32::from(scales[lane]);
            minimum = half_at(chunk, LANES + lane) * f32::from(scales[LANES + lane]);
        }
        TensorFormat::Q6K => {
            let quads = &chunk[(1 + PARTS) * SCALES + part / 4 * 24 * QUAD..];
            let quarter = part % 4;
            let scales = &chunk[(1 + part) * SCALES + lane * 2..];
            for (index, values) in values.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let low = four(quads, quarter % 2 * 8 + index, lane);
                let high = four(quads, 16 + index, lane);
                let scale = signed(scales[index / 4]);
                for i in 0..4 {
                    let code = (low[i] >> (quarter / 2 * 4) & 15) + (high[i] >> (2 * quarter) & 3) * 16;
                    values[i] = (code - 32) * scale;
                }
            }
        }
        // Not in parts.
        TensorFormat::F32 | TensorFormat::F16 | TensorFormat::Bf16 => {}
    }
    Part {
        values,
        scale,
        minimum,
    }
}

/// The four bytes of row `lane` in quad `index`.
fn four(quads: &[u8], index: usize, lane: usize) -> [i16; 4] {
    let bytes = &quads[quad(index, lane, 0)..][..4];
    [bytes[0], bytes[1], bytes[2], bytes[3]].map(i16::from)
}

fn signed(byte: u8) -> i16 {
    i16::from(i8::from_le_bytes([byte]))
}

/// The f16 at `index`, widened.
pub(super) fn half_at(chunk: &[u8], index: usize) -> f32 {
    f16::from_le_bytes([chunk[index * 2], chunk[index * 2 + 1]]).to_f32()
}

/// Reads row `lane`'s value from a chunk of floats.
#[inline]
pub(super) fn float(format: TensorFormat, chunk: &[u8], lane: usize) -> f32 {
    match format {
        TensorFormat::F16 => half_at(chunk, lane),
        TensorFormat::Bf16 => {
            f32::from_bits(u32::from(chunk[lane * 2]) << 16 | u32::from(chunk[lane * 2 + 1]) << 24)
        }
        _ => {
            let bytes = &chunk[lane * 4..][..4];
            f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
        }
    }
}
