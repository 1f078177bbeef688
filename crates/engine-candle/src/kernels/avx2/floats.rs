//! Floats: tiles of 6 input rows and 16 weight rows.

use std::arch::x86_64::{
    __m256, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm256_castsi256_ps, _mm256_cvtepu16_epi32,
    _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_slli_epi32, _mm256_storeu_ps,
};
use std::ops::Range;

use super::super::layout::LANES;

/// Input rows in a tile: with two registers of weights for each, as many as 16 registers take.
const TILE: usize = 6;
/// Columns that are multiplied with all rows before the next: the weights of so many, widened, stay
/// in the first-level cache.
const COLUMNS: usize = 256;
/// The same for two tiles, which have to wait for memory: reading and multiplying take turns, so
/// the turns are short, and the next one's weights are asked for at the beginning of each.
const FEW_COLUMNS: usize = 64;

/// A float that widens to f32 without loss.
pub(super) trait Float {
    const BYTES: usize;

    /// Widens eight of them.
    ///
    /// # Safety
    /// AVX2 and F16C, and eight of them at `place`.
    unsafe fn widen(place: *const u8) -> __m256;
}

pub(super) struct Single;
pub(super) struct Half;
pub(super) struct Brain;

impl Float for Single {
    const BYTES: usize = 4;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn widen(place: *const u8) -> __m256 {
        // SAFETY: eight values are there.
        unsafe { _mm256_loadu_ps(place.cast()) }
    }
}

impl Float for Half {
    const BYTES: usize = 2;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn widen(place: *const u8) -> __m256 {
        // SAFETY: eight values are there.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(place.cast()) })
    }
}

impl Float for Brain {
    const BYTES: usize = 2;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn widen(place: *const u8) -> __m256 {
        // SAFETY: eight values are there.
        let bits = _mm256_cvtepu16_epi32(unsafe { _mm_loadu_si128(place.cast()) });
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits))
    }
}

/// # Safety
/// As [`super::floats`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn products<F: Float>(group: &[u8], input: &[f32], rows: Range<usize>, sums: &mut [f32]) {
    let columns = group.len() / (LANES * F::BYTES);
    let input = &input[rows.start * columns..rows.end * columns];
    sums.fill(0.0);
    // Tiles of the same size: a small one at the end would wait for each of its additions.
    let tiles = rows.len().div_ceil(TILE);
    let tile_rows = rows.len().div_ceil(tiles);
    let most_columns = if tiles == 2 { FEW_COLUMNS } else { COLUMNS };
    // Widening once for all tiles only pays when there are several.
    let widen = F::BYTES < 4 && tiles > 2;
    let mut widened = [0.0_f32; COLUMNS * LANES];
    for start in (0..columns).step_by(most_columns) {
        let count = most_columns.min(columns - start);
        let weights = &group[start * LANES * F::BYTES..][..count * LANES * F::BYTES];
        if widen {
            for (place, weights) in widened
                .chunks_exact_mut(8)
                .zip(weights.chunks_exact(8 * F::BYTES))
            {
                // SAFETY: both chunks have eight values.
                unsafe { _mm256_storeu_ps(place.as_mut_ptr(), F::widen(weights.as_ptr())) };
            }
        }
        for (tile, sums) in sums.chunks_mut(tile_rows * LANES).enumerate() {
            let columns = Columns {
                input: &input[tile * tile_rows * columns + start..],
                row: columns,
                count,
            };
            // SAFETY: the weights are `count` columns of 16 values of the type named, and the
            // input has as many from there on in each of the rows that `sums` has.
            unsafe {
                if widen {
                    columns.multiply::<Single, false>(widened.as_ptr().cast(), sums);
                } else if tiles == 2 && tile == 0 {
                    columns.multiply::<F, true>(weights.as_ptr(), sums);
                } else {
                    columns.multiply::<F, false>(weights.as_ptr(), sums);
                }
            }
        }
    }
}

/// Some columns of up to six input rows, from the first of the columns on.
struct Columns<'data> {
    input: &'data [f32],
    /// Values from a row to the next.
    row: usize,
    count: usize,
}

impl Columns<'_> {
    /// The first tile of some columns asks for the next ones' weights.
    ///
    /// # Safety
    /// AVX2, FMA and F16C; `count` times 16 weights; `count` columns in the rows that `sums` has.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn multiply<F: Float, const FIRST: bool>(&self, weights: *const u8, sums: &mut [f32]) {
        // SAFETY: as the caller promises.
        unsafe {
            match sums.len() / LANES {
                1 => self.tile::<F, 1, FIRST>(weights, sums),
                2 => self.tile::<F, 2, FIRST>(weights, sums),
                3 => self.tile::<F, 3, FIRST>(weights, sums),
                4 => self.tile::<F, 4, FIRST>(weights, sums),
                5 => self.tile::<F, 5, FIRST>(weights, sums),
                _ => self.tile::<F, TILE, FIRST>(weights, sums),
            }
        }
    }

    /// # Safety
    /// As [`Self::multiply`], with `ROWS` rows.
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn tile<F: Float, const ROWS: usize, const FIRST: bool>(
        &self,
        weights: *const u8,
        sums: &mut [f32],
    ) {
        debug_assert_eq!(sums.len(), ROWS * LANES, "sums of a tile");
        debug_assert!(
            (ROWS - 1) * self.row + self.count <= self.input.len(),
            "rows of a tile"
        );
        let input = self.input.as_ptr();
        // SAFETY: `sums` has 16 values for each row, the weights 16 for each column, and the input
        // `count` columns in each row.
        unsafe {
            let sums = sums.as_mut_ptr();
            let mut totals: [[__m256; 2]; ROWS] = std::array::from_fn(|row| {
                [
                    _mm256_loadu_ps(sums.add(row * LANES)),
                    _mm256_loadu_ps(sums.add(row * LANES + 8)),
                ]
            });
            for column in 0..self.count {
                let place = weights.add(column * LANES * F::BYTES);
                if FIRST {
                    let next = place.wrapping_add(FEW_COLUMNS * LANES * F::BYTES);
                    _mm_prefetch::<_MM_HINT_T0>(next.cast());
                }
                let weights = [F::widen(place), F::widen(place.add(8 * F::BYTES))];
                for (row, totals) in totals.iter_mut().enumerate() {
                    let value = _mm256_set1_ps(*input.add(row * self.row + column));
                    totals[0] = _mm256_fmadd_ps(weights[0], value, totals[0]);
                    totals[1] = _mm256_fmadd_ps(weights[1], value, totals[1]);
                }
            }
            for (row, totals) in totals.iter().enumerate() {
                _mm256_storeu_ps(sums.add(row * LANES), totals[0]);
                _mm256_storeu_ps(sums.add(row * LANES + 8), totals[1]);
            }
        }
    }
}
