//! Where a tensor is in a GGUF file, and in which format.

/// A number format that this engine computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TensorFormat {
    F32,
    F16,
    Bf16,
    Q4_0,
    /// What llama.cpp writes into `Q4_K_M` files where a row is no multiple of 256 values, as in
    /// Qwen2.5-0.5B.
    Q5_0,
    Q8_0,
    Q4K,
    Q6K,
}

/// One tensor of a GGUF file, checked to lie within the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GgufTensor {
    /// The name in llama.cpp's convention, such as `blk.0.attn_q.weight`.
    pub(crate) name: String,
    /// Sizes with the outermost first, as in safetensors: a matrix is `[rows, columns]`. (The file
    /// has them the other way round.) One to four, each at least 1.
    pub(crate) shape: Vec<usize>,
    /// The values' format; the last size is a multiple of its block.
    pub(crate) format: TensorFormat,
    /// Where the values begin, in bytes from the beginning of the file.
    pub(crate) offset: u64,
    /// How many bytes they have.
    pub(crate) bytes: u64,
}

impl TensorFormat {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q4_0,
        Self::Q5_0,
        Self::Q8_0,
        Self::Q4K,
        Self::Q6K,
    ];

    /// What ggml calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q5_0 => "Q5_0",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// The format of a type number (`ggml_type` in ggml.h), if this engine computes with it.
    pub(super) fn of(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::F32),
            1 => Some(Self::F16),
            2 => Some(Self::Q4_0),
            6 => Some(Self::Q5_0),
            8 => Some(Self::Q8_0),
            12 => Some(Self::Q4K),
            14 => Some(Self::Q6K),
            30 => Some(Self::Bf16),
            _ => None,
        }
    }

    /// Values in a block, which never reaches over the end of a row.
    pub(crate) fn block_values(self) -> u64 {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q5_0 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q6K => 256,
        }
    }

    /// Bytes of a block.
    pub(crate) fn block_bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            // A scale of two bytes and 32 values of 4 or 8 bits.
            Self::Q4_0 => 2 + 16,
            Self::Q8_0 => 2 + 32,
            // A scale, the fifth bits, the low four.
            Self::Q5_0 => 2 + 4 + 16,
            // Scale and minimum, the packed scales of 8 sub-blocks, values of 4 bits.
            Self::Q4K => 2 + 2 + 12 + 128,
            // Low 4 bits, high 2 bits, the scales of 16 sub-blocks, a scale.
            Self::Q6K => 128 + 64 + 16 + 2,
        }
    }
}

/// What ggml calls a type number; for error messages.
pub(super) fn type_name(number: u32) -> String {
    let name = match number {
        0 => "F32",
        1 => "F16",
        2 => "Q4_0",
        3 => "Q4_1",
        6 => "Q5_0",
        7 => "Q5_1",
        8 => "Q8_0",
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        12 => "Q4_K",
        13 => "Q5_K",
        14 => "Q6_K",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        30 => "BF16",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        40 => "NVFP4",
        _ => return format!("number {number}"),
    };
    name.to_owned()
}
