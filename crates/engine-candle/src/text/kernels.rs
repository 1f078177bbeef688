//! Matrix products on the CPU with a bounded number of threads.
//!
//! candle's own product asks the operating system for the number of cores on every call and takes
//! all of them; an engine may only use the threads of its own pool (the rayon pool that the
//! calling thread belongs to), so that a busy model leaves room for everything else.

#![expect(
    clippy::inline_always,
    reason = "the inner loops must be compiled with their caller's instructions"
)]

use gemm::Parallelism;
use half::bf16;
use rayon::prelude::*;

/// Up to this many rows a product reads each weight once and is limited by memory; above, blocked
/// products win.
const FEW_ROWS: usize = 4;
/// Multiplications below which handing work to other threads costs more than it saves.
const MIN_PARALLEL_WORK: usize = 1 << 15;
/// Weight rows widened to f32 at a time: with a typical width this fits the second-level cache.
const WIDENED_ROWS: usize = 128;
/// Partial sums per dot product: enough independent chains to hide the latency of an addition.
const LANES: usize = 32;

/// A stored weight that widens to f32 without loss.
pub(crate) trait Weight: Copy + Send + Sync {
    fn widen(self) -> f32;

    /// As [`multiply`], for many rows.
    fn multiply_many(input: Matrix<'_, f32>, weight: Matrix<'_, Self>, output: &mut [f32]);
}

impl Weight for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    fn multiply_many(input: Matrix<'_, f32>, weight: Matrix<'_, Self>, output: &mut [f32]) {
        let threads = match rayon::current_num_threads() {
            1 => Parallelism::None,
            count => Parallelism::Rayon(count),
        };
        let target = Target {
            data: output,
            row_stride: weight.rows,
        };
        product(Operand::of(input), Operand::transposed(weight), target, threads);
    }
}

impl Weight for bf16 {
    // Spelled out, since the crate's own conversion handles NaN with a branch that keeps the
    // compiler from using vector instructions.
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    fn multiply_many(input: Matrix<'_, f32>, weight: Matrix<'_, Self>, output: &mut [f32]) {
        let width = input.columns;
        // Each block writes its own columns of the output; gathering them in a block of its own
        // first keeps the threads' writes apart without unsafe code.
        let blocks: Vec<Vec<f32>> = weight
            .data
            .par_chunks(WIDENED_ROWS * width)
            .map_init(Vec::new, |widened, block| {
                widened.clear();
                widened.extend(block.iter().map(|weight| weight.widen()));
                let rows = block.len() / width;
                let mut result = vec![0.0; input.rows * rows];
                let weight = Matrix {
                    data: widened.as_slice(),
                    rows,
                    columns: width,
                };
                let target = Target {
                    data: &mut result,
                    row_stride: rows,
                };
                product(
                    Operand::of(input),
                    Operand::transposed(weight),
                    target,
                    Parallelism::None,
                );
                result
            })
            .collect();
        for (block, result) in blocks.iter().enumerate() {
            let start = block * WIDENED_ROWS;
            let rows = WIDENED_ROWS.min(weight.rows - start);
            for (source, target) in result
                .chunks_exact(rows)
                .zip(output.chunks_exact_mut(weight.rows))
            {
                target[start..start + rows].copy_from_slice(source);
            }
        }
    }
}

/// A row-major matrix that is `rows` times `columns` long.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'data, T> {
    pub(crate) data: &'data [T],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

/// Computes `output[r][n] = sum over k of input[r][k] * weight[n][k]`. `output` has
/// `input.rows * weight.rows` elements, row by row.
pub(crate) fn multiply<T: Weight>(input: Matrix<'_, f32>, weight: Matrix<'_, T>, output: &mut [f32]) {
    debug_assert_eq!(input.columns, weight.columns, "inner dimensions");
    debug_assert_eq!(output.len(), input.rows * weight.rows, "output size");
    if input.rows <= FEW_ROWS {
        multiply_few(input, weight, output);
    } else {
        T::multiply_many(input, weight, output);
    }
}

/// For few rows: every weight row is read once and dotted with all input rows.
fn multiply_few<T: Weight>(input: Matrix<'_, f32>, weight: Matrix<'_, T>, output: &mut [f32]) {
    for row in 0..input.rows {
        let input = &input.data[row * input.columns..][..input.columns];
        let output = &mut output[row * weight.rows..][..weight.rows];
        if weight.rows * weight.columns < MIN_PARALLEL_WORK || rayon::current_num_threads() == 1 {
            dot_rows(weight.data, input, output);
            continue;
        }
        let rows = (MIN_PARALLEL_WORK / weight.columns)
            .max(weight.rows.div_ceil(rayon::current_num_threads() * 4))
            .max(1);
        output
            .par_chunks_mut(rows)
            .zip(weight.data.par_chunks(rows * weight.columns))
            .for_each(|(output, weight)| dot_rows(weight, input, output));
    }
}

/// One factor of a product: `rows` times `columns` elements at the given strides.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'data> {
    pub(crate) data: &'data [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

impl<'data> Operand<'data> {
    fn of(matrix: Matrix<'data, f32>) -> Self {
        let Matrix { data, rows, columns } = matrix;
        Self {
            data,
            rows,
            columns,
            row_stride: columns,
            column_stride: 1,
        }
    }

    fn transposed(matrix: Matrix<'data, f32>) -> Self {
        let Matrix { data, rows, columns } = matrix;
        Self {
            data,
            rows: columns,
            columns: rows,
            row_stride: 1,
            column_stride: columns,
        }
    }

    /// The number of elements from the first to the last one, both included.
    fn span(&self) -> usize {
        if self.rows == 0 || self.columns == 0 {
            return 0;
        }
        (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride + 1
    }
}

/// Where a product goes: rows of consecutive elements.
pub(crate) struct Target<'data> {
    pub(crate) data: &'data mut [f32],
    pub(crate) row_stride: usize,
}

/// Computes `target = left * right`.
#[expect(
    clippy::needless_pass_by_value,
    reason = "a target is a mutable borrow, used up by one product"
)]
pub(crate) fn product(left: Operand<'_>, right: Operand<'_>, target: Target<'_>, threads: Parallelism) {
    let (rows, inner, columns) = (left.rows, left.columns, right.columns);
    if rows == 0 || columns == 0 {
        return;
    }
    assert_eq!(inner, right.rows, "inner dimensions");
    assert!(
        left.span() <= left.data.len() && right.span() <= right.data.len(),
        "factors lie inside their data"
    );
    let last = (rows - 1) * target.row_stride + columns;
    assert!(
        columns <= target.row_stride && last <= target.data.len(),
        "the target lies inside its data"
    );
    #[expect(
        clippy::cast_possible_wrap,
        reason = "strides are smaller than the length of a slice"
    )]
    let stride = |value: usize| value as isize;
    // SAFETY: the three assertions above bound every element that the product reads or writes by
    // the slices it borrows, the target is borrowed exclusively, and its rows do not overlap.
    #[expect(
        unsafe_code,
        reason = "the product takes raw pointers; its bounds are asserted above"
    )]
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            target.data.as_mut_ptr(),
            1,
            stride(target.row_stride),
            false,
            left.data.as_ptr(),
            stride(left.column_stride),
            stride(left.row_stride),
            right.data.as_ptr(),
            stride(right.column_stride),
            stride(right.row_stride),
            0.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

/// `output[n] = weight row n . input`, with the best instructions this processor has.
fn dot_rows<T: Weight>(weight: &[T], input: &[f32], output: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        // SAFETY: the processor has the features that the function is compiled for.
        #[expect(unsafe_code, reason = "the instructions were checked for in the line above")]
        unsafe {
            dot_rows_avx2(weight, input, output);
        }
        return;
    }
    dot_rows_with::<T, { cfg!(target_arch = "aarch64") }>(weight, input, output);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn dot_rows_avx2<T: Weight>(weight: &[T], input: &[f32], output: &mut [f32]) {
    dot_rows_with::<T, true>(weight, input, output);
}

/// Written so that the compiler turns it into vector code of whatever it is compiled for.
#[inline(always)]
fn dot_rows_with<T: Weight, const FUSED: bool>(weight: &[T], input: &[f32], output: &mut [f32]) {
    for (output, row) in output.iter_mut().zip(weight.chunks_exact(input.len())) {
        let (row_blocks, row_rest) = row.as_chunks::<LANES>();
        let (input_blocks, input_rest) = input.as_chunks::<LANES>();
        let mut sums = [0.0_f32; LANES];
        for (row, input) in row_blocks.iter().zip(input_blocks) {
            for lane in 0..LANES {
                sums[lane] = multiply_add::<FUSED>(row[lane].widen(), input[lane], sums[lane]);
            }
        }
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                sums[lane] += sums[lane + width];
            }
            width /= 2;
        }
        let rest = row_rest
            .iter()
            .zip(input_rest)
            .map(|(weight, input)| weight.widen() * input);
        *output = sums[0] + rest.sum::<f32>();
    }
}

#[inline(always)]
fn multiply_add<const FUSED: bool>(left: f32, right: f32, sum: f32) -> f32 {
    // Without the instruction a fused operation would be a slow library call.
    if FUSED {
        left.mul_add(right, sum)
    } else {
        left * right + sum
    }
}

#[cfg(test)]
mod tests;
