//! Logits that are kept within bounds: `cap * tanh(logit / cap)`.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::linear::contiguous;

/// Elements that one task computes.
const TASK: usize = 1 << 14;

/// Bounds every element by `cap`.
pub(crate) fn bounded(logits: &Tensor, cap: f64) -> Result<Tensor> {
    if logits.device().is_cpu() {
        #[expect(clippy::cast_possible_truncation, reason = "f32 is what the logits are in")]
        let cap = cap as f32;
        logits.apply_op1_no_bwd(&CpuSoftCap(cap))
    } else {
        (logits / cap)?.tanh()? * cap
    }
}

/// The same on the engine's own threads (see `linear.rs`).
struct CpuSoftCap(f32);

impl CustomOp1 for CpuSoftCap {
    fn name(&self) -> &'static str {
        "silica-soft-cap"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut output = contiguous(storage.as_slice::<f32>()?, layout)?.to_vec();
        output.par_chunks_mut(TASK).for_each(|part| {
            for value in part {
                *value = self.0 * (*value / self.0).tanh();
            }
        });
        Ok((CpuStorage::F32(output), layout.shape().clone()))
    }
}
