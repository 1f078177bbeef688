//! Where the tensors that the layers ask for lie in safetensors: under other names, packed with others,
//! with their rows in another order.

use std::sync::Arc;

use super::Shape;
use super::read::{RowOrder, Runs};
use super::rotary::RotaryOrders;
use crate::text::config::{ModelConfig, RotaryPairs, TensorLayout};

/// How the tensors of a model lie in its files.
pub(super) struct FileLayout {
    kind: TensorLayout,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    intermediate_size: usize,
    rotary: RotaryOrders,
    /// What is added to the weights of norms.
    pub(super) norm_offset: f32,
}

/// Where a tensor lies.
pub(super) struct Place {
    /// The name of the tensor that it is, or is a part of.
    pub(super) name: String,
    /// Which rows of that one it is; `None` for all.
    pub(super) part: Option<Part>,
    pub(super) order: RowOrder,
}

/// Some of the rows of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Rows of the whole tensor.
    pub(super) total: usize,
    /// The first row.
    pub(super) first: usize,
    pub(super) runs: Runs,
}

impl FileLayout {
    /// Names and rows as they are asked for.
    pub(super) fn plain() -> Self {
        Self {
            kind: TensorLayout::Plain,
            heads: 0,
            kv_heads: 0,
            head_dim: 0,
            intermediate_size: 0,
            rotary: RotaryOrders::plain(),
            norm_offset: 0.0,
        }
    }

    pub(super) fn of(config: &ModelConfig) -> Self {
        Self {
            kind: config.layout,
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            intermediate_size: config.intermediate_size,
            rotary: RotaryOrders::of(config, config.rope.pairs),
            norm_offset: if config.norms.unit_offset { 1.0 } else { 0.0 },
        }
    }

    /// Where the tensor is that the layers know by this name.
    pub(super) fn place(&self, name: &str) -> Place {
        let order = self.rotary.order(name);
        let (name, part) = match in_layer(name) {
            Some(inside) => self.place_in_layer(inside),
            None => (self.outside(name).to_owned(), None),
        };
        Place { name, part, order }
    }

    fn outside<'name>(&self, name: &'name str) -> &'name str {
        match (self.kind, name) {
            (TensorLayout::InternLm2, "model.embed_tokens.weight") => "model.tok_embeddings.weight",
            (TensorLayout::InternLm2, "lm_head.weight") => "output.weight",
            (TensorLayout::ChatGlm, "model.embed_tokens.weight") => {
                "transformer.embedding.word_embeddings.weight"
            }
            (TensorLayout::ChatGlm, "model.norm.weight") => "transformer.encoder.final_layernorm.weight",
            (TensorLayout::ChatGlm, "lm_head.weight") => "transformer.output_layer.weight",
            (TensorLayout::TeleChat, "model.embed_tokens.weight") => "transformer.word_embeddings.weight",
            (TensorLayout::TeleChat, "model.norm.weight") => "transformer.ln_f.weight",
            _ => name,
        }
    }

    fn place_in_layer(&self, inside: InLayer<'_>) -> (String, Option<Part>) {
        let InLayer { layer, module, kind } = inside;
        let (prefix, (module, part)) = match self.kind {
            TensorLayout::Plain => ("model.layers", (module, None)),
            TensorLayout::Glm => ("model.layers", self.glm(module)),
            TensorLayout::Gemma2 => ("model.layers", (gemma2(module), None)),
            TensorLayout::InternLm2 => ("model.layers", self.intern_lm2(module)),
            TensorLayout::ChatGlm => ("transformer.encoder.layers", self.chat_glm(module)),
            TensorLayout::TeleChat => ("transformer.h", self.tele_chat(module)),
        };
        (format!("{prefix}.{layer}.{module}.{kind}"), part)
    }

    fn glm<'name>(&self, module: &'name str) -> (&'name str, Option<Part>) {
        match self.half(module) {
            Some(part) => ("mlp.gate_up_proj", Some(part)),
            None => (module, None),
        }
    }

    fn chat_glm<'name>(&self, module: &'name str) -> (&'name str, Option<Part>) {
        match (self.third(module), self.half(module), module) {
            (Some(part), ..) => ("self_attention.query_key_value", Some(part)),
            (_, Some(part), _) => ("mlp.dense_h_to_4h", Some(part)),
            (.., "self_attn.o_proj") => ("self_attention.dense", None),
            (.., "mlp.down_proj") => ("mlp.dense_4h_to_h", None),
            (.., module) => (module, None),
        }
    }

    fn intern_lm2<'name>(&self, module: &'name str) -> (&'name str, Option<Part>) {
        if let Some(part) = self.grouped(module) {
            return ("attention.wqkv", Some(part));
        }
        let module = match module {
            "self_attn.o_proj" => "attention.wo",
            "mlp.gate_proj" => "feed_forward.w1",
            "mlp.up_proj" => "feed_forward.w3",
            "mlp.down_proj" => "feed_forward.w2",
            "input_layernorm" => "attention_norm",
            "post_attention_layernorm" => "ffn_norm",
            module => module,
        };
        (module, None)
    }

    fn tele_chat<'name>(&self, module: &'name str) -> (&'name str, Option<Part>) {
        match module {
            "self_attn.q_proj" => ("self_attention.query", None),
            "self_attn.k_proj" => ("self_attention.key_value", Some(self.side_by_side(0))),
            "self_attn.v_proj" => ("self_attention.key_value", Some(self.side_by_side(1))),
            "self_attn.o_proj" => ("self_attention.dense", None),
            module => (module, None),
        }
    }

    /// Gate and up as the halves of one tensor.
    pub(super) fn half(&self, module: &str) -> Option<Part> {
        let rows = self.intermediate_size;
        let first = match module {
            "mlp.gate_proj" => 0,
            "mlp.up_proj" => rows,
            _ => return None,
        };
        Some(Part::stretch(first, rows, 2 * rows))
    }

    /// Queries, keys and values as the parts of one tensor.
    pub(super) fn third(&self, module: &str) -> Option<Part> {
        let (queries, keys) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let (first, rows) = match module {
            "self_attn.q_proj" => (0, queries),
            "self_attn.k_proj" => (queries, keys),
            "self_attn.v_proj" => (queries + keys, keys),
            _ => return None,
        };
        Some(Part::stretch(first, rows, queries + 2 * keys))
    }

    /// As `third`, the parts of each key head one after the other.
    fn grouped(&self, module: &str) -> Option<Part> {
        let queries = self.heads / self.kv_heads * self.head_dim;
        let (first, length) = match module {
            "self_attn.q_proj" => (0, queries),
            "self_attn.k_proj" => (queries, self.head_dim),
            "self_attn.v_proj" => (queries + self.head_dim, self.head_dim),
            _ => return None,
        };
        let distance = queries + 2 * self.head_dim;
        Some(Part {
            total: self.kv_heads * distance,
            first,
            runs: Runs { length, distance },
        })
    }

    /// Keys and values, those of each head beside each other.
    const fn side_by_side(&self, index: usize) -> Part {
        Part {
            total: 2 * self.kv_heads * self.head_dim,
            first: index * self.head_dim,
            runs: Runs {
                length: self.head_dim,
                distance: 2 * self.head_dim,
            },
        }
    }
}

impl Part {
    /// Rows that lie one after the other.
    const fn stretch(first: usize, rows: usize, total: usize) -> Self {
        Self {
            total,
            first,
            runs: Runs {
                length: rows,
                distance: rows,
            },
        }
    }

    /// The shape of the whole tensor, by that of this part.
    pub(super) const fn whole(&self, part: Shape) -> Shape {
        match part {
            Shape::Vector(_) => Shape::Vector(self.total),
            Shape::Matrix(_, columns) => Shape::Matrix(self.total, columns),
        }
    }
}

/// A tensor's name, taken apart.
#[derive(Clone, Copy)]
pub(super) struct InLayer<'name> {
    pub(super) layer: &'name str,
    pub(super) module: &'name str,
    /// `weight` or `bias`.
    pub(super) kind: &'name str,
}

/// `None` for tensors that are no layer's.
pub(super) fn in_layer(name: &str) -> Option<InLayer<'_>> {
    let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (module, kind) = rest.rsplit_once('.')?;
    Some(InLayer { layer, module, kind })
}

/// Whether a tensor's rows are those of heads that are rotated.
pub(super) fn is_rotated(name: &str) -> bool {
    let modules = [".q_proj.", ".k_proj.", ".q_norm.", ".k_norm."];
    modules.iter().any(|module| name.contains(module))
}

/// Which row of a head in a file is which of this engine's heads, whose first half is rotated with the
/// second: dimensions that are not rotated at all stand at the end of either half.
pub(super) fn rotary_order(head_dim: usize, rotated: usize, pairs: RotaryPairs) -> RowOrder {
    let (half, pairs_of) = (head_dim / 2, rotated / 2);
    let passed = half - pairs_of;
    let row = |index: usize| {
        let (second, index) = (index / half, index % half);
        match (index.checked_sub(pairs_of), pairs) {
            (Some(beyond), _) => rotated + second * passed + beyond,
            (None, RotaryPairs::Neighbours) => 2 * index + second,
            (None, RotaryPairs::Halves) => second * pairs_of + index,
        }
    };
    let rows: Vec<usize> = (0..head_dim).map(row).collect();
    if rows.is_sorted() {
        RowOrder::Plain
    } else {
        RowOrder::Heads(Arc::from(rows))
    }
}

fn gemma2(module: &str) -> &str {
    match module {
        "post_self_attn_layernorm" => "post_attention_layernorm",
        "post_attention_layernorm" => "pre_feedforward_layernorm",
        "post_mlp_layernorm" => "post_feedforward_layernorm",
        _ => module,
    }
}

#[cfg(test)]
mod tests;
