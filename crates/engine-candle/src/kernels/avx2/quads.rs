//! Formats of 4 to 6 bits: weights unpack to unsigned bytes, whose products with int8 are added in
//! i16 as far as these cannot overflow.

mod formats;

use std::arch::x86_64::{
    __m256, __m256i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm256_cvtepi32_ps, _mm256_cvtph_ps,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_mul_ps, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_setzero_si256, _mm256_storeu_ps,
};
use std::ops::Range;

pub(super) use self::formats::{Q4_0, Q4K, Q5_0, Q6K};
use super::super::blocks::BLOCK;
use super::super::input::Rounded;
use super::super::layout::LANES;

/// Weight rows of a side: a register holds half of a group's.
const SIDE: usize = LANES / 2;
/// Quads in a part.
const QUADS: usize = 8;
/// The most rows in a tile.
pub(super) const MOST_ROWS: usize = 64;
/// How far ahead of the product weights are asked for, in bytes.
const AHEAD: usize = 2048;

/// How a format's parts are unpacked and multiplied.
pub(super) trait Format: Sized {
    /// Bytes of a chunk, and parts of 32 columns in it.
    const CHUNK: usize;
    const PARTS: usize;
    /// What all parts of a chunk need.
    type Head;

    /// Reads what all parts of a side need.
    ///
    /// # Safety
    /// AVX2, FMA and F16C, a chunk, and one of its two sides.
    unsafe fn head(chunk: *const u8, side: usize) -> Self::Head;

    /// Unpacks a side of a part.
    ///
    /// # Safety
    /// AVX2, FMA and F16C, a chunk, one of its sides and one of its parts.
    unsafe fn unpack(chunk: *const u8, side: usize, head: &Self::Head, part: usize) -> Self;

    /// The products of one half of the part and of an input row's block, as far as they can be added.
    ///
    /// # Safety
    /// AVX2, FMA and F16C.
    unsafe fn half<const HALF: usize>(&self, row: &Row) -> __m256i;

    /// Adds the products of both halves, scaled.
    ///
    /// # Safety
    /// AVX2, FMA and F16C.
    unsafe fn add(&self, halves: [__m256i; 2], row: &Row, total: __m256) -> __m256;
}

/// One block of consecutive input rows.
struct Rows {
    values: *const [i8; BLOCK],
    scales: *const f32,
    sums: *const [u8; 4],
}

impl Rows {
    /// # Safety
    /// The input has `rows`, and `block`.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn of(input: &Rounded, block: usize, rows: Range<usize>) -> Self {
        debug_assert!(rows.end <= input.rows, "rows of the input");
        debug_assert!(
            (block + 1) * input.rows <= input.scales.len(),
            "blocks of the input"
        );
        let first = block * input.rows + rows.start;
        // SAFETY: there is a place of each kind for every block and row.
        unsafe {
            Self {
                values: input.values.as_ptr().cast::<[i8; BLOCK]>().add(first),
                scales: input.scales.as_ptr().add(first),
                sums: input.sums.as_ptr().cast::<[u8; 4]>().add(first),
            }
        }
    }

    /// # Safety
    /// There is such a row.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn row(&self, index: usize) -> Row {
        // SAFETY: as the caller promises; two i16 are read as four bytes.
        unsafe {
            Row {
                values: self.values.add(index).cast(),
                scale: _mm256_set1_ps(*self.scales.add(index)),
                sums: _mm256_set1_epi32(i32::from_ne_bytes(self.sums.add(index).read())),
            }
        }
    }
}

/// A block of an input row.
pub(super) struct Row {
    /// Its 32 values.
    values: *const i8,
    /// Its scale, in every lane.
    scale: __m256,
    /// The sums of its halves, side by side in every lane.
    sums: __m256i,
}

impl Row {
    /// Four values, in every lane.
    ///
    /// # Safety
    /// `quad` is below 8.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn quad(&self, quad: usize) -> __m256i {
        // SAFETY: the row has 8 quads.
        let values = unsafe { self.values.cast::<[u8; 4]>().add(quad).read() };
        _mm256_set1_epi32(i32::from_ne_bytes(values))
    }

    /// Adds the integers `dots`, times the scale of the weights and of the row.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn scaled(&self, dots: __m256i, scales: __m256, total: __m256) -> __m256 {
        _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots), _mm256_mul_ps(scales, self.scale), total)
    }
}

/// # Safety
/// As [`super::quantised`]; at most [`MOST_ROWS`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn products<F: Format>(
    group: &[u8],
    input: &Rounded,
    rows: Range<usize>,
    sums: &mut [f32],
) {
    // SAFETY: as the caller promises; the number of rows is the one named.
    unsafe {
        match rows.len() {
            1 => few::<F, 1>(group, input, rows.start, sums),
            2 => few::<F, 2>(group, input, rows.start, sums),
            3 => few::<F, 3>(group, input, rows.start, sums),
            4 => few::<F, 4>(group, input, rows.start, sums),
            _ => many::<F>(group, input, rows, sums),
        }
    }
}

/// A few rows, whose sums stay in registers.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn few<F: Format, const ROWS: usize>(group: &[u8], input: &Rounded, start: usize, sums: &mut [f32]) {
    debug_assert_eq!(sums.len(), ROWS * LANES, "sums of a tile");
    let mut totals = [[_mm256_setzero_ps(); ROWS]; 2];
    for (index, chunk) in group.chunks_exact(F::CHUNK).enumerate() {
        let chunk = chunk.as_ptr();
        prefetch::<F>(chunk);
        // SAFETY: the chunk is whole, and the input has a block for each of its parts.
        unsafe {
            let heads = [F::head(chunk, 0), F::head(chunk, 1)];
            for part in 0..F::PARTS {
                let rows = Rows::of(input, index * F::PARTS + part, start..start + ROWS);
                for side in 0..2 {
                    let unpacked = F::unpack(chunk, side, &heads[side], part);
                    for (row, total) in totals[side].iter_mut().enumerate() {
                        let row = rows.row(row);
                        let halves = [unpacked.half::<0>(&row), unpacked.half::<1>(&row)];
                        *total = unpacked.add(halves, &row, *total);
                    }
                }
            }
        }
    }
    for (row, sums) in sums.chunks_exact_mut(LANES).enumerate() {
        // SAFETY: there are sixteen values.
        unsafe {
            _mm256_storeu_ps(sums.as_mut_ptr(), totals[0][row]);
            _mm256_storeu_ps(sums.as_mut_ptr().add(SIDE), totals[1][row]);
        }
    }
}

/// Many rows, whose sums stay in the first-level cache. As many quads of both sides as registers hold,
/// which are those of half a part, share what is read of the input.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn many<F: Format>(group: &[u8], input: &Rounded, range: Range<usize>, sums: &mut [f32]) {
    sums.fill(0.0);
    let mut partial = [[_mm256_setzero_si256(); 2]; MOST_ROWS];
    let partial = &mut partial[..range.len()];
    for (index, chunk) in group.chunks_exact(F::CHUNK).enumerate() {
        let chunk = chunk.as_ptr();
        prefetch::<F>(chunk);
        // SAFETY: the chunk is whole, the input has a block for each of its parts, and there are
        // sixteen sums for each row.
        unsafe {
            let heads = [F::head(chunk, 0), F::head(chunk, 1)];
            for part in 0..F::PARTS {
                let unpacked = [
                    F::unpack(chunk, 0, &heads[0], part),
                    F::unpack(chunk, 1, &heads[1], part),
                ];
                let rows = Rows::of(input, index * F::PARTS + part, range.clone());
                for (row, partial) in partial.iter_mut().enumerate() {
                    let row = rows.row(row);
                    *partial = [unpacked[0].half::<0>(&row), unpacked[1].half::<0>(&row)];
                }
                for (row, (partial, sums)) in partial.iter().zip(sums.chunks_exact_mut(LANES)).enumerate() {
                    let row = rows.row(row);
                    for (side, sums) in sums.chunks_exact_mut(SIDE).enumerate() {
                        let halves = [partial[side], unpacked[side].half::<1>(&row)];
                        let total = unpacked[side].add(halves, &row, _mm256_loadu_ps(sums.as_ptr()));
                        _mm256_storeu_ps(sums.as_mut_ptr(), total);
                    }
                }
            }
        }
    }
}

/// Asks for the weights that come a few chunks later.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn prefetch<F: Format>(chunk: *const u8) {
    for line in 0..F::CHUNK.div_ceil(64) {
        _mm_prefetch::<_MM_HINT_T0>(chunk.wrapping_add(AHEAD + line * 64).cast());
    }
}

/// One side of a quad.
///
/// # Safety
/// AVX2, and 32 bytes at `place`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load(place: *const u8) -> __m256i {
    // SAFETY: 32 bytes are there.
    unsafe { _mm256_loadu_si256(place.cast()) }
}

/// Eight scales in f16.
///
/// # Safety
/// AVX2 and F16C, and 16 bytes at `place`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn scales(place: *const u8) -> __m256 {
    // SAFETY: 16 bytes are there.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(place.cast()) })
}
