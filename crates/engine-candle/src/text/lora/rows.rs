//! Which rows of a pass have which adapter.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, bail};
use rayon::prelude::*;

use super::product::Row;
use super::{Adapter, Site};
use crate::text::linear::contiguous;

/// Rows of one adapter that a task computes, so that its matrices are read once for them.
const TASK_ROWS: usize = 8;

/// The rows of a pass that have adapters, gathered by adapter.
#[derive(Default)]
pub(crate) struct AdapterRows<'pass> {
    tasks: Vec<Task<'pass>>,
}

struct Task<'pass> {
    adapter: &'pass Adapter,
    rows: Vec<usize>,
}

impl<'pass> AdapterRows<'pass> {
    /// Of spans that have so many rows and these adapters.
    pub(crate) fn of(spans: impl Iterator<Item = (usize, Option<&'pass Adapter>)>) -> Self {
        let mut by_adapter: Vec<Task<'pass>> = Vec::new();
        let mut start = 0;
        for (rows, adapter) in spans {
            let own = start..start + rows;
            start = own.end;
            let Some(adapter) = adapter else { continue };
            let known = by_adapter
                .iter_mut()
                .find(|task| std::ptr::eq(task.adapter, adapter));
            match known {
                Some(task) => task.rows.extend(own),
                None => by_adapter.push(Task {
                    adapter,
                    rows: own.collect(),
                }),
            }
        }
        let cut = |task: Task<'pass>| {
            let parts: Vec<_> = task.rows.chunks(TASK_ROWS).map(<[usize]>::to_vec).collect();
            parts.into_iter().map(move |rows| Task {
                adapter: task.adapter,
                rows,
            })
        };
        Self {
            tasks: by_adapter.into_iter().flat_map(cut).collect(),
        }
    }

    /// Whether no row has an adapter.
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Of some of the rows, in ascending order, which are all that is left.
    pub(crate) fn of_rows(&self, wanted: &[u32]) -> Self {
        let left = |task: &Task<'pass>| {
            let place = |row: &usize| {
                let row = u32::try_from(*row).ok()?;
                wanted.binary_search(&row).ok()
            };
            Task {
                adapter: task.adapter,
                rows: task.rows.iter().filter_map(place).collect(),
            }
        };
        let tasks = self.tasks.iter().map(left);
        Self {
            tasks: tasks.filter(|task| !task.rows.is_empty()).collect(),
        }
    }

    /// Adds what the adapters say of `input`, `[rows, inputs]`, to `output`, `[rows, outputs]`, which nobody
    /// else has.
    ///
    /// # Errors
    /// When the tensors are not on the CPU.
    pub(crate) fn add(&self, layer: usize, site: Site, input: &Tensor, output: &Tensor) -> Result<()> {
        let concerned = |task: &&Task<'pass>| !task.adapter.deltas(layer, site).is_empty();
        let tasks: Vec<_> = self.tasks.iter().filter(concerned).collect();
        if tasks.is_empty() {
            return Ok(());
        }
        output.inplace_op2(input, &AddDeltas { layer, site, tasks })
    }
}

struct AddDeltas<'pass> {
    layer: usize,
    site: Site,
    tasks: Vec<&'pass Task<'pass>>,
}

impl InplaceOp2 for AddDeltas<'_> {
    fn name(&self) -> &'static str {
        "silica-lora"
    }

    fn cpu_fwd(
        &self,
        output: &mut CpuStorage,
        output_layout: &Layout,
        input: &CpuStorage,
        input_layout: &Layout,
    ) -> Result<()> {
        let (_, inputs) = input_layout.shape().dims2()?;
        let (_, outputs) = output_layout.shape().dims2()?;
        let input = contiguous(input.as_slice::<f32>()?, input_layout)?;
        let (Some((start, end)), CpuStorage::F32(output)) = (output_layout.contiguous_offsets(), output)
        else {
            bail!("adapters are added to contiguous rows of f32");
        };
        let mut targets: Vec<_> = output[start..end].chunks_exact_mut(outputs).map(Some).collect();
        let mut pairs = |row: &usize| -> Option<Row<'_>> {
            let input = input.get(row * inputs..(row + 1) * inputs)?;
            Some((input, targets.get_mut(*row)?.take()?))
        };
        let mut tasks = Vec::with_capacity(self.tasks.len());
        for task in &self.tasks {
            let Some(rows) = task.rows.iter().map(&mut pairs).collect::<Option<Vec<_>>>() else {
                bail!("adapters of more rows than there are");
            };
            tasks.push((task.adapter.deltas(self.layer, self.site), rows));
        }
        tasks
            .into_par_iter()
            .for_each_init(Vec::new, |scratch, (deltas, mut rows)| {
                for delta in deltas {
                    delta.add(&mut rows, scratch);
                }
            });
        Ok(())
    }
}
