//! The input's rows, as the inner loops read them.

use std::arch::x86_64::{__m512, __m512i, _mm512_fmadd_ps, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps};
use std::ops::Range;

use super::super::super::blocks::BLOCK;
use super::super::super::input::Rounded;

/// One block of consecutive input rows.
#[derive(Clone, Copy)]
pub(in super::super::super) struct Rows {
    values: *const [i8; BLOCK],
    scales: *const f32,
    sums: *const [u8; 4],
    offsets: *const i32,
    totals: *const f32,
}

impl Rows {
    /// # Safety
    /// The input has `rows`, and `block`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(in super::super::super) unsafe fn of(input: &Rounded, block: usize, rows: Range<usize>) -> Self {
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
                offsets: input.offsets.as_ptr().add(first),
                totals: input.totals.as_ptr().add(first),
            }
        }
    }

    /// # Safety
    /// There is such a row.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(in super::super::super) unsafe fn row(&self, index: usize) -> Row {
        // SAFETY: as the caller promises.
        unsafe {
            Row {
                values: self.values.add(index).cast(),
                scale: self.scales.add(index),
                sums: self.sums.add(index),
                offset: self.offsets.add(index),
                total: self.totals.add(index),
            }
        }
    }

    /// The values of the first row; those of the next ones follow.
    pub(in super::super::super) fn values(&self) -> *const i8 {
        self.values.cast()
    }

    /// The scale of the first row; those of the next ones follow.
    pub(in super::super::super) fn scales(&self) -> *const f32 {
        self.scales
    }

    /// The sum of the first row's values; those of the next ones follow.
    pub(in super::super::super) fn totals(&self) -> *const f32 {
        self.totals
    }
}

/// A block of an input row: places that exist as long as the input.
pub(in super::super::super) struct Row {
    /// Its 32 values.
    values: *const [u8; 4],
    scale: *const f32,
    /// The sums of its halves, two i16.
    sums: *const [u8; 4],
    offset: *const i32,
    /// The sum of its values.
    total: *const f32,
}

impl Row {
    /// Four values, in every lane.
    ///
    /// # Safety
    /// A row, and `quad` is below 8.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) unsafe fn quad(&self, quad: usize) -> __m512i {
        // SAFETY: the row has 8 quads.
        let values = unsafe { self.values.add(quad).read() };
        _mm512_set1_epi32(i32::from_ne_bytes(values))
    }

    /// The sums of its halves, side by side in every lane.
    ///
    /// # Safety
    /// A row.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) unsafe fn sums(&self) -> __m512i {
        // SAFETY: two i16 are read as four bytes.
        _mm512_set1_epi32(i32::from_ne_bytes(unsafe { self.sums.read() }))
    }

    /// The sum of its values times -128, in every lane.
    ///
    /// # Safety
    /// A row.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) unsafe fn offset(&self) -> __m512i {
        // SAFETY: a row has one.
        _mm512_set1_epi32(unsafe { *self.offset })
    }

    /// The sum of its values, in every lane.
    ///
    /// # Safety
    /// A row.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) unsafe fn total(&self) -> __m512 {
        // SAFETY: a row has one.
        _mm512_set1_ps(unsafe { *self.total })
    }

    /// Its scale, in every lane.
    ///
    /// # Safety
    /// A row.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) unsafe fn scale(&self) -> __m512 {
        // SAFETY: a row has one.
        _mm512_set1_ps(unsafe { *self.scale })
    }

    /// Adds whole numbers in f32, times the scale of the weights and of the row.
    ///
    /// # Safety
    /// A row.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(super) unsafe fn scaled(&self, dots: __m512, scales: __m512, total: __m512) -> __m512 {
        // SAFETY: as the caller promises.
        let scales = _mm512_mul_ps(scales, unsafe { self.scale() });
        _mm512_fmadd_ps(dots, scales, total)
    }
}
