//! Keys and values of one sequence.

use candle_core::{DType, Device, Result, Tensor};

/// Growth is rounded up to this many positions.
const BLOCK: usize = 64;

/// The keys and values of one sequence in all layers. Belongs to exactly one sequence; grows by
/// doubling, so that each position is copied a constant number of times on average.
pub struct KvCache {
    layers: Vec<LayerCache>,
    length: usize,
    limit: usize,
}

/// One layer: two tensors of `[capacity, kv heads, head dim]`, position by position, so that
/// appending and growing copy consecutive memory.
pub(crate) struct LayerCache {
    keys: Option<Tensor>,
    values: Option<Tensor>,
    capacity: usize,
}

impl KvCache {
    /// Makes an empty cache for at most `limit` positions; takes no memory yet.
    pub(crate) fn new(layers: usize, limit: usize) -> Self {
        let empty = || LayerCache {
            keys: None,
            values: None,
            capacity: 0,
        };
        Self {
            layers: std::iter::repeat_with(empty).take(layers).collect(),
            length: 0,
            limit,
        }
    }

    /// The number of positions that are computed.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether no position is computed yet.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Writes new positions of one layer behind those that [`KvCache::advance`] has made valid,
    /// and returns all keys and values up to and including them.
    pub(crate) fn append(
        &mut self,
        layer: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let added = keys.dim(0)?;
        let total = self.length + added;
        if total > self.limit {
            candle_core::bail!(
                "the sequence grew to {total} positions, the cache holds {}",
                self.limit
            );
        }
        let Some(layer) = self.layers.get_mut(layer) else {
            candle_core::bail!("the cache has no layer {layer}");
        };
        layer.append(self.length, self.limit, keys, values)
    }

    /// Makes the positions that were appended to every layer valid.
    pub(crate) fn advance(&mut self, added: usize) {
        self.length += added;
    }
}

impl LayerCache {
    fn append(
        &mut self,
        length: usize,
        limit: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let (added, heads, width) = keys.dims3()?;
        let total = length + added;
        if total > self.capacity {
            let capacity = total
                .max(self.capacity * 2)
                .next_multiple_of(BLOCK)
                .min(limit.max(total));
            let shape = Shape3 {
                capacity,
                heads,
                width,
            };
            self.keys = Some(shape.grown(self.keys.take(), length, keys.dtype(), keys.device())?);
            self.values = Some(shape.grown(self.values.take(), length, values.dtype(), values.device())?);
            self.capacity = capacity;
        }
        let (Some(all_keys), Some(all_values)) = (&self.keys, &self.values) else {
            candle_core::bail!("a layer's cache is empty after it has grown");
        };
        all_keys.slice_set(keys, 0, length)?;
        all_values.slice_set(values, 0, length)?;
        Ok((all_keys.narrow(0, 0, total)?, all_values.narrow(0, 0, total)?))
    }
}

struct Shape3 {
    capacity: usize,
    heads: usize,
    width: usize,
}

impl Shape3 {
    /// A larger tensor with the first `length` positions of the old one.
    fn grown(&self, old: Option<Tensor>, length: usize, dtype: DType, device: &Device) -> Result<Tensor> {
        let new = Tensor::zeros((self.capacity, self.heads, self.width), dtype, device)?;
        if let Some(old) = old
            && length > 0
        {
            new.slice_set(&old.narrow(0, 0, length)?, 0, 0)?;
        }
        Ok(new)
    }
}

#[cfg(test)]
mod tests;
