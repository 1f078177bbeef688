//! Quantised formats: weights unpack to unsigned bytes, which `vpdpbusd` multiplies with the
//! activations' signed ones and adds in i32.
//!
//! Where a format's codes are signed, 128 is added to them, and the sums begin with what that adds too
//! much, taken away.

mod formats;
mod rows;

use std::arch::asm;
use std::arch::x86_64::{
    __m512, __m512i, _MM_HINT_T0, _mm_prefetch, _mm256_loadu_si256, _mm512_cvtepi32_ps, _mm512_cvtph_ps,
    _mm512_dpbusd_epi32, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_storeu_ps,
};
use std::ops::Range;

pub(in super::super) use self::formats::{Q4_0, Q4K, Q5_0, Q6K, Q8_0};
pub(in super::super) use self::rows::{Row, Rows};
use super::super::blocks::BLOCK;
use super::super::input::Rounded;
use super::super::layout::LANES;

/// Quads in a part.
pub(in super::super) const QUADS: usize = BLOCK / 4;
/// Rows whose sums, and values of a block, stay in the first-level cache.
const STRIP_ROWS: usize = 64;
/// Rows whose sums are computed side by side: as many as registers hold beside the weights of one group with
/// one sum for each of its rows, or with two, of two groups or of both halves.
const TILE: usize = 8;
const TILE_OF_TWO: usize = 4;
/// Rows from which on two groups are multiplied together. With fewer, reading the weights takes longer, and
/// goes best strictly forward.
const PAIR_ROWS: usize = 4;
/// How far ahead of the product weights are asked for, in bytes.
const AHEAD: usize = 4096;

/// How a format's parts are unpacked, and what their integers mean.
pub(in super::super) trait Format {
    /// Bytes of a chunk, and parts of 32 columns in it.
    const CHUNK: usize;
    const PARTS: usize;
    /// Whether each half of a part has a scale of its own, so that their sums are kept apart.
    const HALVES: bool;
    /// What all parts of a chunk need.
    type Head: Copy;
    /// What a part's sums are multiplied with.
    type Scales: Copy;

    /// Reads what all parts need.
    ///
    /// # Safety
    /// AVX-512 with VNNI, and a chunk.
    unsafe fn head(chunk: *const u8) -> Self::Head;

    /// Reads a part's scales.
    ///
    /// # Safety
    /// AVX-512 with VNNI, a chunk, and one of its parts.
    unsafe fn scales(chunk: *const u8, head: &Self::Head, part: usize) -> Self::Scales;

    /// Unpacks a part to unsigned bytes.
    ///
    /// # Safety
    /// AVX-512 with VNNI, a chunk, and one of its parts.
    unsafe fn quads(chunk: *const u8, part: usize) -> [__m512i; QUADS];

    /// What unsigned bytes stand for.
    ///
    /// # Safety
    /// AVX-512 with VNNI.
    unsafe fn signed(quad: __m512i) -> __m512i;

    /// What the sums of products with the unsigned bytes begin with, so that they end as those of the
    /// signed ones; of both halves where they are kept apart.
    ///
    /// # Safety
    /// AVX-512 with VNNI, and a row.
    unsafe fn start(row: &Row) -> [__m512i; 2];

    /// Adds the sums, scaled; of both halves where they are kept apart.
    ///
    /// # Safety
    /// AVX-512 with VNNI, and a row.
    unsafe fn add(scales: &Self::Scales, dots: [__m512i; 2], row: &Row, total: __m512) -> __m512;
}

/// One or two groups; two together if registers hold their weights and there are rows enough.
///
/// # Safety
/// As [`super::quantised`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn products<F: Format, const GROUPS: usize>(
    groups: [&[u8]; GROUPS],
    input: &Rounded,
    range: Range<usize>,
    sums: &mut [f32],
) {
    // SAFETY: as the caller promises.
    unsafe {
        if F::PARTS == 1 && range.len() >= PAIR_ROWS {
            return products_of::<F, GROUPS>(groups, input, range, sums);
        }
        for (group, sums) in groups.into_iter().zip(sums.chunks_exact_mut(range.len() * LANES)) {
            products_of::<F, 1>([group], input, range.clone(), sums);
        }
    }
}

/// # Safety
/// As [`super::quantised`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn products_of<F: Format, const GROUPS: usize>(
    groups: [&[u8]; GROUPS],
    input: &Rounded,
    range: Range<usize>,
    sums: &mut [f32],
) {
    sums.fill(0.0);
    let stride = range.len() * LANES;
    for (index, first) in range.clone().step_by(STRIP_ROWS).enumerate() {
        let rows = first..range.end.min(first + STRIP_ROWS);
        let sums = &mut sums[index * STRIP_ROWS * LANES..];
        // SAFETY: as the caller promises; the rows' sums lie within those of all rows.
        unsafe { strip::<F, GROUPS>(groups, input, rows, index == 0, sums, stride) };
    }
}

/// Some rows, whose sums stay in the first-level cache; a group's are `stride` after those of the one
/// before. The first strip asks for the weights, which the others find in the second-level cache.
///
/// # Safety
/// As [`super::quantised`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn strip<F: Format, const GROUPS: usize>(
    groups: [&[u8]; GROUPS],
    input: &Rounded,
    range: Range<usize>,
    first: bool,
    sums: &mut [f32],
    stride: usize,
) {
    let count = range.len();
    let sums = sums.as_mut_ptr();
    for index in 0..groups[0].len() / F::CHUNK {
        let chunks = groups.map(|group| group[index * F::CHUNK..][..F::CHUNK].as_ptr());
        if first {
            // After its end a group of a pair goes on where the next pair's begins.
            let whole = groups[0].len();
            let beyond = if index * F::CHUNK + AHEAD < whole {
                0
            } else {
                (GROUPS - 1) * whole
            };
            for chunk in chunks {
                prefetch::<F>(chunk.wrapping_add(beyond));
            }
        }
        // SAFETY: the chunks are whole, the input has a block for each of their parts, and each group
        // has sixteen sums for each row.
        unsafe {
            let mut heads = [F::head(chunks[0]); GROUPS];
            if GROUPS > 1 {
                heads[GROUPS - 1] = F::head(chunks[GROUPS - 1]);
            }
            for part in 0..F::PARTS {
                let unpacked = Unpacked::<F, GROUPS>::of(chunks, &heads, part);
                let rows = Rows::of(input, index * F::PARTS + part, range.clone());
                let mut row = 0;
                while GROUPS == 1 && !F::HALVES && row + TILE <= count {
                    unpacked.tile::<TILE>(&rows, row, sums.add(row * LANES), stride);
                    row += TILE;
                }
                while row + TILE_OF_TWO <= count {
                    unpacked.tile::<TILE_OF_TWO>(&rows, row, sums.add(row * LANES), stride);
                    row += TILE_OF_TWO;
                }
                while row < count {
                    unpacked.tile::<1>(&rows, row, sums.add(row * LANES), stride);
                    row += 1;
                }
            }
        }
    }
}

/// The same part of all groups.
struct Unpacked<F: Format, const GROUPS: usize> {
    quads: [[__m512i; QUADS]; GROUPS],
    scales: [F::Scales; GROUPS],
}

impl<F: Format, const GROUPS: usize> Unpacked<F, GROUPS> {
    /// # Safety
    /// AVX-512 with VNNI, chunks, their heads, and one of their parts.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn of(chunks: [*const u8; GROUPS], heads: &[F::Head; GROUPS], part: usize) -> Self {
        let mut quads = [[_mm512_set1_epi32(0); QUADS]; GROUPS];
        // Loops, because the compiler does not put closures with vector instructions in line.
        for (quads, chunk) in quads.iter_mut().zip(chunks) {
            // SAFETY: as the caller promises.
            for (place, quad) in quads.iter_mut().zip(unsafe { F::quads(chunk, part) }) {
                *place = kept(quad);
            }
        }
        // SAFETY: as the caller promises; there are one or two groups.
        unsafe {
            let mut scales = [F::scales(chunks[0], &heads[0], part); GROUPS];
            if GROUPS > 1 {
                scales[GROUPS - 1] = F::scales(chunks[GROUPS - 1], &heads[GROUPS - 1], part);
            }
            Self { quads, scales }
        }
    }

    /// Adds the products with `COUNT` rows: as many sums as can be computed side by side while the
    /// weights stay in registers.
    ///
    /// # Safety
    /// The rows, and for each group and row sixteen sums.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn tile<const COUNT: usize>(&self, rows: &Rows, first: usize, sums: *mut f32, stride: usize) {
        // SAFETY: as the caller promises.
        unsafe {
            let mut dots = [[[_mm512_set1_epi32(0); 2]; GROUPS]; COUNT];
            for (row, dots) in dots.iter_mut().enumerate() {
                *dots = [F::start(&rows.row(first + row)); GROUPS];
            }
            for quad in 0..QUADS {
                let half = if F::HALVES { quad / (QUADS / 2) } else { 0 };
                for (row, dots) in dots.iter_mut().enumerate() {
                    let values = rows.row(first + row).quad(quad);
                    for (dots, quads) in dots.iter_mut().zip(&self.quads) {
                        dots[half] = _mm512_dpbusd_epi32(dots[half], quads[quad], values);
                    }
                }
            }
            for (index, dots) in dots.iter().enumerate() {
                let row = rows.row(first + index);
                for (group, (dots, scales)) in dots.iter().zip(&self.scales).enumerate() {
                    let sums = sums.add(index * LANES + group * stride);
                    let total = F::add(scales, *dots, &row, _mm512_loadu_ps(sums));
                    _mm512_storeu_ps(sums, total);
                }
            }
        }
    }
}

/// The same bytes, of which the compiler does not know how they came about: it would rather unpack
/// them again for each row than keep them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn kept(mut quad: __m512i) -> __m512i {
    // SAFETY: no instruction.
    unsafe { asm!("/* {0} */", inout(zmm_reg) quad, options(pure, nomem, nostack, preserves_flags)) };
    quad
}

/// Asks for the weights that come a few chunks later.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(in super::super) fn prefetch<F: Format>(chunk: *const u8) {
    for line in 0..F::CHUNK.div_ceil(64) {
        _mm_prefetch::<_MM_HINT_T0>(chunk.wrapping_add(AHEAD + line * 64).cast());
    }
}

/// The bytes of a quad.
///
/// # Safety
/// AVX-512, and 64 bytes at `place`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn load(place: *const u8) -> __m512i {
    // SAFETY: 64 bytes are there.
    unsafe { _mm512_loadu_si512(place.cast()) }
}

/// Sixteen scales in f16.
///
/// # Safety
/// AVX-512, and 32 bytes at `place`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn scales(place: *const u8) -> __m512 {
    // SAFETY: 32 bytes are there.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(place.cast()) })
}

/// Whole numbers as floats.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn float(numbers: __m512i) -> __m512 {
    _mm512_cvtepi32_ps(numbers)
}
