//! The tensors of a GGUF file under the names that the layers ask for.

use std::sync::Arc;

use super::Shape;
use super::layout::{FileLayout, InLayer, Part, in_layer, is_rotated, rotary_order};
use super::read::{Located, RowOrder};
use crate::LoadError;
use crate::gguf::GgufFile;
use crate::text::config::ModelConfig;

/// A GGUF file as the weights of a model.
pub(super) struct GgufTensors {
    file: Arc<GgufFile>,
    /// For the parts of packed tensors.
    layout: FileLayout,
    /// Of the rows of queries and keys.
    rotary: RowOrder,
}

/// Where a tensor lies.
struct Place {
    name: String,
    part: Option<Part>,
}

impl GgufTensors {
    /// # Errors
    /// When the file's architecture is not the configuration's: its rows may be in another order.
    pub(super) fn new(file: Arc<GgufFile>, config: &ModelConfig) -> Result<Self, LoadError> {
        let pairs = file.rotary_pairs(config.family)?;
        let rope = &config.rope;
        Ok(Self {
            file,
            layout: FileLayout::of(config),
            rotary: rotary_order(rope.head_dim, rope.rotated, pairs),
        })
    }

    pub(super) fn locate(&self, name: &str, expected: Shape) -> Result<Located<'_>, LoadError> {
        let Place { name: own, part } = self.place(name);
        let tensor = self.file.tensor(&own).ok_or_else(|| LoadError::MissingTensor {
            path: self.file.path().to_owned(),
            name: own.clone(),
        })?;
        let whole = part.map_or(expected, |part| part.whole(expected));
        whole.check(self.file.path(), &own, &tensor.shape)?;
        if matches!(expected, Shape::Vector(_)) && tensor.format.block_values() > 1 {
            return Err(LoadError::WrongFormat {
                path: self.file.path().to_owned(),
                name: own,
                format: tensor.format.name().to_owned(),
            });
        }
        Ok(Located {
            path: self.file.path(),
            name: own,
            offset: tensor.offset,
            rows: expected.rows(),
            columns: expected.columns(),
            format: tensor.format,
            order: if is_rotated(name) {
                self.rotary.clone()
            } else {
                RowOrder::Plain
            },
            runs: None,
        }
        .part(part))
    }

    /// Some files have the projections packed that others have apart.
    fn place(&self, name: &str) -> Place {
        self.packed(name).unwrap_or_else(|| Place {
            name: name_in_file(name),
            part: None,
        })
    }

    fn packed(&self, name: &str) -> Option<Place> {
        let InLayer { layer, module, kind } = in_layer(name)?;
        let (packed, part) = match self.layout.half(module) {
            Some(part) => ("ffn_up", part),
            None => ("attn_qkv", self.layout.third(module)?),
        };
        let packed = format!("blk.{layer}.{packed}.{kind}");
        let rows = self.file.tensor(&packed)?.shape.first()?;
        (*rows == part.total).then_some(Place {
            name: packed,
            part: Some(part),
        })
    }
}

/// llama.cpp's name of a tensor (`gguf-py/gguf/tensor_mapping.py`). What has none keeps its own, so
/// that it is reported as missing.
fn name_in_file(name: &str) -> String {
    match name {
        "model.embed_tokens.weight" => return "token_embd.weight".to_owned(),
        "model.norm.weight" => return "output_norm.weight".to_owned(),
        "lm_head.weight" => return "output.weight".to_owned(),
        _ => {}
    }
    let parts = || {
        let InLayer { layer, module, kind } = in_layer(name)?;
        let module = match module {
            "input_layernorm" => "attn_norm",
            "self_attn.q_proj" => "attn_q",
            "self_attn.k_proj" => "attn_k",
            "self_attn.v_proj" => "attn_v",
            "self_attn.o_proj" => "attn_output",
            "self_attn.q_norm" => "attn_q_norm",
            "self_attn.k_norm" => "attn_k_norm",
            "post_self_attn_layernorm" => "post_attention_norm",
            "post_attention_layernorm" => "ffn_norm",
            "post_mlp_layernorm" => "post_ffw_norm",
            "mlp.gate_proj" => "ffn_gate",
            "mlp.up_proj" => "ffn_up",
            "mlp.down_proj" => "ffn_down",
            _ => return None,
        };
        Some(format!("blk.{layer}.{module}.{kind}"))
    };
    parts().unwrap_or_else(|| name.to_owned())
}
