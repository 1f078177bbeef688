//! Where the weights go, and in which format.

use candle_core::{DType, Device};

use crate::gguf::TensorFormat;
use crate::{Dtype, Precision, Quantization};

/// Where the weights go, and what becomes of those that are not quantised in their file.
#[derive(Debug, Clone)]
pub(crate) struct Placement {
    pub(crate) device: Device,
    pub(crate) precision: Precision,
}

/// What a matrix is for: the formats depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A projection of a layer, or a table of embeddings that is not the head.
    Inner,
    /// The projection to the logits, also when it is the table as well.
    Head,
    /// What chooses experts. It is small, and where it errs other experts compute the token, so it
    /// keeps all the bits that it has in its file.
    Router,
}

impl Placement {
    /// The number format that activations have on this device (see [`Dtype`]).
    pub(crate) fn activation_dtype(&self) -> DType {
        if self.device.is_cpu() {
            DType::F32
        } else {
            self.dtype()
        }
    }

    /// The number format of weights that are tensors.
    pub(crate) fn dtype(&self) -> DType {
        match self.precision.dtype {
            Dtype::F32 => DType::F32,
            Dtype::Bf16 => DType::BF16,
        }
    }

    /// As it is for a matrix that becomes a tensor: what chooses experts is in f32 there, as in the reference.
    pub(super) fn of_tensors(&self, role: Role) -> Self {
        let mut placement = self.clone();
        if role == Role::Router {
            placement.precision.dtype = Dtype::F32;
        }
        placement
    }

    /// The format that a matrix has in the CPU's memory, by its format in the file: a quantised one
    /// stays as it is.
    pub(super) fn format(&self, file: TensorFormat, width: usize, role: Role) -> TensorFormat {
        if file.block_values() > 1 {
            return file;
        }
        if role == Role::Router {
            return match file {
                TensorFormat::Bf16 => TensorFormat::Bf16,
                _ => TensorFormat::F32,
            };
        }
        let quantised = self.precision.quantize;
        let quantised = quantised.and_then(|wanted| quantised_as(wanted, width, role));
        quantised.unwrap_or(self.plain_format())
    }

    /// The format of a matrix whose rows of `width` values are columns of one in the file. Blocks
    /// cannot be turned, so it is rounded anew, and finely where that has been done before.
    pub(super) fn format_of_turned(&self, file: TensorFormat, width: usize) -> TensorFormat {
        if file.block_values() == 1 {
            return self.format(file, width, Role::Inner);
        }
        quantised_as(Quantization::Q8_0, width, Role::Inner).unwrap_or(self.plain_format())
    }

    fn plain_format(&self) -> TensorFormat {
        match self.precision.dtype {
            Dtype::F32 => TensorFormat::F32,
            Dtype::Bf16 => TensorFormat::Bf16,
        }
    }
}

/// The head decides every token, so it keeps more bits. (`llama_tensor_get_type` in llama.cpp, which
/// takes `Q6_K` for it where the width allows and `Q8_0` elsewhere; rounding to `Q6_K` is a search.)
/// `None` for rows that are no multiple of a block.
fn quantised_as(wanted: Quantization, width: usize, role: Role) -> Option<TensorFormat> {
    let format = match (wanted, role) {
        (Quantization::Q8_0, _) | (Quantization::Q4_0, Role::Head) => TensorFormat::Q8_0,
        (Quantization::Q4_0, Role::Inner | Role::Router) => TensorFormat::Q4_0,
    };
    (width as u64)
        .is_multiple_of(format.block_values())
        .then_some(format)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(quantize: Option<Quantization>, file: TensorFormat, width: usize, role: Role) -> TensorFormat {
        let placement = Placement {
            device: Device::Cpu,
            precision: Precision {
                dtype: Dtype::Bf16,
                quantize,
            },
        };
        placement.format(file, width, role)
    }

    #[test]
    fn the_head_keeps_more_bits() {
        let q4 = Some(Quantization::Q4_0);
        let of = |width, role| format(q4, TensorFormat::F16, width, role);
        assert_eq!(of(512, Role::Inner), TensorFormat::Q4_0);
        assert_eq!(of(512, Role::Head), TensorFormat::Q8_0);
    }

    #[test]
    fn rows_that_are_no_multiple_of_a_block_stay_as_they_are() {
        for quantize in [Quantization::Q8_0, Quantization::Q4_0] {
            let of = |role| format(Some(quantize), TensorFormat::F32, 48, role);
            assert_eq!(of(Role::Inner), TensorFormat::Bf16);
            assert_eq!(of(Role::Head), TensorFormat::Bf16);
        }
    }

    #[test]
    fn what_chooses_experts_keeps_all_its_bits() {
        let of = |file| format(Some(Quantization::Q4_0), file, 256, Role::Router);
        assert_eq!(of(TensorFormat::F32), TensorFormat::F32);
        assert_eq!(of(TensorFormat::F16), TensorFormat::F32);
        assert_eq!(of(TensorFormat::Bf16), TensorFormat::Bf16);
    }

    #[test]
    fn what_chooses_experts_is_no_bf16_as_a_tensor_either() {
        let placement = Placement {
            device: Device::Cpu,
            precision: Dtype::Bf16.into(),
        };
        assert_eq!(placement.of_tensors(Role::Router).dtype(), DType::F32);
        assert_eq!(placement.of_tensors(Role::Inner).dtype(), DType::BF16);
    }

    #[test]
    fn a_turned_matrix_is_rounded_finely_where_it_was_rounded_before() {
        let placement = Placement {
            device: Device::Cpu,
            precision: Dtype::Bf16.into(),
        };
        assert_eq!(
            placement.format_of_turned(TensorFormat::Q4K, 128),
            TensorFormat::Q8_0
        );
        assert_eq!(
            placement.format_of_turned(TensorFormat::Q8_0, 48),
            TensorFormat::Bf16
        );
        assert_eq!(
            placement.format_of_turned(TensorFormat::F32, 128),
            TensorFormat::Bf16
        );
    }

    #[test]
    fn what_is_quantised_in_the_file_is_not_quantised_again() {
        let of = |file| format(Some(Quantization::Q8_0), file, 256, Role::Inner);
        assert_eq!(of(TensorFormat::Q4K), TensorFormat::Q4K);
        assert_eq!(of(TensorFormat::Bf16), TensorFormat::Q8_0);
        assert_eq!(
            format(None, TensorFormat::F32, 256, Role::Inner),
            TensorFormat::Bf16
        );
    }
}
