//! What experts say, added up on the CPU: by operations of their own, since those of the tensor library
//! spread over all cores of the machine (see `linear.rs`).

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Storage, Tensor, bail};
use rayon::prelude::*;

use super::Share;
use crate::text::linear::{contiguous, with_values};

/// Rows that one task adds up.
const TASK_ROWS: usize = 16;

/// Adds the experts' rows by their weights to `[rows, hidden]`, expert after expert. `computed` is what the shares say,
/// in their order.
pub(super) fn add_on_cpu(sum: &Tensor, shares: &[Share<'_>], computed: &[Tensor]) -> Result<Tensor> {
    sum.apply_op1_no_bwd(&AddShares { shares, computed })
}

/// The shared expert's rows, `[rows, hidden]`, by the logistic function of their gates, `[rows, 1]`, and the residual
/// stream added, if one is given.
pub(super) fn gated_onto(shared: &Tensor, gates: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
    shared.apply_op2_no_bwd(gates, &GatedOnto(residual))
}

struct AddShares<'pass> {
    shares: &'pass [Share<'pass>],
    computed: &'pass [Tensor],
}

impl CustomOp1 for AddShares<'_> {
    fn name(&self) -> &'static str {
        "silica-add-experts"
    }

    fn cpu_fwd(&self, sum: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, width) = layout.shape().dims2()?;
        let storages: Vec<_> = self.computed.iter().map(Tensor::storage_and_layout).collect();
        let values = self.shares.iter().zip(&storages);
        let values = values.map(|(share, (storage, layout))| {
            let Storage::Cpu(storage) = &**storage else {
                bail!("what an expert says is not on the CPU")
            };
            let values = contiguous(storage.as_slice::<f32>()?, layout)?;
            if values.len() != share.rows.len() * width {
                bail!(
                    "an expert of {} rows says {} values",
                    share.rows.len(),
                    values.len()
                );
            }
            Ok(values)
        });
        let values = values.collect::<Result<Vec<&[f32]>>>()?;
        let mut output = contiguous(sum.as_slice::<f32>()?, layout)?.to_vec();
        let tasks = (0_u32..)
            .step_by(TASK_ROWS)
            .zip(output.chunks_mut(TASK_ROWS * width));
        let tasks: Vec<_> = tasks.collect();
        tasks.into_par_iter().for_each(|(first, target)| {
            for (share, values) in self.shares.iter().zip(&values) {
                add_share(share, values, first, target, width);
            }
        });
        Ok((CpuStorage::F32(output), layout.shape().clone()))
    }
}

/// Adds what an expert says of the rows from `first` on that `target` holds.
fn add_share(share: &Share<'_>, values: &[f32], first: u32, target: &mut [f32], width: usize) {
    // They are in order, so these are the next ones.
    let start = share.rows.partition_point(|row| *row < first);
    let rows = share.rows.iter().zip(&share.weights).skip(start);
    for ((row, weight), values) in rows.zip(values[start * width..].chunks_exact(width)) {
        let offset = (row - first) as usize * width;
        let Some(target) = target.get_mut(offset..offset + width) else {
            return;
        };
        for (target, value) in target.iter_mut().zip(values) {
            *target += weight * value;
        }
    }
}

struct GatedOnto<'pass>(Option<&'pass Tensor>);

impl CustomOp2 for GatedOnto<'_> {
    fn name(&self) -> &'static str {
        "silica-gated-expert"
    }

    fn cpu_fwd(
        &self,
        shared: &CpuStorage,
        layout: &Layout,
        gates: &CpuStorage,
        gates_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        let gates = contiguous(gates.as_slice::<f32>()?, gates_layout)?;
        if gates.len() != rows {
            bail!("{} gates for {rows} rows", gates.len());
        }
        let mut output = contiguous(shared.as_slice::<f32>()?, layout)?.to_vec();
        let scale = |(row, gate): (&mut [f32], &f32)| {
            let factor = 1.0 / (1.0 + (-gate).exp());
            for value in row {
                *value *= factor;
            }
        };
        output.par_chunks_mut(width).zip(gates).for_each(scale);
        if let Some(residual) = self.0 {
            with_values(residual, rows * width, |residual| {
                let rows = output.par_chunks_mut(width).zip(residual.par_chunks(width));
                rows.for_each(|(row, residual)| {
                    for (value, residual) in row.iter_mut().zip(residual) {
                        *value += residual;
                    }
                });
            })?;
        }
        Ok((CpuStorage::F32(output), layout.shape().clone()))
    }
}
