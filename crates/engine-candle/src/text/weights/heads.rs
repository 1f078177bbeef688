//! The matrices of latent attention's heads, out of one matrix for all or one for each.

use std::sync::Arc;

use super::pack;
use super::read::Located;
use super::{LatentHeads, Role, Shape, Weights};
use crate::LoadError;
use crate::text::matrix::Weight;

/// One for each head.
type HeadMatrices = Vec<Arc<Weight>>;

impl Weights {
    /// Loads what takes each head's queries to queries of latents, `[rank, keys]`, and its sums of
    /// latents to values, `[values, rank]`.
    pub(crate) fn head_matrices(
        &self,
        tensors: &LatentHeads,
    ) -> Result<(HeadMatrices, HeadMatrices), LoadError> {
        let heads = 0..tensors.heads;
        if self.has_split_heads(tensors) {
            let matrix = |name, rows, width| self.matrix(&[(name, rows)], width, Role::Inner);
            let keys = heads
                .clone()
                .map(|head| matrix(tensors.keys_of(head), tensors.rank, tensors.keys));
            let values = heads.map(|head| matrix(tensors.values_of(head), tensors.values, tensors.rank));
            return Ok((keys.collect::<Result<_, _>>()?, values.collect::<Result<_, _>>()?));
        }
        let joined = self.joined_heads(tensors)?;
        let size = tensors.keys + tensors.values;
        let keys = heads.clone().map(|head| {
            let own = joined.stretch(head * size..head * size + tensors.keys);
            self.transposed(&own)
        });
        let values = heads.map(|head| {
            let own = joined.stretch(head * size + tensors.keys..(head + 1) * size);
            self.weight(&[own], Role::Inner)
        });
        Ok((keys.collect::<Result<_, _>>()?, values.collect::<Result<_, _>>()?))
    }

    /// As [`Weights::check`], of these.
    pub(super) fn check_heads(&self, tensors: &LatentHeads) -> Result<(), LoadError> {
        if !self.has_split_heads(tensors) {
            return self.joined_heads(tensors).map(drop);
        }
        for head in 0..tensors.heads {
            self.locate(&tensors.keys_of(head), Shape::Matrix(tensors.rank, tensors.keys))?;
            self.locate(
                &tensors.values_of(head),
                Shape::Matrix(tensors.values, tensors.rank),
            )?;
        }
        Ok(())
    }

    fn has_split_heads(&self, tensors: &LatentHeads) -> bool {
        self.has(&tensors.keys_of(0))
    }

    fn joined_heads(&self, tensors: &LatentHeads) -> Result<Located<'_>, LoadError> {
        let rows = tensors.heads * (tensors.keys + tensors.values);
        self.locate(&tensors.joined(), Shape::Matrix(rows, tensors.rank))
    }

    /// Loads a matrix with its columns as rows, in the format that such a one has.
    fn transposed(&self, located: &Located<'_>) -> Result<Arc<Weight>, LoadError> {
        let (rows, columns) = (located.rows, located.columns);
        let mut values = Vec::with_capacity(rows * columns);
        pack::append_all(located, &mut values)?;
        let turned = (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns));
        let turned: Vec<f32> = turned.copied().collect();
        if !self.device().is_cpu() {
            let tensor = self.tensor(turned, self.placement.dtype())?;
            let tensor = tensor.reshape((columns, rows));
            let tensor = tensor.map_err(|source| self.device_error(source))?;
            return Ok(Arc::new(Weight::Tensor(tensor)));
        }
        let format = self.placement.format_of_turned(located.format, rows);
        let packed = pack::packed_values(format, columns, rows, &turned);
        let packed = packed.map_err(|source| located.layout_error(source))?;
        Ok(Arc::new(Weight::Packed(packed)))
    }
}
