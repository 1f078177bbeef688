use std::sync::Arc;

use candle_core::Device;

use super::*;
use crate::gguf::TensorFormat;
use crate::kernels::PackedMatrix;
use crate::text::matrix::Packed;

const HEADS: usize = 5;
const INPUTS: usize = 64;
const OUTPUTS: usize = 24;

fn random(shape: &[usize]) -> Tensor {
    Tensor::randn(0.0_f32, 1.0, shape, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The products of each head's matrix, `[outputs, inputs]` each.
fn packed(matrices: &[Tensor], format: TensorFormat) -> HeadProducts {
    let packed = matrices.iter().map(|matrix| {
        let matrix = PackedMatrix::quantize(format, OUTPUTS, INPUTS, &values(matrix)).unwrap();
        Arc::new(Weight::Packed(Packed::new(vec![matrix])))
    });
    HeadProducts::new(packed.collect())
}

fn matrices() -> Vec<Tensor> {
    (0..HEADS).map(|_| random(&[OUTPUTS, INPUTS])).collect()
}

#[test]
fn each_head_is_multiplied_with_its_own_matrix() {
    let matrices = matrices();
    let own = packed(&matrices, TensorFormat::F32);
    let tensors = matrices
        .iter()
        .map(|matrix| Arc::new(Weight::Tensor(matrix.clone())));
    let tensors = HeadProducts::new(tensors.collect());
    for rows in [1, 2, 33] {
        let input = random(&[rows, HEADS, INPUTS]);
        let (own, tensors) = (own.forward(&input).unwrap(), tensors.forward(&input).unwrap());
        assert_eq!(own.dims(), [rows, HEADS, OUTPUTS]);
        let difference = (own - tensors).unwrap().abs().unwrap().max_all().unwrap();
        assert!(difference.to_scalar::<f32>().unwrap() < 1e-4, "{rows} rows");
    }
}

#[test]
fn a_row_s_products_depend_on_no_other_row() {
    for format in [TensorFormat::F32, TensorFormat::Q8_0, TensorFormat::Q4_0] {
        let products = packed(&matrices(), format);
        let input = random(&[70, HEADS, INPUTS]);
        let bits = |input: &Tensor| -> Vec<u32> {
            let output = values(&products.forward(input).unwrap());
            output.iter().map(|value| value.to_bits()).collect()
        };
        let alone = (0..70).flat_map(|row| bits(&input.narrow(0, row, 1).unwrap()));
        let alone: Vec<u32> = alone.collect();
        assert!(alone == bits(&input), "{}", format.name());
    }
}

#[test]
fn inputs_of_other_heads_or_widths_are_an_error() {
    let products = packed(&matrices(), TensorFormat::F32);
    for shape in [[3, HEADS + 1, INPUTS], [3, HEADS, INPUTS + 1]] {
        assert!(products.forward(&random(&shape)).is_err(), "{shape:?}");
    }
}
