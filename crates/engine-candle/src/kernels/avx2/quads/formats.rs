//! The formats, as `layout.rs` puts them into chunks.

use std::arch::x86_64::{
    __m256, __m256i, _mm_loadl_epi64, _mm_loadu_si128, _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256,
    _mm256_cvtepi8_epi16, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32, _mm256_fnmadd_ps, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_or_si256, _mm256_set1_epi8, _mm256_set1_epi16,
    _mm256_shufflehi_epi16, _mm256_shufflelo_epi16, _mm256_slli_epi16, _mm256_slli_epi32, _mm256_srli_epi16,
    _mm256_sub_epi32,
};

use super::super::super::layout::{LANES, PARTS, QUAD, SCALES};
use super::{Format, QUADS, Row, load, scales};

/// Bytes of a side of a quad, and of its scales.
const SIDE: usize = QUAD / 2;
const SIDE_SCALES: usize = SCALES / 2;

/// Codes of 4 bits, less 8.
pub(in super::super) struct Q4_0 {
    quads: [__m256i; QUADS],
    scales: __m256,
}

impl Format for Q4_0 {
    const CHUNK: usize = LANES * 18;
    const PARTS: usize = 1;
    type Head = __m256;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn head(chunk: *const u8, side: usize) -> __m256 {
        // SAFETY: a chunk begins with its scales.
        unsafe { scales(chunk.add(side * SIDE_SCALES)) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(chunk: *const u8, side: usize, head: &__m256, _: usize) -> Self {
        // SAFETY: a chunk has its scales and four quads.
        unsafe {
            Self {
                quads: nibbles(chunk.add(SCALES + side * SIDE)),
                scales: *head,
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn half<const HALF: usize>(&self, row: &Row) -> __m256i {
        products::<HALF>(&self.quads, row)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn add(&self, halves: [__m256i; 2], row: &Row, total: __m256) -> __m256 {
        // 8 times two products of at most 15 * 128 are at most 30720.
        let sums = _mm256_add_epi16(halves[0], halves[1]);
        let dots = _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
        let offset = _mm256_madd_epi16(row.sums, _mm256_set1_epi16(8));
        row.scaled(_mm256_sub_epi32(dots, offset), self.scales, total)
    }
}

/// Codes of 5 bits, less 16.
pub(in super::super) struct Q5_0 {
    quads: [__m256i; QUADS],
    scales: __m256,
}

impl Format for Q5_0 {
    const CHUNK: usize = LANES * 22;
    const PARTS: usize = 1;
    type Head = __m256;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn head(chunk: *const u8, side: usize) -> __m256 {
        // SAFETY: a chunk begins with its scales.
        unsafe { scales(chunk.add(side * SIDE_SCALES)) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(chunk: *const u8, side: usize, head: &__m256, _: usize) -> Self {
        // SAFETY: a chunk has its scales, a quad of fifth bits and four quads.
        unsafe {
            let place = chunk.add(SCALES + side * SIDE);
            let fifth = load(place);
            let mut quads = nibbles(place.add(QUAD));
            let bit = |code: i8| _mm256_and_si256(fifth, _mm256_set1_epi8(code));
            let fifths = [
                _mm256_slli_epi16::<4>(bit(1)),
                _mm256_slli_epi16::<3>(bit(2)),
                _mm256_slli_epi16::<2>(bit(4)),
                _mm256_slli_epi16::<1>(bit(8)),
                bit(16),
                _mm256_srli_epi16::<1>(bit(32)),
                _mm256_srli_epi16::<2>(bit(64)),
                _mm256_srli_epi16::<3>(bit(i8::MIN)),
            ];
            for (quad, fifth) in quads.iter_mut().zip(fifths) {
                *quad = _mm256_or_si256(*quad, fifth);
            }
            Self { quads, scales: *head }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn half<const HALF: usize>(&self, row: &Row) -> __m256i {
        products::<HALF>(&self.quads, row)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn add(&self, halves: [__m256i; 2], row: &Row, total: __m256) -> __m256 {
        // 4 times two products of at most 31 * 128 are at most 31744.
        let [first, second] = halves.map(|sums| _mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
        let offset = _mm256_madd_epi16(row.sums, _mm256_set1_epi16(16));
        let dots = _mm256_sub_epi32(_mm256_add_epi32(first, second), offset);
        row.scaled(dots, self.scales, total)
    }
}

/// Codes of 4 bits, times a scale of 6 bits and less a minimum of 6 bits for each part.
pub(in super::super) struct Q4K {
    quads: [__m256i; QUADS],
    scales: __m256,
    minima: __m256,
}

impl Format for Q4K {
    const CHUNK: usize = LANES * (4 + 2 * PARTS + 128);
    const PARTS: usize = PARTS;
    type Head = [__m256; 2];

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn head(chunk: *const u8, side: usize) -> [__m256; 2] {
        // SAFETY: a chunk begins with its scales and those of its minima.
        unsafe {
            let place = chunk.add(side * SIDE_SCALES);
            [scales(place), scales(place.add(SCALES))]
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(chunk: *const u8, side: usize, head: &[__m256; 2], part: usize) -> Self {
        // SAFETY: after the scales a chunk has as many bytes for each part, and 8 quads for each pair
        // of parts.
        unsafe {
            let bytes = |offset: usize| {
                let place = chunk.add((2 + part) * SCALES + offset + side * LANES / 2);
                let bytes = _mm_loadl_epi64(place.cast());
                _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))
            };
            let first = chunk.add((2 + PARTS) * SCALES + part / 2 * QUADS * QUAD + side * SIDE);
            Self {
                quads: if part.is_multiple_of(2) {
                    codes::<0>(first)
                } else {
                    codes::<4>(first)
                },
                scales: _mm256_mul_ps(head[0], bytes(0)),
                minima: _mm256_mul_ps(head[1], bytes(LANES)),
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn half<const HALF: usize>(&self, row: &Row) -> __m256i {
        products::<HALF>(&self.quads, row)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn add(&self, halves: [__m256i; 2], row: &Row, total: __m256) -> __m256 {
        let ones = _mm256_set1_epi16(1);
        // As for Q4_0.
        let dots = _mm256_madd_epi16(_mm256_add_epi16(halves[0], halves[1]), ones);
        let total = row.scaled(dots, self.scales, total);
        let sum = _mm256_cvtepi32_ps(_mm256_madd_epi16(row.sums, ones));
        _mm256_fnmadd_ps(sum, _mm256_mul_ps(self.minima, row.scale), total)
    }
}

/// Codes of 6 bits, less 32, times a scale of 8 bits for each half of a part.
pub(in super::super) struct Q6K {
    quads: [__m256i; QUADS],
    /// The scales of both halves, side by side.
    halves: __m256i,
    scales: __m256,
}

impl Format for Q6K {
    const CHUNK: usize = LANES * 210;
    const PARTS: usize = PARTS;
    type Head = __m256;

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn head(chunk: *const u8, side: usize) -> __m256 {
        // SAFETY: a chunk begins with its scales.
        unsafe { scales(chunk.add(side * SIDE_SCALES)) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn unpack(chunk: *const u8, side: usize, head: &__m256, part: usize) -> Self {
        // SAFETY: after the scales a chunk has as many bytes for each part, and for each half of the
        // parts 16 quads of low and 8 of high bits.
        unsafe {
            let first = chunk.add((1 + PARTS) * SCALES + part / 4 * 24 * QUAD + side * SIDE);
            let second = first.add(QUADS * QUAD);
            let high = first.add(2 * QUADS * QUAD);
            let halves = chunk.add((1 + part) * SCALES + side * SIDE_SCALES);
            Self {
                quads: match part % 4 {
                    0 => with_high_bits(codes::<0>(first), high, |bits| {
                        _mm256_slli_epi16::<4>(_mm256_and_si256(bits, _mm256_set1_epi8(0x03)))
                    }),
                    1 => with_high_bits(codes::<0>(second), high, |bits| {
                        _mm256_slli_epi16::<2>(_mm256_and_si256(bits, _mm256_set1_epi8(0x0c)))
                    }),
                    2 => with_high_bits(codes::<4>(first), high, |bits| {
                        _mm256_and_si256(bits, _mm256_set1_epi8(0x30))
                    }),
                    _ => with_high_bits(codes::<4>(second), high, |bits| {
                        _mm256_and_si256(_mm256_srli_epi16::<2>(bits), _mm256_set1_epi8(0x30))
                    }),
                },
                halves: _mm256_cvtepi8_epi16(_mm_loadu_si128(halves.cast())),
                scales: *head,
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn half<const HALF: usize>(&self, row: &Row) -> __m256i {
        // Two times two products of at most 63 * 128 are at most 32256; 16 of them, times a scale of
        // at most 128, stay below 2^24.
        let scale = if HALF == 0 {
            _mm256_shufflehi_epi16::<0b1010_0000>(_mm256_shufflelo_epi16::<0b1010_0000>(self.halves))
        } else {
            _mm256_shufflehi_epi16::<0b1111_0101>(_mm256_shufflelo_epi16::<0b1111_0101>(self.halves))
        };
        let first = HALF * QUADS / 2;
        // SAFETY: there are 8 quads.
        let products = |quad: usize| unsafe { _mm256_maddubs_epi16(self.quads[quad], row.quad(quad)) };
        let low = _mm256_add_epi16(products(first), products(first + 1));
        let high = _mm256_add_epi16(products(first + 2), products(first + 3));
        _mm256_add_epi32(_mm256_madd_epi16(low, scale), _mm256_madd_epi16(high, scale))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn add(&self, halves: [__m256i; 2], row: &Row, total: __m256) -> __m256 {
        let offset = _mm256_slli_epi32::<5>(_mm256_madd_epi16(row.sums, self.halves));
        let dots = _mm256_sub_epi32(_mm256_add_epi32(halves[0], halves[1]), offset);
        row.scaled(dots, self.scales, total)
    }
}

/// One side of four quads whose low halves are the first four of a part, and whose high halves the others.
///
/// # Safety
/// AVX2, and four quads at `place`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn nibbles(place: *const u8) -> [__m256i; QUADS] {
    let low = _mm256_set1_epi8(15);
    std::array::from_fn(|quad| {
        // SAFETY: there are four quads.
        let both = unsafe { load(place.add(quad % 4 * QUAD)) };
        if quad < 4 {
            _mm256_and_si256(both, low)
        } else {
            _mm256_and_si256(_mm256_srli_epi16::<4>(both), low)
        }
    })
}

/// One side of eight quads of four bits of each byte: the low ones, or those from bit 4 on.
///
/// # Safety
/// AVX2, and eight quads at `place`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn codes<const SHIFT: i32>(place: *const u8) -> [__m256i; QUADS] {
    std::array::from_fn(|quad| {
        // SAFETY: there are eight quads.
        let both = unsafe { load(place.add(quad * QUAD)) };
        let shifted = if SHIFT == 0 {
            both
        } else {
            _mm256_srli_epi16::<SHIFT>(both)
        };
        _mm256_and_si256(shifted, _mm256_set1_epi8(15))
    })
}

/// Adds to each quad what `select` makes of the one of high bits.
///
/// # Safety
/// AVX2, and eight quads at `place`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn with_high_bits(
    mut quads: [__m256i; QUADS],
    place: *const u8,
    select: impl Fn(__m256i) -> __m256i,
) -> [__m256i; QUADS] {
    for (index, quad) in quads.iter_mut().enumerate() {
        // SAFETY: there are eight quads.
        let bits = unsafe { load(place.add(index * QUAD)) };
        *quad = _mm256_or_si256(*quad, select(bits));
    }
    quads
}

/// The products of one half of a part, added in i16.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn products<const HALF: usize>(quads: &[__m256i; QUADS], row: &Row) -> __m256i {
    let first = HALF * QUADS / 2;
    // SAFETY: there are 8 quads.
    let products = |quad: usize| unsafe { _mm256_maddubs_epi16(quads[quad], row.quad(quad)) };
    _mm256_add_epi16(
        _mm256_add_epi16(products(first), products(first + 1)),
        _mm256_add_epi16(products(first + 2), products(first + 3)),
    )
}
