//! One product: its work cut into tiles and shared among threads.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::avx2;
use super::input::{Input, Rounded};
use super::layout::{MOST_LANES, is_quantised, lanes};
use super::{PackedMatrix, scalar};

/// Input rows that are multiplied while a group of weight rows is at hand. With wide inputs (4864
/// columns in int8) as many fit the second-level cache, and their sums the first.
const TILE_ROWS: usize = 64;
/// Multiplications below which handing work to other threads costs more than it saves.
const MIN_PARALLEL_WORK: usize = 1 << 18;
/// Pieces of work for each thread: enough that one that is interrupted does not hold up the rest.
const PIECES_PER_THREAD: usize = 4;

/// Where a product goes: element `n` of row `r` is `data[r * stride + offset + n]`. The parts of one
/// layer write side by side.
pub(crate) struct OutputColumns<'data> {
    pub(crate) data: &'data mut [f32],
    pub(crate) stride: usize,
    pub(crate) offset: usize,
}

impl<'data> OutputColumns<'data> {
    /// Rows of `columns` elements and nothing between them.
    pub(crate) fn whole(data: &'data mut [f32], columns: usize) -> Self {
        Self {
            data,
            stride: columns,
            offset: 0,
        }
    }
}

/// The instructions that products are computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// None but the compiler's; with fused additions where these are an instruction, as on 64-bit
    /// ARM.
    Scalar { fused: bool },
    /// AVX2, FMA and F16C; only of a processor that has them.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Path {
    /// The best one that this processor has.
    pub(super) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if avx2::is_available() {
            return Self::Avx2;
        }
        Self::Scalar {
            fused: cfg!(target_arch = "aarch64"),
        }
    }
}

/// The input in the form that a path reads.
#[derive(Clone, Copy)]
enum Operand<'data> {
    Floats(&'data [f32]),
    /// With the same values in i16 where the path reads those, else none.
    Rounded(&'data Rounded, &'data [i16]),
}

impl PackedMatrix {
    /// Computes `output[r][n] = input row r . weight row n` for all rows, on the threads of the rayon
    /// pool that the calling thread belongs to.
    ///
    /// # Panics
    /// When the input's rows are not as long as the weight's, or the output is too small.
    pub(crate) fn multiply(&self, input: &Input<'_>, output: OutputColumns<'_>) {
        self.multiply_with(Path::best(), input, output);
    }

    pub(super) fn multiply_with(&self, path: Path, input: &Input<'_>, output: OutputColumns<'_>) {
        assert_eq!(input.columns(), self.columns, "inner dimensions");
        if input.rows() == 0 || self.rows == 0 {
            return;
        }
        let operand = self.operand(path, input);
        let target = Target::new(output, input.rows(), self.rows);
        let groups = self.groups();
        let threads = rayon::current_num_threads();
        for start in (0..input.rows()).step_by(TILE_ROWS) {
            let rows = start..input.rows().min(start + TILE_ROWS);
            if threads == 1 || rows.len() * self.rows * self.columns < MIN_PARALLEL_WORK {
                self.multiply_tile(path, operand, 0..groups, rows, &target);
                continue;
            }
            let pieces = groups.min(threads * PIECES_PER_THREAD);
            (0..pieces).into_par_iter().with_max_len(1).for_each(|piece| {
                let groups = piece * groups / pieces..(piece + 1) * groups / pieces;
                self.multiply_tile(path, operand, groups, rows.clone(), &target);
            });
        }
    }

    fn operand<'data>(&self, path: Path, input: &'data Input<'_>) -> Operand<'data> {
        if !is_quantised(self.format) {
            return Operand::Floats(input.values());
        }
        match path {
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 if avx2::reads_words(self.format) => {
                Operand::Rounded(input.rounded(), input.widened())
            }
            _ => Operand::Rounded(input.rounded(), &[]),
        }
    }

    /// Multiplies a tile of input rows with some groups of weight rows.
    fn multiply_tile(
        &self,
        path: Path,
        operand: Operand<'_>,
        groups: Range<usize>,
        rows: Range<usize>,
        target: &Target<'_>,
    ) {
        let lanes = lanes(self.format);
        // Two groups of 8 rows share what is read of the input.
        let step = MOST_LANES / lanes;
        let mut sums = [0.0; TILE_ROWS * MOST_LANES];
        for first in groups.clone().step_by(step) {
            let indices = first..groups.end.min(first + step);
            let sums = &mut sums[..indices.len() * rows.len() * lanes];
            self.multiply_groups(path, operand, indices.clone(), rows.clone(), sums);
            for (index, sums) in indices.zip(sums.chunks_exact(rows.len() * lanes)) {
                let columns = index * lanes..self.rows.min((index + 1) * lanes);
                for (row, sums) in rows.clone().zip(sums.chunks_exact(lanes)) {
                    // SAFETY: the row is one of the input's and the columns are those of this group,
                    // which no other thread has.
                    #[expect(unsafe_code, reason = "threads write different columns of the same rows")]
                    unsafe {
                        target.write(row, columns.start, &sums[..columns.len()]);
                    }
                }
            }
        }
    }

    /// Multiplies one or two groups; `sums` has a value for each group, row and lane.
    fn multiply_groups(
        &self,
        path: Path,
        operand: Operand<'_>,
        groups: Range<usize>,
        rows: Range<usize>,
        sums: &mut [f32],
    ) {
        #[cfg(target_arch = "x86_64")]
        if let (Path::Avx2, Operand::Rounded(input, _), 2) = (path, operand, groups.len()) {
            let pair = [self.group(groups.start), self.group(groups.start + 1)];
            // SAFETY: as in `multiply_group`.
            #[expect(unsafe_code, reason = "vector instructions")]
            unsafe {
                avx2::quantised_pair(self.format, pair, input, rows, sums);
            }
            return;
        }
        let lanes = lanes(self.format);
        for (index, sums) in groups.zip(sums.chunks_exact_mut(rows.len() * lanes)) {
            self.multiply_group(path, operand, self.group(index), rows.clone(), sums);
        }
    }

    fn multiply_group(
        &self,
        path: Path,
        operand: Operand<'_>,
        group: &[u8],
        rows: Range<usize>,
        sums: &mut [f32],
    ) {
        let format = self.format;
        match (path, operand) {
            (Path::Scalar { fused: false }, Operand::Floats(input)) => {
                scalar::floats::<false>(format, group, input, rows, sums);
            }
            (Path::Scalar { fused: true }, Operand::Floats(input)) => {
                scalar::floats::<true>(format, group, input, rows, sums);
            }
            (Path::Scalar { fused: false }, Operand::Rounded(input, _)) => {
                scalar::quantised::<false>(format, group, input, rows, sums);
            }
            (Path::Scalar { fused: true }, Operand::Rounded(input, _)) => {
                scalar::quantised::<true>(format, group, input, rows, sums);
            }
            // SAFETY: the path is only taken on processors that have the instructions; the shapes
            // were checked at the beginning of the product.
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "vector instructions")]
            (Path::Avx2, Operand::Floats(input)) => unsafe {
                avx2::floats(format, group, input, rows, sums);
            },
            // SAFETY: as above; the input's values are there in i16 if the format asks for them.
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "vector instructions")]
            (Path::Avx2, Operand::Rounded(input, words)) => unsafe {
                avx2::quantised(format, group, input, words, rows, sums);
            },
        }
    }
}

/// An output that several threads write, each to columns of its own.
struct Target<'data> {
    data: *mut f32,
    rows: usize,
    columns: usize,
    stride: usize,
    borrow: PhantomData<&'data mut [f32]>,
}

// SAFETY: `write` asks its callers to keep the threads' columns apart.
#[expect(unsafe_code, reason = "threads write different columns of the same rows")]
unsafe impl Sync for Target<'_> {}

impl<'data> Target<'data> {
    fn new(output: OutputColumns<'data>, rows: usize, columns: usize) -> Self {
        let OutputColumns { data, stride, offset } = output;
        assert!(
            offset + columns <= stride && (rows - 1) * stride + offset + columns <= data.len(),
            "the product of {rows} rows and {columns} columns lies inside the output"
        );
        Self {
            data: data[offset..].as_mut_ptr(),
            rows,
            columns,
            stride,
            borrow: PhantomData,
        }
    }

    /// Writes a part of a row, from column `start`.
    ///
    /// # Safety
    /// No other thread writes these columns of this row.
    #[expect(unsafe_code, reason = "threads write different columns of the same rows")]
    unsafe fn write(&self, row: usize, start: usize, values: &[f32]) {
        assert!(
            row < self.rows && start + values.len() <= self.columns,
            "a part of the product"
        );
        // SAFETY: `new` checked that all rows and columns lie inside the borrowed output, and the
        // assertion that these are among them; the caller sees to it that no one else writes there.
        unsafe {
            let place = self.data.add(row * self.stride + start);
            std::ptr::copy_nonoverlapping(values.as_ptr(), place, values.len());
        }
    }
}
