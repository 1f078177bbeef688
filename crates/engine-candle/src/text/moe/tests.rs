use std::path::PathBuf;

use candle_core::Device;

use super::*;
use crate::text::weights::{LayerFeedForward, ModelTensors, Placement};
use crate::{Dtype, ModelConfig, Precision, Quantization};

/// The experts of a layer of a fixture.
fn experts(name: &str, layer: usize, quantize: Option<Quantization>) -> Moe {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    let config = ModelConfig::read(&folder).unwrap();
    let placement = Placement {
        device: Device::Cpu,
        precision: Precision {
            dtype: Dtype::F32,
            quantize,
        },
    };
    let weights = Weights::of_decoder(&folder, &config, placement).unwrap();
    let LayerFeedForward::Experts(tensors) = ModelTensors::of(&config).layer(layer).feed_forward else {
        panic!("layer {layer} is dense")
    };
    Moe::load(&weights, &tensors, config.gate).unwrap()
}

fn rows(count: usize, width: usize) -> Tensor {
    Tensor::randn(0.0_f32, 1.0, (count, width), &Device::Cpu).unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn a_row_s_result_depends_on_no_other_row() {
    for (name, layer) in [
        ("mixtral", 0),
        ("qwen2-moe", 1),
        ("qwen3-moe", 1),
        ("deepseek-v2", 1),
        ("deepseek-v3", 2),
    ] {
        for quantize in [None, Some(Quantization::Q8_0), Some(Quantization::Q4_0)] {
            let experts = experts(name, layer, quantize);
            let (input, residual) = (rows(90, 32), rows(90, 32));
            let together = bits(&experts.apply(&input, Some(&residual)).unwrap());
            for count in [1, 7, 45] {
                let parts = (0..90).step_by(count).flat_map(|first| {
                    let part = |rows: &Tensor| rows.narrow(0, first, count.min(90 - first)).unwrap();
                    let (input, residual) = (part(&input), part(&residual));
                    bits(&experts.apply(&input, Some(&residual)).unwrap())
                });
                let parts: Vec<u32> = parts.collect();
                assert!(parts == together, "{name} {quantize:?}: {count} rows at a time");
            }
        }
    }
}

#[test]
fn what_devices_add_up_is_what_the_cpu_does() {
    let experts = experts("deepseek-v3", 1, None);
    let (input, residual) = (rows(30, 32), rows(30, 32));
    let logits = experts.router.forward(&input).unwrap().to_vec2::<f32>().unwrap();
    let correction = experts.correction.as_deref();
    let chosen: Vec<Vec<Chosen>> = logits
        .iter()
        .map(|logits| choose(&experts.config, logits, correction))
        .collect();
    let shares = experts.shares(&chosen);
    assert!(shares.len() > 4 && shares.iter().any(|share| share.rows.len() > 4));
    let computed: Vec<Tensor> = shares
        .iter()
        .map(|share| share.compute(&input).unwrap())
        .collect();
    let own = add_on_cpu(&residual, &shares, &computed).unwrap();
    let device = add_on_device(residual, &shares, &computed).unwrap();
    let difference = (own - device).unwrap().abs().unwrap().max_all().unwrap();
    assert!(difference.to_scalar::<f32>().unwrap() < 1e-5);
}

#[test]
fn the_router_is_not_rounded() {
    let experts = experts("deepseek-v3", 1, Some(Quantization::Q4_0));
    assert_eq!(experts.router.weight().formats(), ["F32"]);
    let blocks = experts.weights().flat_map(Weight::formats);
    assert!(blocks.filter(|format| *format == "Q4_0").count() > 12);
}

/// On devices it is a tensor of its own format, whatever the activations have.
#[test]
fn a_router_that_is_a_tensor_gives_scores_in_f32() {
    let (weight, input) = (rows(12, 32), rows(5, 32));
    let expected = input.matmul(&weight.t().unwrap()).unwrap();
    let router = Linear::of(std::sync::Arc::new(Weight::Tensor(weight)));
    assert_eq!(bits(&scores_of(&router, &input).unwrap()), bits(&expected));
    let rounded = input.to_dtype(DType::BF16).unwrap();
    let scores = scores_of(&router, &rounded).unwrap();
    assert_eq!((scores.dtype(), scores.dims()), (DType::F32, [5, 12].as_slice()));
    let difference = (scores - expected).unwrap().abs().unwrap().max_all().unwrap();
    assert!(
        difference.to_scalar::<f32>().unwrap() < 0.3,
        "only the input is rounded"
    );
}

#[test]
fn a_gate_scales_the_shared_expert_before_the_residual_is_added() {
    let (shared, residual) = (rows(40, 32), rows(40, 32));
    let gates = rows(40, 1);
    let factors = candle_nn::ops::sigmoid(&gates).unwrap();
    let scaled = shared.broadcast_mul(&factors).unwrap();
    let alone = gated_onto(&shared, &gates, None).unwrap();
    assert_eq!(bits(&alone), bits(&scaled));
    let added = gated_onto(&shared, &gates, Some(&residual)).unwrap();
    assert_eq!(bits(&added), bits(&(scaled + residual).unwrap()));
    assert!(gated_onto(&shared, &rows(39, 1), None).is_err());
}
