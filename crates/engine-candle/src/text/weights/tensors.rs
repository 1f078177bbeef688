//! Which tensors a model has: what is loaded, and what its headers are checked for, is one list. The
//! names are those that the transformers library has for Llama and what is made like it (`post_self_attn_layernorm`
//! and `post_mlp_layernorm` are GLM-4's); where they lie is another matter (`layout.rs`, `gguf.rs`).

mod mla;
mod moe;

pub(crate) use self::mla::{LatentHeads, MlaTensors};
pub(crate) use self::moe::MoeTensors;
use super::Shape;
use crate::text::config::ModelConfig;

/// The tensors that a configuration asks for.
pub(crate) struct ModelTensors<'config> {
    config: &'config ModelConfig,
}

/// A tensor of one dimension, such as a norm's weights.
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) size: usize,
}

/// A table with a row for each token id.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) rows: usize,
    pub(crate) width: usize,
}

/// Projections of the same input that are computed as one.
pub(crate) struct Projections {
    /// Prefixes of the tensors' names, and outputs.
    pub(crate) parts: Vec<(String, usize)>,
    pub(crate) inputs: usize,
    pub(crate) bias: bool,
}

/// The tensors of one layer.
pub(crate) struct LayerTensors {
    pub(crate) input_norm: Vector,
    pub(crate) attention: LayerAttention,
    pub(crate) attention_norm: Vector,
    /// Norms of what attention and the feed-forward block say.
    pub(crate) after: Option<(Vector, Vector)>,
    pub(crate) feed_forward: LayerFeedForward,
}

/// The tensors of a layer's attention, by its kind.
pub(crate) enum LayerAttention {
    Heads(AttentionTensors),
    Latent(MlaTensors),
}

/// The tensors of a layer's feed-forward block, by its kind.
pub(crate) enum LayerFeedForward {
    Dense { gate_up: Projections, down: Projections },
    Experts(Box<MoeTensors>),
}

/// The tensors of a layer's attention by heads.
pub(crate) struct AttentionTensors {
    pub(crate) qkv: Projections,
    pub(crate) output: Projections,
    /// Norms of queries and keys.
    pub(crate) head_norms: Option<(Vector, Vector)>,
}

/// A tensor's name and the shape that it must have.
pub(super) type Named = (String, Shape);

impl<'config> ModelTensors<'config> {
    pub(crate) const fn of(config: &'config ModelConfig) -> Self {
        Self { config }
    }

    pub(crate) fn embeddings(&self) -> Table {
        self.table("model.embed_tokens.weight")
    }

    /// The output projection; `None` when it is the table of embeddings.
    pub(crate) fn head(&self) -> Option<Table> {
        (!self.config.tied_embeddings).then(|| self.table("lm_head.weight"))
    }

    pub(crate) fn norm(&self) -> Vector {
        Vector {
            name: "model.norm.weight".to_owned(),
            size: self.config.hidden_size,
        }
    }

    /// One layer's, so that a configuration that claims millions of them costs no memory.
    pub(crate) fn layer(&self, index: usize) -> LayerTensors {
        let config = self.config;
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let prefix = format!("model.layers.{index}");
        let norm = |name: &str| Vector {
            name: format!("{prefix}.{name}.weight"),
            size: width,
        };
        let projections = |names: &[&str], outputs: usize, inputs: usize, bias: bool| Projections {
            parts: names
                .iter()
                .map(|name| (format!("{prefix}.mlp.{name}"), outputs))
                .collect(),
            inputs,
            bias,
        };
        let after = || (norm("post_self_attn_layernorm"), norm("post_mlp_layernorm"));
        let experts = config
            .moe
            .as_ref()
            .filter(|moe| moe.layers.get(index) == Some(&true));
        LayerTensors {
            input_norm: norm("input_layernorm"),
            attention: match &config.mla {
                Some(mla) => LayerAttention::Latent(MlaTensors::of(config, mla, &prefix)),
                None => LayerAttention::Heads(self.attention(&format!("{prefix}.self_attn"))),
            },
            attention_norm: norm("post_attention_layernorm"),
            after: config.norms.after.then(after),
            feed_forward: match experts {
                Some(experts) => {
                    LayerFeedForward::Experts(Box::new(MoeTensors::of(config, experts, &prefix)))
                }
                None => LayerFeedForward::Dense {
                    gate_up: projections(&["gate_proj", "up_proj"], inner, width, config.biases.gate_up),
                    down: projections(&["down_proj"], width, inner, config.biases.down),
                },
            },
        }
    }

    /// All but the layers'.
    pub(super) fn outside_layers(&self) -> Vec<Named> {
        let tables = [Some(self.embeddings()), self.head()];
        let mut named: Vec<Named> = tables.into_iter().flatten().map(Table::named).collect();
        named.push(self.norm().named());
        named
    }

    fn table(&self, name: &'static str) -> Table {
        Table {
            name,
            rows: self.config.vocab_size,
            width: self.config.hidden_size,
        }
    }

    fn attention(&self, prefix: &str) -> AttentionTensors {
        let config = self.config;
        let width = config.hidden_size;
        let (queries, keys) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let norm = |name: &str| Vector {
            name: format!("{prefix}.{name}.weight"),
            size: config.head_dim,
        };
        let part = |name: &str, outputs| (format!("{prefix}.{name}"), outputs);
        AttentionTensors {
            qkv: Projections {
                parts: vec![
                    part("q_proj", queries),
                    part("k_proj", keys),
                    part("v_proj", keys),
                ],
                inputs: width,
                bias: config.biases.qkv,
            },
            output: Projections {
                parts: vec![part("o_proj", width)],
                inputs: queries,
                bias: config.biases.output,
            },
            head_norms: config.norms.heads.then(|| (norm("q_norm"), norm("k_norm"))),
        }
    }
}

impl LayerTensors {
    pub(super) fn all(self) -> Vec<Named> {
        // Every field by name, so that one that is added is checked too.
        let Self {
            input_norm,
            attention,
            attention_norm,
            after,
            feed_forward,
        } = self;
        let mut named = vec![input_norm.named(), attention_norm.named()];
        named.extend(
            after
                .into_iter()
                .flat_map(|(one, other)| [one.named(), other.named()]),
        );
        named.extend(match attention {
            LayerAttention::Heads(attention) => attention.all(),
            LayerAttention::Latent(attention) => attention.all(),
        });
        match feed_forward {
            LayerFeedForward::Dense { gate_up, down } => {
                named.extend([gate_up, down].iter().flat_map(Projections::named));
            }
            LayerFeedForward::Experts(experts) => named.extend(experts.all()),
        }
        named
    }
}

impl AttentionTensors {
    fn all(self) -> Vec<Named> {
        let Self {
            qkv,
            output,
            head_norms,
        } = self;
        let norms = head_norms.into_iter().flat_map(|(queries, keys)| [queries, keys]);
        let mut named: Vec<Named> = norms.map(Vector::named).collect();
        named.extend([qkv, output].iter().flat_map(Projections::named));
        named
    }
}

impl Vector {
    fn named(self) -> Named {
        (self.name, Shape::Vector(self.size))
    }
}

impl Table {
    fn named(self) -> Named {
        (self.name.to_owned(), Shape::Matrix(self.rows, self.width))
    }
}

impl Projections {
    fn named(&self) -> impl Iterator<Item = Named> {
        let weights = self.weights().into_iter();
        let weights = weights.map(|(name, outputs)| (name, Shape::Matrix(outputs, self.inputs)));
        let biases = self.biases().into_iter();
        weights.chain(biases.map(|(name, outputs)| (name, Shape::Vector(outputs))))
    }

    /// Names of the matrices, and their rows.
    pub(crate) fn weights(&self) -> Vec<(String, usize)> {
        self.suffixed("weight")
    }

    /// Names of the biases, and their sizes; empty without biases.
    pub(crate) fn biases(&self) -> Vec<(String, usize)> {
        if self.bias {
            self.suffixed("bias")
        } else {
            Vec::new()
        }
    }

    fn suffixed(&self, suffix: &str) -> Vec<(String, usize)> {
        self.parts
            .iter()
            .map(|(prefix, outputs)| (format!("{prefix}.{suffix}"), *outputs))
            .collect()
    }
}
