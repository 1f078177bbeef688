//! What becomes of queries and keys before attention: their norms and their rotation.

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, bail};
use rayon::prelude::*;

use super::super::super::norm::RmsNorm;
use super::super::super::rope::Rotation;
use super::super::HeadShape;

/// Applies the norms, if there are any, and the rotation to the queries and keys of rows `[rows, (heads + 2 *
/// kv heads) * width]`, in place.
pub(in super::super) struct CpuTurn<'pass> {
    pub(in super::super) shape: HeadShape,
    /// Of queries and keys, per head.
    pub(in super::super) norms: Option<&'pass (RmsNorm, RmsNorm)>,
    /// Of these rows.
    pub(in super::super) rotation: &'pass Rotation,
}

impl InplaceOp1 for CpuTurn<'_> {
    fn name(&self) -> &'static str {
        "silica-turn"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (rows, columns) = layout.shape().dims2()?;
        let (Some((start, end)), CpuStorage::F32(data)) = (layout.contiguous_offsets(), storage) else {
            bail!("heads are turned in contiguous rows of f32");
        };
        if columns != (self.shape.heads + 2 * self.shape.kv_heads) * self.shape.width {
            bail!("rows of {columns} are not of {:?}", self.shape);
        }
        let data = &mut data[start..end];
        self.rotation.with_head(rows, |rotate| match self.norms {
            None => {
                self.turn(data, columns, |row, _, head| rotate(row, head));
                Ok(())
            }
            Some((queries, keys)) => queries.with_row(|query| {
                keys.with_row(|key| {
                    self.turn(data, columns, |row, is_query, head| {
                        if is_query {
                            query(head);
                        } else {
                            key(head);
                        }
                        rotate(row, head);
                    });
                })
            })?,
        })?
    }
}

impl CpuTurn<'_> {
    /// Calls `turn` with each head of the queries and keys, its row and whether it is of queries.
    fn turn(&self, data: &mut [f32], columns: usize, turn: impl Fn(usize, bool, &mut [f32]) + Sync) {
        let HeadShape {
            heads,
            kv_heads,
            width,
        } = self.shape;
        let rows = data.par_chunks_mut(columns).enumerate();
        rows.for_each(|(row, values)| {
            let turned = values.chunks_mut(width).take(heads + kv_heads);
            for (index, head) in turned.enumerate() {
                turn(row, index < heads, head);
            }
        });
    }
}
