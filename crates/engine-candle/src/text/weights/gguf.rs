//! The tensors of a GGUF file under the names that the layers ask for.

mod stacked;

use std::sync::Arc;

use self::stacked::{Owners, Stacked};
use super::Shape;
use super::layout::{FileLayout, InLayer, Part, in_layer};
use super::read::{Located, RowOrder};
use super::rotary::RotaryOrders;
use crate::LoadError;
use crate::gguf::{GgufFile, GgufTensor};
use crate::text::config::ModelConfig;

/// A GGUF file as the weights of a model.
pub(super) struct GgufTensors {
    file: Arc<GgufFile>,
    /// For the parts of packed tensors.
    layout: FileLayout,
    rotary: RotaryOrders,
    /// How many matrices lie behind one another in a tensor of experts, and in one of heads.
    experts: usize,
    heads: usize,
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
        Ok(Self {
            file,
            layout: FileLayout::of(config),
            rotary: RotaryOrders::of(config, pairs),
            experts: config.moe.as_ref().map_or(0, |moe| moe.experts),
            heads: config.heads,
        })
    }

    /// Whether there is a tensor that this one is, or is a part of.
    pub(super) fn has(&self, name: &str) -> bool {
        let own = Stacked::of(name).map_or_else(|| self.place(name).name, |stacked| stacked.name);
        self.file.tensor(&own).is_some()
    }

    pub(super) fn locate(&self, name: &str, expected: Shape) -> Result<Located<'_>, LoadError> {
        if let Some(stacked) = Stacked::of(name) {
            return self.locate_stacked(stacked, expected);
        }
        let Place { name: own, part } = self.place(name);
        let tensor = self.tensor(&own)?;
        let whole = part.map_or(expected, |part| part.whole(expected));
        // A matrix of one row is a vector in these files.
        let is_row = matches!(whole, Shape::Matrix(1, columns) if tensor.shape == [columns]);
        if !is_row {
            whole.check(self.file.path(), &own, &tensor.shape)?;
        }
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
            fp8: None,
            order: self.rotary.order(name),
            runs: None,
        }
        .part(part))
    }

    fn tensor(&self, name: &str) -> Result<&GgufTensor, LoadError> {
        self.file.tensor(name).ok_or_else(|| LoadError::MissingTensor {
            path: self.file.path().to_owned(),
            name: name.to_owned(),
        })
    }

    /// One of the matrices that lie behind one another in a tensor.
    fn locate_stacked(&self, stacked: Stacked, expected: Shape) -> Result<Located<'_>, LoadError> {
        let Stacked { name, index, of } = stacked;
        let tensor = self.tensor(&name)?;
        let (rows, columns) = (expected.rows(), expected.columns());
        let count = match of {
            Owners::Experts => self.experts,
            Owners::Heads => self.heads,
        };
        if tensor.shape != [count, rows, columns] || index >= count {
            return Err(LoadError::WrongShape {
                path: self.file.path().to_owned(),
                name,
                expected: vec![count, rows, columns],
                actual: tensor.shape.clone(),
            });
        }
        let all = Located {
            path: self.file.path(),
            name,
            offset: tensor.offset,
            rows: count * rows,
            columns,
            format: tensor.format,
            fp8: None,
            order: RowOrder::Plain,
            runs: None,
        };
        Ok(all.stretch(index * rows..(index + 1) * rows))
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
            other => name_beside_heads_and_mlp(other)?,
        };
        if kind == "e_score_correction_bias" {
            return Some(format!("blk.{layer}.exp_probs_b.bias"));
        }
        Some(format!("blk.{layer}.{module}.{kind}"))
    };
    parts().unwrap_or_else(|| name.to_owned())
}

/// As [`name_in_file`], of what latent attention and experts have.
fn name_beside_heads_and_mlp(module: &str) -> Option<&'static str> {
    Some(match module {
        "self_attn.q_a_proj" => "attn_q_a",
        "self_attn.q_a_layernorm" => "attn_q_a_norm",
        "self_attn.q_b_proj" => "attn_q_b",
        "self_attn.kv_a_proj_with_mqa" => "attn_kv_a_mqa",
        "self_attn.kv_a_layernorm" => "attn_kv_a_norm",
        "self_attn.kv_b_proj" => "attn_kv_b",
        "mlp.gate" | "block_sparse_moe.gate" => "ffn_gate_inp",
        "mlp.shared_expert_gate" => "ffn_gate_inp_shexp",
        "mlp.shared_expert.gate_proj" | "mlp.shared_experts.gate_proj" => "ffn_gate_shexp",
        "mlp.shared_expert.up_proj" | "mlp.shared_experts.up_proj" => "ffn_up_shexp",
        "mlp.shared_expert.down_proj" | "mlp.shared_experts.down_proj" => "ffn_down_shexp",
        _ => return None,
    })
}
