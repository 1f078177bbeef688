//! Products of each head's rows with a matrix of its own.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::text::linear::contiguous;
use crate::text::matrix::{Packed, Weight};

/// A matrix of the same shape for each head.
pub(super) struct HeadProducts {
    weights: Vec<Arc<Weight>>,
}

impl HeadProducts {
    pub(super) fn new(weights: Vec<Arc<Weight>>) -> Self {
        Self { weights }
    }

    /// The matrices.
    pub(super) fn weights(&self) -> impl Iterator<Item = &Weight> {
        self.weights.iter().map(|weight| &**weight)
    }

    /// `[rows, heads, inputs]` to `[rows, heads, outputs]`.
    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let packed = self.weights().filter_map(|weight| match weight {
            Weight::Packed(packed) => Some(packed),
            Weight::Tensor(_) => None,
        });
        let packed: Vec<&Packed> = packed.collect();
        if packed.len() == self.weights.len() {
            return input.apply_op1_no_bwd(&CpuHeads { weights: packed });
        }
        let mut heads = Vec::with_capacity(self.weights.len());
        for (head, weight) in self.weights().enumerate() {
            let Weight::Tensor(weight) = weight else {
                bail!("the matrices of heads are in different places")
            };
            let rows = input.narrow(1, head, 1)?.squeeze(1)?.contiguous()?;
            heads.push(rows.matmul(&weight.t()?)?);
        }
        Tensor::stack(&heads, 1)
    }
}

/// The products on the engine's own threads, head by head. An element is what its row and its
/// matrix make it, whatever else is computed.
struct CpuHeads<'layer> {
    weights: Vec<&'layer Packed>,
}

impl CustomOp1 for CpuHeads<'_> {
    fn name(&self) -> &'static str {
        "silica-heads"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, heads, inputs) = layout.shape().dims3()?;
        let Some(first) = self.weights.first().filter(|first| first.columns() == inputs) else {
            bail!("matrices of {} heads do not fit {layout:?}", self.weights.len())
        };
        if heads != self.weights.len() {
            bail!("matrices of {} heads do not fit {layout:?}", self.weights.len());
        }
        let outputs = first.rows();
        let input = contiguous(storage.as_slice::<f32>()?, layout)?;
        // Head after head, so that a head's rows are together.
        let mut products = vec![0.0; rows * heads * outputs];
        let targets = products.par_chunks_mut(rows * outputs).zip(&self.weights);
        targets.enumerate().for_each(|(head, (target, weight))| {
            if rows == 1 {
                weight.multiply(&input[head * inputs..][..inputs], target);
                return;
            }
            let mut own = Vec::with_capacity(rows * inputs);
            for row in input.chunks_exact(heads * inputs) {
                own.extend_from_slice(&row[head * inputs..][..inputs]);
            }
            weight.multiply(&own, target);
        });
        let shape = Shape::from((rows, heads, outputs));
        if rows == 1 {
            return Ok((CpuStorage::F32(products), shape));
        }
        let mut output = vec![0.0; products.len()];
        let targets = output.par_chunks_mut(heads * outputs).enumerate();
        targets.for_each(|(row, target)| {
            for (head, target) in target.chunks_exact_mut(outputs).enumerate() {
                target.copy_from_slice(&products[(head * rows + row) * outputs..][..outputs]);
            }
        });
        Ok((CpuStorage::F32(output), shape))
    }
}
