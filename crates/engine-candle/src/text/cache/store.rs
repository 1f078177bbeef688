//! The memory of the blocks.

mod latent;

use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Error, Result, Tensor};

pub(crate) use self::latent::{LatentShape, append_latents, write_latents};
use super::blocks::{BLOCK, BlockId};
use crate::memory;

/// What lies in a block of one layer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KvLayout {
    /// Keys and values of heads.
    Heads(KvShape),
    /// Latents.
    Latent(LatentShape),
}

impl KvLayout {
    /// Elements of a block.
    pub(crate) fn block(self) -> usize {
        match self {
            Self::Heads(shape) => shape.block(),
            Self::Latent(shape) => shape.block(),
        }
    }
}

/// What one position needs in one layer of attention by heads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KvShape {
    pub(crate) kv_heads: usize,
    /// Elements per head.
    pub(crate) width: usize,
}

impl KvShape {
    /// Elements of the keys, or of the values, of one position.
    pub(crate) fn row(self) -> usize {
        self.kv_heads * self.width
    }

    /// Elements of the keys and values of a block.
    pub(crate) fn block(self) -> usize {
        2 * BLOCK * self.row()
    }
}

/// Keys and values of all blocks in all layers. Written and read through tables, which say what
/// belongs to whom; content that no table leads to is never looked at.
pub(crate) struct KvStore {
    layers: Vec<LayerStore>,
    capacity: usize,
    /// Whether all layers have the memory of one, one after the other.
    shared: bool,
}

/// One layer's part.
pub(crate) enum LayerStore {
    /// Block after block. In each the keys, head by head, as `[width, positions]`, so that the
    /// products of a query with all of a block's keys run side by side; then the values, head by
    /// head, as `[positions, width]`. Of latents, rows. One pass at a time works on a layer, so
    /// nobody waits for the lock.
    Cpu(Mutex<Vec<f32>>),
    /// Keys and values, `[blocks * positions, kv heads, width]` each.
    Device { keys: Tensor, values: Tensor },
    /// Latents, `[blocks * positions, width]`.
    DeviceLatents(Tensor),
}

impl KvStore {
    /// Makes room for `capacity` blocks. On a CPU the system hands the memory out when it is first
    /// written.
    ///
    /// # Errors
    /// When the device has not enough memory.
    pub(crate) fn new(
        layers: usize,
        layout: KvLayout,
        capacity: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let layer = || {
            if device.is_cpu() {
                let values = capacity.saturating_mul(layout.block());
                let data = memory::zeroed(values).map_err(Error::wrap)?;
                return Ok(LayerStore::Cpu(Mutex::new(data)));
            }
            LayerStore::on_device(layout, capacity, dtype, device)
        };
        let layers = std::iter::repeat_with(layer)
            .take(layers)
            .collect::<Result<_>>()?;
        Ok(Self {
            layers,
            capacity,
            shared: false,
        })
    }

    /// As [`KvStore::new`], of one layer's memory that all layers use one after the other.
    pub(crate) fn shared(layout: KvLayout, capacity: usize, dtype: DType, device: &Device) -> Result<Self> {
        let store = Self::new(1, layout, capacity, dtype, device)?;
        Ok(Self {
            shared: true,
            ..store
        })
    }

    /// As on other devices, but on the CPU.
    #[cfg(test)]
    pub(crate) fn of_tensors(layers: usize, layout: KvLayout, capacity: usize) -> Result<Self> {
        let layer = || LayerStore::on_device(layout, capacity, DType::F32, &Device::Cpu);
        let layers = std::iter::repeat_with(layer)
            .take(layers)
            .collect::<Result<_>>()?;
        Ok(Self {
            layers,
            capacity,
            shared: false,
        })
    }

    /// Returns the number of blocks.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Returns one layer's part.
    pub(crate) fn layer(&self, index: usize) -> Result<&LayerStore> {
        match self.layers.get(if self.shared { 0 } else { index }) {
            Some(layer) => Ok(layer),
            None => candle_core::bail!("the cache has no layer {index}"),
        }
    }
}

impl LayerStore {
    /// One layer out of tensors.
    pub(crate) fn on_device(
        layout: KvLayout,
        capacity: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let rows = capacity * BLOCK;
        let shape = match layout {
            KvLayout::Heads(shape) => shape,
            KvLayout::Latent(shape) => {
                let rows = Tensor::zeros((rows, shape.row()), dtype, device)?;
                return Ok(Self::DeviceLatents(rows));
            }
        };
        let size = (rows, shape.kv_heads, shape.width);
        Ok(Self::Device {
            keys: Tensor::zeros(size, dtype, device)?,
            values: Tensor::zeros(size, dtype, device)?,
        })
    }
}

/// Locks the CPU's memory of a layer.
pub(crate) fn lock(data: &Mutex<Vec<f32>>) -> MutexGuard<'_, Vec<f32>> {
    // What a pass that panicked has written is valid for nobody.
    data.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes the keys and values of consecutive positions, `[kv heads, width]` each, from `first` on, into
/// the blocks they belong to.
pub(crate) fn write_rows<'data>(
    data: &mut [f32],
    shape: KvShape,
    blocks: &[BlockId],
    first: usize,
    rows: impl Iterator<Item = (&'data [f32], &'data [f32])>,
) -> Result<()> {
    let KvShape { kv_heads, width } = shape;
    for (position, (keys, values)) in (first..).zip(rows) {
        let block = block_of(blocks, position)?;
        let slot = position % BLOCK;
        let Some(data) = data.get_mut(block * shape.block()..(block + 1) * shape.block()) else {
            candle_core::bail!("the cache has no block {block}");
        };
        let (all_keys, all_values) = data.split_at_mut(BLOCK * shape.row());
        for (key, target) in keys.iter().zip(all_keys.chunks_exact_mut(BLOCK)) {
            target[slot] = *key;
        }
        for head in 0..kv_heads {
            all_values[(head * BLOCK + slot) * width..][..width]
                .copy_from_slice(&values[head * width..][..width]);
        }
    }
    Ok(())
}

/// Writes the keys and values of consecutive positions, `[rows, kv heads, width]` each, from
/// `first` on, and returns all up to and including them in the same form.
pub(crate) fn append_rows(
    (all_keys, all_values): (&Tensor, &Tensor),
    blocks: &[BlockId],
    first: usize,
    keys: &Tensor,
    values: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let total = first + keys.dim(0)?;
    let mut position = first;
    while position < total {
        // What lies in one block is written at once.
        let count = (BLOCK - position % BLOCK).min(total - position);
        let target = block_of(blocks, position)? * BLOCK + position % BLOCK;
        all_keys.slice_set(&keys.narrow(0, position - first, count)?, 0, target)?;
        all_values.slice_set(&values.narrow(0, position - first, count)?, 0, target)?;
        position += count;
    }
    let row = |position| {
        let row = block_of(blocks, position)? * BLOCK + position % BLOCK;
        i64::try_from(row).map_err(Error::wrap)
    };
    let rows = (0..total).map(row).collect::<Result<Vec<i64>>>()?;
    let rows = Tensor::new(rows, keys.device())?;
    Ok((
        all_keys.index_select(&rows, 0)?,
        all_values.index_select(&rows, 0)?,
    ))
}

/// The block that a position lies in.
fn block_of(blocks: &[BlockId], position: usize) -> Result<usize> {
    match blocks.get(position / BLOCK) {
        Some(block) => Ok(*block as usize),
        None => candle_core::bail!(
            "the sequence grew to {} positions, its blocks hold {}",
            position + 1,
            blocks.len() * BLOCK
        ),
    }
}
