//! The tensors of a GGUF file under the names that the layers ask for.

use std::sync::Arc;

use super::Shape;
use super::read::{Located, RowOrder};
use crate::gguf::GgufFile;
use crate::text::config::{Family, ModelConfig};
use crate::{GgufError, LoadError};

/// A GGUF file as the weights of a model.
pub(super) struct GgufTensors {
    file: Arc<GgufFile>,
    family: Family,
    head_dim: usize,
}

impl GgufTensors {
    /// # Errors
    /// When the file's architecture is not the configuration's: its rows may be in another order.
    pub(super) fn new(file: Arc<GgufFile>, config: &ModelConfig) -> Result<Self, LoadError> {
        let (found, expected) = (file.family()?, config.family);
        if found != expected {
            return Err(LoadError::Gguf {
                path: file.path().to_owned(),
                source: Box::new(GgufError::OtherFamily { found, expected }),
            });
        }
        Ok(Self {
            file,
            family: expected,
            head_dim: config.head_dim,
        })
    }

    pub(super) fn locate(&self, name: &str, expected: Shape) -> Result<Located<'_>, LoadError> {
        let own = name_in_file(name);
        let tensor = self.file.tensor(&own).ok_or_else(|| LoadError::MissingTensor {
            path: self.file.path().to_owned(),
            name: own.clone(),
        })?;
        expected.check(self.file.path(), &own, &tensor.shape)?;
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
            order: self.order(name),
        })
    }

    /// llama.cpp's converter reorders the query and key projections of Llama, and only of Llama:
    /// the Qwen families are rotated by halves there too.
    fn order(&self, name: &str) -> RowOrder {
        let rotated = name.contains(".q_proj.") || name.contains(".k_proj.");
        if self.family == Family::Llama && rotated {
            RowOrder::Interleaved { head: self.head_dim }
        } else {
            RowOrder::Plain
        }
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
        let (layer, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
        let (module, kind) = rest.rsplit_once('.')?;
        let module = match module {
            "input_layernorm" => "attn_norm",
            "self_attn.q_proj" => "attn_q",
            "self_attn.k_proj" => "attn_k",
            "self_attn.v_proj" => "attn_v",
            "self_attn.o_proj" => "attn_output",
            "self_attn.q_norm" => "attn_q_norm",
            "self_attn.k_norm" => "attn_k_norm",
            "post_attention_layernorm" => "ffn_norm",
            "mlp.gate_proj" => "ffn_gate",
            "mlp.up_proj" => "ffn_up",
            "mlp.down_proj" => "ffn_down",
            _ => return None,
        };
        Some(format!("blk.{layer}.{module}.{kind}"))
    };
    parts().unwrap_or_else(|| name.to_owned())
}
