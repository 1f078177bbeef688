//! `y += B (A x)` for some rows.

#![expect(
    clippy::inline_always,
    reason = "the inner loops must be compiled with their caller's instructions"
)]

/// Elements of a sum of products that are computed side by side.
const SUMS: usize = 32;
/// Outputs that are computed side by side.
const LANES: usize = 16;

/// What an adapter adds to some of the outputs of a product.
pub(super) struct Delta {
    /// The first of these outputs.
    first: usize,
    inputs: usize,
    outputs: usize,
    /// `[rank, inputs]`.
    down: Vec<f32>,
    /// In pieces of [`LANES`] outputs, `[rank, LANES]` each; the last one is filled up with zeros.
    up: Vec<[f32; LANES]>,
}

/// An input row and the output row that is added to.
pub(super) type Row<'pass> = (&'pass [f32], &'pass mut [f32]);

impl Delta {
    /// From `A`, `[rank, inputs]`, and `B` times its scale, `[outputs, rank]`.
    pub(super) fn new(first: usize, rank: usize, inputs: usize, a: &[f32], b: &[f32]) -> Self {
        let outputs = b.len() / rank;
        let mut up = vec![[0.0; LANES]; outputs.div_ceil(LANES) * rank];
        for (output, factors) in b.chunks_exact(rank).enumerate() {
            for (index, factor) in factors.iter().enumerate() {
                up[output / LANES * rank + index][output % LANES] = *factor;
            }
        }
        Self {
            first,
            inputs,
            outputs,
            down: a.to_vec(),
            up,
        }
    }

    /// The memory of one, in bytes.
    pub(super) fn bytes(rank: usize, inputs: usize, outputs: usize) -> u64 {
        let values = rank as u64 * (inputs as u64 + outputs.next_multiple_of(LANES) as u64);
        values * size_of::<f32>() as u64
    }

    /// Adds onto the rows, each for itself. `scratch` keeps its memory.
    pub(super) fn add(&self, rows: &mut [Row<'_>], scratch: &mut Vec<f32>) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the features that the function is compiled for.
            #[expect(unsafe_code, reason = "the instructions were checked for in the line above")]
            unsafe {
                add_avx2(self, rows, scratch);
            }
            return;
        }
        self.add_with::<{ cfg!(target_arch = "aarch64") }>(rows, scratch);
    }

    #[inline(always)]
    fn add_with<const FUSED: bool>(&self, rows: &mut [Row<'_>], scratch: &mut Vec<f32>) {
        let rank = self.down.len() / self.inputs;
        scratch.clear();
        scratch.resize(rows.len() * rank, 0.0);
        for (index, down) in self.down.chunks_exact(self.inputs).enumerate() {
            for ((input, _), factors) in rows.iter().zip(scratch.chunks_exact_mut(rank)) {
                factors[index] = dot::<FUSED>(down, input);
            }
        }
        for ((_, output), factors) in rows.iter_mut().zip(scratch.chunks_exact(rank)) {
            let output = &mut output[self.first..self.first + self.outputs];
            for (output, up) in output.chunks_mut(LANES).zip(self.up.chunks_exact(rank)) {
                let mut sums = [0.0; LANES];
                for (factor, up) in factors.iter().zip(up) {
                    for (sum, up) in sums.iter_mut().zip(up) {
                        *sum = multiply_add::<FUSED>(*factor, *up, *sum);
                    }
                }
                for (output, sum) in output.iter_mut().zip(sums) {
                    *output += sum;
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn add_avx2(delta: &Delta, rows: &mut [Row<'_>], scratch: &mut Vec<f32>) {
    delta.add_with::<true>(rows, scratch);
}

/// The sum of products, in an order that follows from the length.
#[inline(always)]
fn dot<const FUSED: bool>(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [0.0_f32; SUMS];
    let (left, left_rest) = left.as_chunks::<SUMS>();
    let (right, right_rest) = right.as_chunks::<SUMS>();
    for (left, right) in left.iter().zip(right) {
        for lane in 0..SUMS {
            sums[lane] = multiply_add::<FUSED>(left[lane], right[lane], sums[lane]);
        }
    }
    let rest = left_rest.iter().zip(right_rest).map(|(left, right)| left * right);
    sums.iter().sum::<f32>() + rest.sum::<f32>()
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
mod tests {
    use super::*;

    fn values(count: usize, seed: u32) -> Vec<f32> {
        let value = |index: u32| (index * 7919 + seed * 104_729) % 201;
        (0..)
            .map(|index| f32::from(u8::try_from(value(index)).unwrap()) / 100.0 - 1.0)
            .take(count)
            .collect()
    }

    #[test]
    fn a_row_gets_its_product_and_the_same_alone_as_with_others() {
        let (rank, inputs, outputs, first) = (3, 70, 37, 5);
        let (a, b) = (values(rank * inputs, 1), values(outputs * rank, 2));
        let delta = Delta::new(first, rank, inputs, &a, &b);
        let rows: Vec<Vec<f32>> = (0..5).map(|row| values(inputs, 10 + row)).collect();
        let before: Vec<Vec<f32>> = (0..5).map(|row| values(first + outputs + 2, 20 + row)).collect();
        let mut together = before.clone();
        let mut pairs: Vec<Row<'_>> = rows
            .iter()
            .zip(&mut together)
            .map(|(input, output)| (input.as_slice(), output.as_mut_slice()))
            .collect();
        delta.add(&mut pairs, &mut Vec::new());
        for ((input, before), together) in rows.iter().zip(&before).zip(&together) {
            let mut alone = before.clone();
            delta.add(&mut [(input, &mut alone)], &mut Vec::new());
            assert_eq!(alone, *together);
            for (index, (before, after)) in before.iter().zip(&alone).enumerate() {
                let mut expected = f64::from(*before);
                if (first..first + outputs).contains(&index) {
                    for (factor, down) in b[(index - first) * rank..][..rank].iter().zip(a.chunks(inputs)) {
                        let products = down
                            .iter()
                            .zip(input)
                            .map(|(left, right)| f64::from(left * right));
                        expected += f64::from(*factor) * products.sum::<f64>();
                    }
                }
                assert!(
                    (f64::from(*after) - expected).abs() < 1e-4,
                    "{index}: {after}, {expected}"
                );
            }
        }
        let (small, large) = (Delta::bytes(1, 16, 16), Delta::bytes(2, 16, 17));
        assert_eq!((small, large), (128, 2 * 48 * 4));
    }
}
