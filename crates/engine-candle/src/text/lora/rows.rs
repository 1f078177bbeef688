//! Which rows of a pass have which adapter.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, bail};
use rayon::prelude::*;

use super::product::{Product, Row};
use super::{Adapter, Site};
use crate::text::linear::contiguous;

/// Rows of one adapter that a task computes, so that its matrices are read once for them.
const TASK_ROWS: usize = 8;
/// Multiplications below which handing work to other threads costs more than it saves.
const MIN_PARALLEL_WORK: usize = 1 << 17;
/// Pieces of work for each thread, where tasks are cut.
const PIECES_PER_THREAD: usize = 2;

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
        let add = AddDeltas {
            tasks: &self.tasks,
            layer,
            site,
        };
        if add.products().next().is_none() {
            return Ok(());
        }
        output.inplace_op2(input, &add)
    }
}

struct AddDeltas<'pass> {
    tasks: &'pass [Task<'pass>],
    layer: usize,
    site: Site,
}

/// The rows that one adapter's matrices are read for.
type Work<'pass> = (Product<'pass>, Vec<Row<'pass>>);

impl<'pass> AddDeltas<'pass> {
    /// The tasks whose adapters have something to add here.
    fn products(&self) -> impl Iterator<Item = (Product<'pass>, &'pass [usize])> {
        let (layer, site) = (self.layer, self.site);
        self.tasks
            .iter()
            .filter_map(move |task| Some((task.adapter.product(layer, site)?, task.rows.as_slice())))
    }
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
        let count = |(product, rows): (Product<'_>, &[usize])| product.rank() * rows.len();
        let mut factors = vec![0.0; self.products().map(count).sum()];
        let mut left = factors.as_mut_slice();
        let mut works: Vec<Work<'_>> = Vec::with_capacity(self.tasks.len());
        for (product, indices) in self.products() {
            let mut rows = Vec::with_capacity(indices.len());
            for index in indices {
                let target = targets.get_mut(*index).and_then(Option::take);
                let input = input.get(index * inputs..(index + 1) * inputs);
                let (Some(output), Some(input)) = (target, input) else {
                    bail!("adapters of more rows than there are");
                };
                let (factors, behind) = std::mem::take(&mut left).split_at_mut(product.rank());
                left = behind;
                rows.push(Row {
                    input,
                    output,
                    factors,
                });
            }
            works.push((product, rows));
        }
        add(works, rayon::current_num_threads());
        Ok(())
    }
}

/// Adds onto all rows, on so many threads. However the work is cut, every value is computed in the same way.
fn add(mut works: Vec<Work<'_>>, threads: usize) {
    let work = |(product, rows): &Work<'_>| product.work() * rows.len();
    if threads == 1 || works.iter().map(work).sum::<usize>() < MIN_PARALLEL_WORK {
        for (product, rows) in &mut works {
            product.add(rows);
        }
    } else if works.len() >= threads {
        let works = works.into_par_iter().with_max_len(1);
        works.for_each(|(product, mut rows)| product.add(&mut rows));
    } else {
        add_in_pieces(works, threads * PIECES_PER_THREAD);
    }
}

/// As [`add`], where a task has more than one thread.
fn add_in_pieces(mut works: Vec<Work<'_>>, pieces: usize) {
    let rows: usize = works.iter().map(|(_, rows)| rows.len()).sum();
    let pieces = pieces.div_ceil(rows);
    let factors = works.iter_mut().flat_map(|(product, rows)| {
        let ranks = product.rank().div_ceil(pieces);
        rows.iter_mut().flat_map(move |row| {
            let parts = row.factors.chunks_mut(ranks).enumerate();
            let (product, input) = (*product, row.input);
            parts.map(move |(index, factors)| (product, index * ranks, input, factors))
        })
    });
    let factors: Vec<_> = factors.collect();
    factors
        .into_par_iter()
        .for_each(|(product, first, input, factors)| product.factors(first, input, factors));
    let outputs = works.into_iter().flat_map(|(product, rows)| {
        rows.into_iter().flat_map(move |row| {
            let outputs = row.output.len().div_ceil(pieces);
            product.pieces(row, outputs)
        })
    });
    let outputs: Vec<_> = outputs.collect();
    outputs.into_par_iter().for_each(|mut piece| piece.add());
}

#[cfg(test)]
mod tests {
    use super::super::numbers::{AdapterFormat, Arena};
    use super::super::product::{Delta, Matrices};
    use super::*;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        let value = |index: usize| u8::try_from((index * 7919 + seed * 104_729) % 201).unwrap();
        (0..count)
            .map(|index| f32::from(value(index)) / 100.0 - 1.0)
            .collect()
    }

    fn made(seed: usize) -> (Delta, Arena) {
        let matrices = |first, outputs, rank| Matrices {
            first,
            outputs,
            rank,
            scale: 0.5,
            a: values(rank * 300, seed),
            b: values(outputs * rank, seed + 1),
        };
        let format = AdapterFormat::Byte;
        let groups = |rank, outputs| Delta::groups(format, rank, 300, outputs);
        let mut arena = Arena::new(format, groups(12, 700) + groups(9, 500)).unwrap();
        let matrices = [matrices(0, 700, 12), matrices(700, 500, 9)];
        let delta = Delta::new(&mut arena, 300, &matrices).unwrap();
        (delta, arena)
    }

    /// One adapter on many threads, many on few, and on one thread.
    #[test]
    fn however_the_work_is_cut_the_rows_are_the_same() {
        let made: Vec<_> = (0..8).map(made).collect();
        let products = made.iter().map(|(delta, arena)| Product { delta, arena });
        let products: Vec<_> = products.collect();
        let one = products[0].work();
        assert!(one < MIN_PARALLEL_WORK && 8 * one > MIN_PARALLEL_WORK);
        let input = values(300, 90);
        let computed = |count: usize, rows: usize, threads: usize| {
            let mut outputs = vec![values(1200, 91); count * rows];
            let mut factors = vec![0.0; count * rows * products[0].rank()];
            let mut places = outputs.iter_mut().zip(factors.chunks_mut(products[0].rank()));
            let works = products[..count].iter().map(|product| {
                let rows = places.by_ref().take(rows);
                let rows = rows.map(|(output, factors)| Row {
                    input: &input,
                    output,
                    factors,
                });
                (*product, rows.collect())
            });
            add(works.collect(), threads);
            outputs
        };
        for (count, rows) in [(1, 1), (1, 8), (3, 3), (8, 1)] {
            let expected = computed(count, rows, 1);
            assert_ne!(expected[0], values(1200, 91));
            for threads in [2, 3, 8, 64] {
                assert_eq!(
                    computed(count, rows, threads),
                    expected,
                    "{count}, {rows}, {threads}"
                );
            }
        }
    }
}
