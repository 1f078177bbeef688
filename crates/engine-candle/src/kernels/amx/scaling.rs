//! What becomes of a tile's integers.

use std::arch::asm;
use std::arch::x86_64::__m512;

use super::super::avx512::quads::{Format, Q4_0, Q4K, Q5_0, Q6K, Q8_0, Rows};
use super::{Dots, TILE_ROWS};

/// How the integers of a part with 16 rows are scaled and added to the rows' totals: what
/// [`Format::add`] does for one row. In assembly, because the compiler would rather spill the totals.
pub(super) trait TileFormat: Format {
    /// # Safety
    /// AVX-512, the integers of 16 rows, and the rows.
    unsafe fn add_tile(
        scales: &Self::Scales,
        dots: *const Dots,
        rows: &Rows,
        totals: &mut [__m512; TILE_ROWS],
    );
}

/// Assembly for each of 16 rows, whose totals are registers 16 to 31.
macro_rules! for_rows {
    ($totals:expr, $line:ident, $($operands:tt)*) => {
        asm!(
            $line!(0, 16), $line!(1, 17), $line!(2, 18), $line!(3, 19),
            $line!(4, 20), $line!(5, 21), $line!(6, 22), $line!(7, 23),
            $line!(8, 24), $line!(9, 25), $line!(10, 26), $line!(11, 27),
            $line!(12, 28), $line!(13, 29), $line!(14, 30), $line!(15, 31),
            inout("zmm16") $totals[0], inout("zmm17") $totals[1], inout("zmm18") $totals[2],
            inout("zmm19") $totals[3], inout("zmm20") $totals[4], inout("zmm21") $totals[5],
            inout("zmm22") $totals[6], inout("zmm23") $totals[7], inout("zmm24") $totals[8],
            inout("zmm25") $totals[9], inout("zmm26") $totals[10], inout("zmm27") $totals[11],
            inout("zmm28") $totals[12], inout("zmm29") $totals[13], inout("zmm30") $totals[14],
            inout("zmm31") $totals[15],
            out("zmm0") _, out("zmm1") _, out("zmm2") _,
            $($operands)*
            options(nostack, readonly),
        )
    };
}

/// `total += float(dots) * (scales * row scale)`
macro_rules! scaled {
    ($row:literal, $total:literal) => {
        concat!(
            "vcvtdq2ps zmm0, [{dots} + 64*",
            $row,
            "]\n",
            "vmulps zmm1, {scales}, dword ptr [{rows} + 4*",
            $row,
            "]{{1to16}}\n",
            "vfmadd231ps zmm",
            $total,
            ", zmm0, zmm1",
        )
    };
}

/// As `scaled`, then `total -= sum of the row * (minima * row scale)`
macro_rules! less_minimum {
    ($row:literal, $total:literal) => {
        concat!(
            scaled!($row, $total),
            "\nvmulps zmm2, {minima}, dword ptr [{rows} + 4*",
            $row,
            "]{{1to16}}\n",
            "vfnmadd231ps zmm",
            $total,
            ", zmm2, dword ptr [{sums} + 4*",
            $row,
            "]{{1to16}}",
        )
    };
}

/// `total += (float(first dots) * first + float(second dots) * second) * (scales * row scale)`
macro_rules! two_halves {
    ($row:literal, $total:literal) => {
        concat!(
            "vcvtdq2ps zmm1, [{dots} + 1024 + 64*",
            $row,
            "]\n",
            "vcvtdq2ps zmm0, [{dots} + 64*",
            $row,
            "]\n",
            "vmulps zmm1, zmm1, {second}\n",
            "vfmadd132ps zmm0, zmm1, {first}\n",
            "vmulps zmm1, {scales}, dword ptr [{rows} + 4*",
            $row,
            "]{{1to16}}\n",
            "vfmadd231ps zmm",
            $total,
            ", zmm0, zmm1",
        )
    };
}

macro_rules! one_scale {
    ($($format:ident),*) => {
        $(impl TileFormat for $format {
            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
            unsafe fn add_tile(
                scales: &__m512,
                dots: *const Dots,
                rows: &Rows,
                totals: &mut [__m512; TILE_ROWS],
            ) {
                // SAFETY: the integers of 16 rows are there, and the scales of as many.
                unsafe {
                    for_rows!(
                        totals,
                        scaled,
                        dots = in(reg) dots,
                        rows = in(reg) rows.scales(),
                        scales = in(zmm_reg) *scales,
                    );
                }
            }
        })*
    };
}

one_scale!(Q8_0, Q4_0, Q5_0);

impl TileFormat for Q4K {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn add_tile(
        [scales, minima]: &[__m512; 2],
        dots: *const Dots,
        rows: &Rows,
        totals: &mut [__m512; TILE_ROWS],
    ) {
        // SAFETY: the integers of 16 rows are there, and the scales and sums of as many.
        unsafe {
            for_rows!(
                totals,
                less_minimum,
                dots = in(reg) dots,
                rows = in(reg) rows.scales(),
                sums = in(reg) rows.totals(),
                scales = in(zmm_reg) *scales,
                minima = in(zmm_reg) *minima,
            );
        }
    }
}

impl TileFormat for Q6K {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn add_tile(
        [scales, first, second]: &[__m512; 3],
        dots: *const Dots,
        rows: &Rows,
        totals: &mut [__m512; TILE_ROWS],
    ) {
        // SAFETY: the integers of both halves of 16 rows are there, and the scales of as many.
        unsafe {
            for_rows!(
                totals,
                two_halves,
                dots = in(reg) dots,
                rows = in(reg) rows.scales(),
                scales = in(zmm_reg) *scales,
                first = in(zmm_reg) *first,
                second = in(zmm_reg) *second,
            );
        }
    }
}
