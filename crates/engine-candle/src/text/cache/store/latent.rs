//! Blocks of latents: one row for a position, of which keys and values are both made.

use candle_core::{Error, Result, Tensor};

use super::super::blocks::{BLOCK, BlockId};
use super::block_of;

/// What one position needs in one layer of latent attention. Its row is a key for all heads, and
/// the first part of it is the value too: there is no second copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LatentShape {
    /// Elements of the latent, which is the value.
    pub(crate) rank: usize,
    /// Elements behind it, which are rotated by the position.
    pub(crate) rope: usize,
}

impl LatentShape {
    /// Elements of one position.
    pub(crate) fn row(self) -> usize {
        self.rank + self.rope
    }

    /// Elements of a block.
    pub(crate) fn block(self) -> usize {
        BLOCK * self.row()
    }
}

/// Writes the rows of consecutive positions from `first` on into the blocks they belong to, where
/// they lie one after the other.
pub(crate) fn write_latents(
    data: &mut [f32],
    shape: LatentShape,
    blocks: &[BlockId],
    first: usize,
    rows: &[f32],
) -> Result<()> {
    let width = shape.row();
    for (position, row) in (first..).zip(rows.chunks_exact(width)) {
        let block = block_of(blocks, position)?;
        let start = block * shape.block() + position % BLOCK * width;
        let Some(target) = data.get_mut(start..start + width) else {
            candle_core::bail!("the cache has no block {block}");
        };
        target.copy_from_slice(row);
    }
    Ok(())
}

/// As [`write_latents`], of tensors: `all` and `rows` are `[rows, width]`. Returns all rows up to
/// and including the new ones.
pub(crate) fn append_latents(
    all: &Tensor,
    blocks: &[BlockId],
    first: usize,
    rows: &Tensor,
) -> Result<Tensor> {
    let total = first + rows.dim(0)?;
    let row = |position| -> Result<usize> { Ok(block_of(blocks, position)? * BLOCK + position % BLOCK) };
    let mut position = first;
    while position < total {
        // What lies in one block is written at once.
        let count = (BLOCK - position % BLOCK).min(total - position);
        all.slice_set(&rows.narrow(0, position - first, count)?, 0, row(position)?)?;
        position += count;
    }
    let places = (0..total).map(|position| i64::try_from(row(position)?).map_err(Error::wrap));
    let places = Tensor::new(places.collect::<Result<Vec<i64>>>()?, rows.device())?;
    all.index_select(&places, 0)
}
