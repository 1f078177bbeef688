//! The answer of an embedding request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

/// The form that vectors have on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EncodingFormat {
    /// Lists of numbers.
    #[default]
    Float,
    /// The little-endian bytes of 32-bit floats in base64.
    Base64,
}

/// The answer: a vector for each text, in their order.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EmbeddingList {
    /// Always `list`.
    #[schema(example = "list")]
    pub object: &'static str,
    /// The model that was asked for.
    pub model: String,
    /// The vectors, in the order of the texts.
    pub data: Vec<Embedding>,
    /// What the call consumed.
    pub usage: EmbeddingUsage,
}

/// The vector of one text.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Embedding {
    /// Always `embedding`.
    #[schema(example = "embedding")]
    pub object: &'static str,
    /// The vector.
    pub embedding: Vector,
    /// Which text, from 0.
    pub index: u32,
}

/// A vector in the form that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Vector {
    /// As numbers.
    Float(Vec<f32>),
    /// As bytes.
    Base64(String),
}

/// Token counts of an embedding call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct EmbeddingUsage {
    /// Tokens of all texts.
    pub prompt_tokens: u32,
    /// Always 0.
    pub completion_tokens: u32,
    /// As `prompt_tokens`.
    pub total_tokens: u32,
}

impl EmbeddingList {
    /// Writes vectors in a form.
    pub fn new(model: String, vectors: Vec<Vec<f32>>, format: EncodingFormat, prompt_tokens: u32) -> Self {
        let data = (0..).zip(vectors).map(|(index, vector)| Embedding {
            object: "embedding",
            embedding: Vector::new(vector, format),
            index,
        });
        Self {
            object: "list",
            model,
            data: data.collect(),
            usage: EmbeddingUsage {
                prompt_tokens,
                completion_tokens: 0,
                total_tokens: prompt_tokens,
            },
        }
    }
}

impl Vector {
    fn new(numbers: Vec<f32>, format: EncodingFormat) -> Self {
        match format {
            EncodingFormat::Float => Self::Float(numbers),
            EncodingFormat::Base64 => {
                let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
                Self::Base64(STANDARD.encode(bytes))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_little_endian_floats() {
        // The bytes that numpy writes for [1, -2] in `<f4`.
        let vector = Vector::new(vec![1.0, -2.0], EncodingFormat::Base64);
        assert_eq!(vector, Vector::Base64("AACAPwAAAMA=".to_owned()));
    }

    #[test]
    fn numbers_keep_their_shortest_spelling() {
        let vector = Vector::new(vec![0.1, -0.25], EncodingFormat::Float);
        assert_eq!(serde_json::to_string(&vector).unwrap(), "[0.1,-0.25]");
    }
}
