//! Values of files turned into what the engine computes with.

use candle_core::{Result as DeviceResult, Tensor};
use half::bf16;

use super::placement::{Placement, Role};
use super::read::{FloatFormat, Located, append_floats};
use crate::gguf::TensorFormat;
use crate::kernels::{PackedBuilder, PackedMatrix, ShapeError};
use crate::text::matrix::Packed;
use crate::{Dtype, LoadError};

/// Appends a tensor's values in f32.
pub(super) fn append_all(tensor: &Located<'_>, values: &mut Vec<f32>) -> Result<(), LoadError> {
    tensor.read(|rows| append_rows(tensor, rows, values))
}

/// Packs matrices of the same width below each other, those of the same format as one.
pub(super) fn packed(
    tensors: &[Located<'_>],
    placement: &Placement,
    role: Role,
) -> Result<Packed, LoadError> {
    let format_of = |tensor: &Located<'_>| placement.format(tensor.format, tensor.columns, role);
    let groups = tensors.chunk_by(|left, right| format_of(left) == format_of(right));
    let parts = groups.filter_map(|group| {
        let first = group.first()?;
        Some(packed_as(format_of(first), first, group))
    });
    Ok(Packed::new(parts.collect::<Result<_, _>>()?))
}

/// Packs matrices of the same width below each other.
fn packed_as(
    format: TensorFormat,
    first: &Located<'_>,
    tensors: &[Located<'_>],
) -> Result<PackedMatrix, LoadError> {
    let (rows, columns) = shape_of(tensors);
    let refused = |source| first.layout_error(source);
    let mut builder = PackedBuilder::new(format, rows, columns).map_err(refused)?;
    let mut values = Vec::new();
    for tensor in tensors {
        tensor.read(|rows| {
            let pushed = if tensor.format == format {
                builder.push_rows(rows)
            } else {
                values.clear();
                append_rows(tensor, rows, &mut values)?;
                builder.push_values(&values)
            };
            pushed.map_err(|source| tensor.layout_error(source))
        })?;
    }
    builder.finish().map_err(refused)
}

/// Rounds row-major values to a format and packs them.
pub(super) fn packed_values(
    format: TensorFormat,
    rows: usize,
    columns: usize,
    values: &[f32],
) -> Result<Packed, ShapeError> {
    let mut builder = PackedBuilder::new(format, rows, columns)?;
    builder.push_values(values)?;
    Ok(Packed::new(vec![builder.finish()?]))
}

/// Makes one tensor of matrices of the same width.
pub(super) fn tensor(
    tensors: &[Located<'_>],
    placement: &Placement,
) -> Result<DeviceResult<Tensor>, LoadError> {
    let (shape, device) = (shape_of(tensors), &placement.device);
    Ok(match placement.precision.dtype {
        Dtype::F32 => Tensor::from_vec(converted(tensors, |value| value)?, shape, device),
        Dtype::Bf16 => Tensor::from_vec(converted(tensors, bf16::from_f32)?, shape, device),
    })
}

fn converted<T>(tensors: &[Located<'_>], convert: impl Fn(f32) -> T) -> Result<Vec<T>, LoadError> {
    let (rows, columns) = shape_of(tensors);
    let mut values = Vec::with_capacity(rows * columns);
    let mut part = Vec::new();
    for tensor in tensors {
        tensor.read(|rows| {
            part.clear();
            append_rows(tensor, rows, &mut part)?;
            values.extend(part.iter().map(|value| convert(*value)));
            Ok(())
        })?;
    }
    Ok(values)
}

/// Rows and columns of matrices below each other.
fn shape_of(tensors: &[Located<'_>]) -> (usize, usize) {
    let rows = tensors.iter().map(|tensor| tensor.rows).sum();
    (rows, tensors.first().map_or(0, |tensor| tensor.columns))
}

/// Appends the values of some rows of a tensor, whatever its format.
fn append_rows(tensor: &Located<'_>, bytes: &[u8], values: &mut Vec<f32>) -> Result<(), LoadError> {
    if let Some(format) = FloatFormat::of(tensor.format) {
        append_floats(format, bytes, values);
        return Ok(());
    }
    let widened = |values: &mut Vec<f32>| -> Result<(), ShapeError> {
        let (rows, columns) = (bytes.len() / tensor.row_bytes(), tensor.columns);
        let matrix = PackedMatrix::from_bytes(tensor.format, rows, columns, bytes)?;
        let start = values.len();
        values.resize(start + rows * columns, 0.0);
        let targets = values[start..].chunks_exact_mut(columns);
        targets
            .enumerate()
            .for_each(|(index, target)| matrix.row(index, target));
        Ok(())
    };
    widened(values).map_err(|source| tensor.layout_error(source))
}
