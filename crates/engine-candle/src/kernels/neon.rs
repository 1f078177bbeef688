//! Products with NEON and its dot products of bytes (`sdot`): 64-bit ARM processors since about 2018.
//! *Untested* on such a processor: the portable part is tested everywhere, and the assembly was compared
//! with plain code in an emulator (QEMU) once. Where the instructions are, the tests run all of it.
//!
//! A part is unpacked to signed bytes by plain code, which the compiler turns into vector code; only the
//! dot products are assembly, because the standard library has no stable function for them yet. The
//! result is that of `scalar.rs` with fused additions, to the bit.

use std::ops::Range;

use super::blocks::BLOCK;
use super::input::Rounded;
use super::layout::{LANES, PARTS, QUAD, SCALES, block_values, chunk_bytes, half_at};
use crate::gguf::TensorFormat;

/// Quads in a part.
const QUADS: usize = BLOCK / 4;

/// Whether this processor has the instructions.
#[cfg(target_arch = "aarch64")]
pub(super) fn is_available() -> bool {
    std::arch::is_aarch64_feature_detected!("dotprod")
}

/// A part of a group, unpacked.
struct Unpacked {
    quads: [[i8; QUAD]; QUADS],
    scales: [f32; LANES],
    /// What is subtracted for each value; 0 in most formats.
    minima: [f32; LANES],
    /// Of formats whose halves have scales of their own.
    halves: Option<[[i32; LANES]; 2]>,
}

/// As [`super::scalar::quantised`], with fused additions.
pub(super) fn quantised(
    format: TensorFormat,
    group: &[u8],
    input: &Rounded,
    rows: Range<usize>,
    sums: &mut [f32],
) {
    let parts = block_values(format) / BLOCK;
    sums.fill(0.0);
    let sums = sums.as_chunks_mut::<LANES>().0;
    for (index, chunk) in group.chunks_exact(chunk_bytes(format)).enumerate() {
        for part in 0..parts {
            let unpacked = Unpacked::of(format, chunk, part);
            let block = index * parts + part;
            let values = &input.block(block)[rows.clone()];
            let scales = &input.scales(block)[rows.clone()];
            let totals = &input.sums(block)[rows.clone()];
            for (row, sums) in sums.iter_mut().enumerate() {
                let dots = unpacked.dots(&values[row]);
                for (lane, sum) in sums.iter_mut().enumerate() {
                    *sum = dots[lane].mul_add(unpacked.scales[lane] * scales[row], *sum);
                }
                if format == TensorFormat::Q4K {
                    let total = f32::from(totals[row][0] + totals[row][1]);
                    for (sum, minimum) in sums.iter_mut().zip(&unpacked.minima) {
                        *sum = (-total).mul_add(minimum * scales[row], *sum);
                    }
                }
            }
        }
    }
}

impl Unpacked {
    fn of(format: TensorFormat, chunk: &[u8], part: usize) -> Self {
        let mut unpacked = Self {
            quads: [[0; QUAD]; QUADS],
            scales: std::array::from_fn(|lane| half_at(chunk, lane)),
            minima: [0.0; LANES],
            halves: None,
        };
        let (low, high) = unpacked.quads.split_at_mut(QUADS / 2);
        let halves = low.iter_mut().zip(high);
        match format {
            TensorFormat::Q8_0 => {
                let bytes = chunk[SCALES..].as_chunks::<QUAD>().0;
                for (quad, bytes) in unpacked.quads.iter_mut().zip(bytes) {
                    each(quad, bytes, |byte| byte);
                }
            }
            TensorFormat::Q4_0 => {
                for ((low, high), bytes) in halves.zip(chunk[SCALES..].as_chunks::<QUAD>().0) {
                    each(low, bytes, |byte| (byte & 15).wrapping_sub(8));
                    each(high, bytes, |byte| (byte >> 4).wrapping_sub(8));
                }
            }
            TensorFormat::Q5_0 => {
                let quads = chunk[SCALES..].as_chunks::<QUAD>().0;
                for (index, ((low, high), bytes)) in halves.zip(&quads[1..]).enumerate() {
                    for place in 0..QUAD {
                        let (byte, fifth) = (bytes[place], quads[0][place] >> index);
                        low[place] = signed((byte & 15) + (fifth & 1) * 16).wrapping_sub(16);
                        high[place] = signed((byte >> 4) + (fifth >> 4 & 1) * 16).wrapping_sub(16);
                    }
                }
            }
            TensorFormat::Q4K => unpacked.q4_k(chunk, part),
            TensorFormat::Q6K => unpacked.q6_k(chunk, part),
            // Not in parts.
            TensorFormat::F32 | TensorFormat::F16 | TensorFormat::Bf16 => {}
        }
        unpacked
    }

    fn q4_k(&mut self, chunk: &[u8], part: usize) {
        let scales = &chunk[(2 + part) * SCALES..];
        for lane in 0..LANES {
            self.scales[lane] *= f32::from(scales[lane]);
            self.minima[lane] = half_at(chunk, LANES + lane) * f32::from(scales[LANES + lane]);
        }
        let (quads, shift) = (chunk[(2 + PARTS) * SCALES..].as_chunks::<QUAD>().0, part % 2 * 4);
        for (quad, bytes) in self.quads.iter_mut().zip(&quads[part / 2 * QUADS..]) {
            each(quad, bytes, |byte| byte >> shift & 15);
        }
    }

    fn q6_k(&mut self, chunk: &[u8], part: usize) {
        let scales = &chunk[(1 + part) * SCALES..];
        let scale = |half: usize, lane: usize| i32::from(signed(scales[lane * 2 + half]));
        self.halves = Some([0, 1].map(|half| std::array::from_fn(|lane| scale(half, lane))));
        let quads = &chunk[(1 + PARTS) * SCALES..].as_chunks::<QUAD>().0[part / 4 * 3 * QUADS..];
        let (quarter, high) = (part % 4, &quads[2 * QUADS..]);
        let low = &quads[quarter % 2 * QUADS..];
        for (quad, (low, high)) in self.quads.iter_mut().zip(low.iter().zip(high)) {
            for place in 0..QUAD {
                let code = (low[place] >> (quarter / 2 * 4) & 15) + (high[place] >> (2 * quarter) & 3) * 16;
                quad[place] = signed(code).wrapping_sub(32);
            }
        }
    }

    /// The part's products with a block of a row: whole numbers below 2^24.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    fn dots(&self, values: &[i8; BLOCK]) -> [f32; LANES] {
        let (quads, values) = (self.quads.as_chunks::<4>().0, values.as_chunks::<16>().0);
        let [first, second] = [0, 1].map(|half| dot(&quads[half], &values[half]));
        std::array::from_fn(|lane| {
            let sum = match &self.halves {
                Some(scales) => first[lane] * scales[0][lane] + second[lane] * scales[1][lane],
                None => first[lane] + second[lane],
            };
            sum as f32
        })
    }
}

/// Applies `code` to every byte.
fn each(target: &mut [i8; QUAD], bytes: &[u8; QUAD], code: impl Fn(u8) -> u8) {
    for (target, byte) in target.iter_mut().zip(bytes) {
        *target = signed(code(*byte));
    }
}

fn signed(byte: u8) -> i8 {
    i8::from_le_bytes([byte])
}

/// The dot products of sixteen columns of sixteen weight rows with as many values. The processor has
/// the instructions.
#[cfg(target_arch = "aarch64")]
fn dot(quads: &[[i8; QUAD]; 4], values: &[i8; 16]) -> [i32; LANES] {
    let mut sums = [0; LANES];
    // SAFETY: the weights are four times 64 bytes, the values 16, the sums four times 16.
    #[expect(unsafe_code, reason = "vector instructions read through pointers")]
    unsafe {
        std::arch::asm!(
            ".arch_extension dotprod",
            "ldr q0, [{values}]",
            "movi v16.4s, #0",
            "movi v17.4s, #0",
            "movi v18.4s, #0",
            "movi v19.4s, #0",
            "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{quads}], #64",
            "sdot v16.4s, v4.16b, v0.4b[0]",
            "sdot v17.4s, v5.16b, v0.4b[0]",
            "sdot v18.4s, v6.16b, v0.4b[0]",
            "sdot v19.4s, v7.16b, v0.4b[0]",
            "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{quads}], #64",
            "sdot v16.4s, v4.16b, v0.4b[1]",
            "sdot v17.4s, v5.16b, v0.4b[1]",
            "sdot v18.4s, v6.16b, v0.4b[1]",
            "sdot v19.4s, v7.16b, v0.4b[1]",
            "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{quads}], #64",
            "sdot v16.4s, v4.16b, v0.4b[2]",
            "sdot v17.4s, v5.16b, v0.4b[2]",
            "sdot v18.4s, v6.16b, v0.4b[2]",
            "sdot v19.4s, v7.16b, v0.4b[2]",
            "ld1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{quads}]",
            "sdot v16.4s, v4.16b, v0.4b[3]",
            "sdot v17.4s, v5.16b, v0.4b[3]",
            "sdot v18.4s, v6.16b, v0.4b[3]",
            "sdot v19.4s, v7.16b, v0.4b[3]",
            "st1 {{v16.4s, v17.4s, v18.4s, v19.4s}}, [{sums}]",
            values = in(reg) values.as_ptr(),
            quads = inout(reg) quads.as_ptr() => _,
            sums = in(reg) sums.as_mut_ptr(),
            out("v0") _, out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            options(nostack),
        );
    }
    sums
}

/// What the instructions do, for tests of the rest.
#[cfg(not(target_arch = "aarch64"))]
fn dot(quads: &[[i8; QUAD]; 4], values: &[i8; 16]) -> [i32; LANES] {
    let values = values.as_chunks::<4>().0;
    std::array::from_fn(|lane| {
        let products = quads.iter().zip(values).flat_map(|(quad, values)| {
            let weights = &quad[lane * 4..][..4];
            weights
                .iter()
                .zip(values)
                .map(|(weight, value)| i32::from(*weight) * i32::from(*value))
        });
        products.sum()
    })
}
