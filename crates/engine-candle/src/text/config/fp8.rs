//! Weights in 8-bit floats in `config.json`, in the form in which DeepSeek-V3, R1 and the fp8 files of
//! Qwen3 are published.

use serde_json::Value;

use super::raw::RawConfig;
use super::{Checker, LoadError};

/// How many values of a matrix share a scale, where matrices are 8-bit floats (E4M3). Blocks at the ends
/// of rows and columns may be smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fp8Blocks {
    /// Rows of a block, at least 1.
    pub rows: usize,
    /// Columns of a block, at least 1.
    pub columns: usize,
}

impl Checker<RawConfig> {
    /// How the weights are quantised; `None` where they are not. Which matrices are, is for the files to
    /// say, so lists of modules that are not (`modules_to_not_convert`) are not needed.
    pub(super) fn fp8(&self) -> Result<Option<Fp8Blocks>, LoadError> {
        let Some(given) = &self.raw.quantization_config else {
            return Ok(None);
        };
        let field = |name: &str| given.get(name).unwrap_or(&Value::Null);
        let method = field("quant_method");
        if method != "fp8" {
            return Err(self.unsupported(
                "quantization_config.quant_method",
                method.to_string(),
                "weights in f32, bf16, f16, or of the method fp8 with a scale for each block",
            ));
        }
        let format = field("fmt");
        if !format.is_null() && format != "e4m3" {
            return Err(self.unsupported("quantization_config.fmt", format.to_string(), "only e4m3"));
        }
        let scheme = field("activation_scheme");
        if !scheme.is_null() && scheme != "dynamic" {
            let name = "quantization_config.activation_scheme";
            return Err(self.unsupported(name, scheme.to_string(), "only dynamic"));
        }
        let name = "quantization_config.weight_block_size";
        let size = field("weight_block_size");
        let sizes = size.as_array().map(Vec::as_slice);
        let number = |value: &Value| usize::try_from(value.as_u64()?).ok();
        match sizes.map(|sizes| sizes.iter().map(number).collect::<Vec<_>>()).as_deref() {
            Some([Some(rows), Some(columns)]) => Ok(Some(Fp8Blocks {
                rows: self.size(name, *rows)?,
                columns: self.size(name, *columns)?,
            })),
            _ => Err(self.unsupported(
                name,
                size.to_string(),
                "the rows and the columns of a block, such as [128, 128]; one scale for a whole matrix is not read",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::ModelConfig;

    fn read(quantization: &Value) -> Result<Option<Fp8Blocks>, String> {
        let content = json!({
            "architectures": ["Qwen3ForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
            "max_position_embeddings": 128, "num_attention_heads": 4, "num_hidden_layers": 2,
            "num_key_value_heads": 2, "torch_dtype": "bfloat16", "vocab_size": 100,
            "quantization_config": quantization,
        });
        let config = ModelConfig::of(Path::new("config.json"), &content);
        config.map(|config| config.fp8).map_err(|error| error.to_string())
    }

    #[test]
    fn published_files_have_blocks_of_128_by_128() {
        let expected = Fp8Blocks {
            rows: 128,
            columns: 128,
        };
        for published in [
            // DeepSeek-V3 and R1, DeepSeek-V3.1, Qwen3-8B-FP8, and what the transformers library writes.
            json!({"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                   "weight_block_size": [128, 128]}),
            json!({"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "scale_fmt": "ue8m0",
                   "weight_block_size": [128, 128]}),
            json!({"activation_scheme": "dynamic", "modules_to_not_convert": ["lm_head"], "fmt": "e4m3",
                   "quant_method": "fp8", "weight_block_size": [128, 128]}),
            json!({"activation_scheme": "dynamic", "dequantize": false, "modules_to_not_convert": null,
                   "quant_method": "fp8", "weight_block_size": [128, 128]}),
        ] {
            assert_eq!(read(&published), Ok(Some(expected)), "{published}");
        }
        assert_eq!(read(&Value::Null), Ok(None));
    }

    #[test]
    fn what_is_not_read_is_named() {
        let whole = json!({"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                           "weight_block_size": [128, 64]});
        let blocks = Fp8Blocks {
            rows: 128,
            columns: 64,
        };
        assert_eq!(read(&whole), Ok(Some(blocks)));
        for (field, value) in [
            ("quant_method", json!("awq")),
            ("quant_method", json!("compressed-tensors")),
            ("quant_method", Value::Null),
            ("fmt", json!("e5m2")),
            ("activation_scheme", json!("static")),
            ("weight_block_size", Value::Null),
            ("weight_block_size", json!([128])),
            ("weight_block_size", json!([128, 128, 1])),
            ("weight_block_size", json!([128, -128])),
            ("weight_block_size", json!([128, 12.5])),
            ("weight_block_size", json!([0, 128])),
            ("weight_block_size", json!([128, 1_u64 << 40])),
            ("weight_block_size", json!("128x128")),
        ] {
            let mut changed = whole.clone();
            changed[field] = value;
            let refused = read(&changed).unwrap_err();
            let named = format!("config.json: quantization_config.{field}");
            assert!(refused.starts_with(&named), "{refused}");
        }
        assert!(read(&json!("fp8")).is_err());
    }
}
