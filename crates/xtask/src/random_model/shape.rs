//! Shapes of models and the tensors that follow from them.

/// Numbers of a Qwen2.5 model with tied embeddings.
pub(super) struct Shape {
    /// The catalogue id of the written model.
    pub(super) id: &'static str,
    pub(super) hidden: usize,
    pub(super) intermediate: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) vocabulary: usize,
    /// Id of `<|endoftext|>`, which `<|im_start|>` and `<|im_end|>` follow.
    pub(super) first_special: usize,
    pub(super) context: usize,
}

/// A tensor of the weight file.
pub(super) struct TensorSpec {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) kind: TensorKind,
}

/// What values a tensor gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TensorKind {
    /// Around 0.
    Random,
    /// All ones, as norms are before training.
    Ones,
}

impl Shape {
    /// Qwen2.5-0.5B, as published.
    pub(super) const fn qwen25_half() -> Self {
        Self {
            id: "bench/random-qwen2.5-0.5b",
            hidden: 896,
            intermediate: 4864,
            layers: 24,
            heads: 14,
            kv_heads: 2,
            vocabulary: 151_936,
            first_special: 151_643,
            context: 32_768,
        }
    }

    /// Loads in a moment.
    pub(super) const fn tiny() -> Self {
        Self {
            id: "bench/random-tiny",
            hidden: 64,
            intermediate: 128,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            vocabulary: 512,
            first_special: 500,
            context: 2048,
        }
    }

    /// The tensors in the order of the file.
    pub(super) fn tensors(&self) -> Vec<TensorSpec> {
        let (hidden, inner) = (self.hidden, self.intermediate);
        let kv_width = hidden / self.heads * self.kv_heads;
        let mut tensors = vec![random(
            "model.embed_tokens.weight".to_owned(),
            &[self.vocabulary, hidden],
        )];
        for layer in 0..self.layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            tensors.push(ones(name("input_layernorm.weight"), hidden));
            for (projection, rows) in [("q_proj", hidden), ("k_proj", kv_width), ("v_proj", kv_width)] {
                tensors.push(random(
                    name(&format!("self_attn.{projection}.weight")),
                    &[rows, hidden],
                ));
                tensors.push(random(name(&format!("self_attn.{projection}.bias")), &[rows]));
            }
            tensors.push(random(name("self_attn.o_proj.weight"), &[hidden, hidden]));
            tensors.push(ones(name("post_attention_layernorm.weight"), hidden));
            tensors.push(random(name("mlp.gate_proj.weight"), &[inner, hidden]));
            tensors.push(random(name("mlp.up_proj.weight"), &[inner, hidden]));
            tensors.push(random(name("mlp.down_proj.weight"), &[hidden, inner]));
        }
        tensors.push(ones("model.norm.weight".to_owned(), hidden));
        tensors
    }
}

impl TensorSpec {
    /// The number of values.
    pub(super) fn size(&self) -> usize {
        self.shape.iter().product()
    }
}

fn random(name: String, shape: &[usize]) -> TensorSpec {
    TensorSpec {
        name,
        shape: shape.to_vec(),
        kind: TensorKind::Random,
    }
}

fn ones(name: String, size: usize) -> TensorSpec {
    TensorSpec {
        name,
        shape: vec![size],
        kind: TensorKind::Ones,
    }
}
