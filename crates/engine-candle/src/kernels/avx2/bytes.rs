//! Q8_0: weights and activations widened to i16, whose products are added in pairs.
//!
//! `vpmaddubsw` would take int8, but one of its factors must be unsigned and its sums of two
//! saturate; making one so costs as much as widening.

use std::arch::x86_64::{
    __m256, __m256i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm256_add_epi32, _mm256_cvtepi8_epi16,
    _mm256_cvtepi32_ps, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_mul_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_setzero_si256, _mm256_storeu_ps, _mm256_storeu_si256,
};
use std::ops::Range;

use super::super::blocks::BLOCK;
use super::super::input::Rounded;

/// Weight rows in a group.
const LANES: usize = 16;
/// Pairs of columns in a block.
const PAIRS: usize = BLOCK / 2;
/// Bytes of a chunk: scales, then pairs.
const CHUNK: usize = LANES * (2 + BLOCK);
/// Input rows in a tile: 8 registers of sums, and enough products for each weight that is loaded.
const TILE: usize = 4;
/// How far ahead of the product weights are asked for, in bytes.
const AHEAD: usize = 8 * CHUNK;

/// # Safety
/// As [`super::quantised`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn products(
    group: &[u8],
    input: &Rounded,
    words: &[i16],
    rows: Range<usize>,
    sums: &mut [f32],
) {
    let input = Words { input, words };
    // SAFETY: as the caller promises; the number of rows is the one named.
    unsafe {
        match rows.len() {
            1 => input.few::<1>(group, rows.start, sums),
            2 => input.few::<2>(group, rows.start, sums),
            3 => input.few::<3>(group, rows.start, sums),
            4 => input.few::<4>(group, rows.start, sums),
            _ => input.many(group, rows, sums),
        }
    }
}

struct Words<'data> {
    input: &'data Rounded,
    words: &'data [i16],
}

impl Words<'_> {
    /// A few rows: weights are widened where they are used, and sums stay in registers.
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn few<const ROWS: usize>(&self, group: &[u8], start: usize, sums: &mut [f32]) {
        debug_assert_eq!(sums.len(), ROWS * LANES, "sums of a tile");
        // SAFETY: every pointer is into the chunk at hand, which has 32 bytes of scales and for each
        // pair 32 bytes of weights, or into `sums`.
        unsafe {
            let mut totals = [[_mm256_setzero_ps(); 2]; ROWS];
            for (block, chunk) in group.chunks_exact(CHUNK).enumerate() {
                let chunk = chunk.as_ptr();
                prefetch(chunk);
                let scales = scales(chunk);
                let weight = |index: usize| widen(chunk.add(2 * LANES + index * 16));
                self.block::<ROWS>(block, start, scales, weight, &mut totals);
            }
            for (row, totals) in totals.iter().enumerate() {
                _mm256_storeu_ps(sums.as_mut_ptr().add(row * LANES), totals[0]);
                _mm256_storeu_ps(sums.as_mut_ptr().add(row * LANES + 8), totals[1]);
            }
        }
    }

    /// Many rows: a chunk is widened once for all of them.
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn many(&self, group: &[u8], rows: Range<usize>, sums: &mut [f32]) {
        sums.fill(0.0);
        for (block, chunk) in group.chunks_exact(CHUNK).enumerate() {
            let chunk = chunk.as_ptr();
            prefetch(chunk);
            // SAFETY: as in `few`; the tiles together are `rows`.
            unsafe {
                let scales = scales(chunk);
                let mut widened = [_mm256_setzero_si256(); 2 * PAIRS];
                for (index, place) in widened.iter_mut().enumerate() {
                    _mm256_storeu_si256(place, widen(chunk.add(2 * LANES + index * 16)));
                }
                let tiles = sums.chunks_mut(TILE * LANES);
                for (start, sums) in rows.clone().step_by(TILE).zip(tiles) {
                    match sums.len() / LANES {
                        1 => self.tile::<1>(block, start, scales, &widened, sums),
                        2 => self.tile::<2>(block, start, scales, &widened, sums),
                        3 => self.tile::<3>(block, start, scales, &widened, sums),
                        _ => self.tile::<TILE>(block, start, scales, &widened, sums),
                    }
                }
            }
        }
    }

    /// Adds the products of a block to the sums of some rows, which are in memory.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn tile<const ROWS: usize>(
        &self,
        block: usize,
        start: usize,
        scales: [__m256; 2],
        widened: &[__m256i; 2 * PAIRS],
        sums: &mut [f32],
    ) {
        debug_assert_eq!(sums.len(), ROWS * LANES, "sums of a tile");
        // SAFETY: `sums` has 16 values for each row; the rest is as the caller promises.
        unsafe {
            let sums = sums.as_mut_ptr();
            let mut totals: [[__m256; 2]; ROWS] = std::array::from_fn(|row| {
                [
                    _mm256_loadu_ps(sums.add(row * LANES)),
                    _mm256_loadu_ps(sums.add(row * LANES + 8)),
                ]
            });
            let weight = |index: usize| _mm256_loadu_si256(widened.as_ptr().add(index));
            self.block::<ROWS>(block, start, scales, weight, &mut totals);
            for (row, totals) in totals.iter().enumerate() {
                _mm256_storeu_ps(sums.add(row * LANES), totals[0]);
                _mm256_storeu_ps(sums.add(row * LANES + 8), totals[1]);
            }
        }
    }

    /// Adds the products of a block to the sums of some rows, which are in registers. `weight(2 p)`
    /// and `weight(2 p + 1)` are pair `p` of the first and of the second 8 weight rows.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn block<const ROWS: usize>(
        &self,
        block: usize,
        start: usize,
        scales: [__m256; 2],
        weight: impl Fn(usize) -> __m256i,
        totals: &mut [[__m256; 2]; ROWS],
    ) {
        let first = block * self.input.rows + start;
        let words = self.words[first * BLOCK..(first + ROWS) * BLOCK]
            .as_ptr()
            .cast::<[u8; 4]>();
        let mut dots = [[_mm256_setzero_si256(); 2]; ROWS];
        for pair in 0..PAIRS {
            let weights = [weight(2 * pair), weight(2 * pair + 1)];
            for (row, dots) in dots.iter_mut().enumerate() {
                // SAFETY: `words` has 16 pairs for each of the rows.
                let value = unsafe { words.add(row * PAIRS + pair).read() };
                let value = _mm256_set1_epi32(i32::from_ne_bytes(value));
                dots[0] = _mm256_add_epi32(dots[0], _mm256_madd_epi16(weights[0], value));
                dots[1] = _mm256_add_epi32(dots[1], _mm256_madd_epi16(weights[1], value));
            }
        }
        let row_scales = &self.input.scales[first..first + ROWS];
        for ((totals, dots), scale) in totals.iter_mut().zip(&dots).zip(row_scales) {
            let scale = _mm256_set1_ps(*scale);
            for half in 0..2 {
                let scale = _mm256_mul_ps(scales[half], scale);
                totals[half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[half]), scale, totals[half]);
            }
        }
    }
}

/// Asks for the weights that come a few chunks later.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn prefetch(chunk: *const u8) {
    for line in 0..CHUNK.div_ceil(64) {
        _mm_prefetch::<_MM_HINT_T0>(chunk.wrapping_add(AHEAD + line * 64).cast());
    }
}

/// The scales of 16 weight rows.
///
/// # Safety
/// A chunk is there.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn scales(chunk: *const u8) -> [__m256; 2] {
    // SAFETY: a chunk begins with 32 bytes of scales.
    unsafe {
        [
            _mm256_cvtph_ps(_mm_loadu_si128(chunk.cast())),
            _mm256_cvtph_ps(_mm_loadu_si128(chunk.add(16).cast())),
        ]
    }
}

/// Widens 16 signed bytes.
///
/// # Safety
/// 16 bytes are there.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn widen(place: *const u8) -> __m256i {
    // SAFETY: 16 bytes are there.
    _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(place.cast()) })
}
