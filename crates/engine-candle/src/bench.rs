//! A seam for `examples/kernels.rs`, which measures matrix products, attention and the machine's limits; no
//! part of the interface.

mod limits;

use std::sync::Mutex;

pub use self::limits::Limits;

use crate::gguf::TensorFormat;
use crate::kernels::{Input, OutputColumns, PackedMatrix, Path};
use crate::text::attention::{HeadShape, attend_whole};

/// Instructions that products can be computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instructions(Path);

impl Instructions {
    /// Those that this processor has, the best ones first and plain code last.
    pub fn all() -> impl Iterator<Item = Self> {
        let plain = Path::Scalar {
            fused: cfg!(target_arch = "aarch64"),
        };
        Path::vectorised().into_iter().chain([plain]).map(Self)
    }

    /// What they are called.
    pub fn name(self) -> String {
        match self.0 {
            Path::Scalar { .. } => "scalar".to_owned(),
            path => format!("{path:?}").to_lowercase(),
        }
    }
}

/// A weight matrix of pseudo-random values.
pub struct Weights(PackedMatrix);

/// The names of the number formats that products are computed in.
pub fn formats() -> impl Iterator<Item = &'static str> {
    TensorFormat::ALL.into_iter().map(TensorFormat::name)
}

impl Weights {
    /// A matrix in the format of this name; `None` when there is no such format, or the columns are
    /// no whole blocks of it.
    pub fn random(format: &str, rows: usize, columns: usize) -> Option<Self> {
        let format = TensorFormat::ALL
            .into_iter()
            .find(|known| known.name() == format)?;
        let block = usize::try_from(format.block_values()).ok()?;
        let bytes = usize::try_from(format.block_bytes()).ok()?;
        // Any bytes are weights; a pattern that keeps the highest bit of every second byte clear and
        // its lower ones set keeps all floats, and the scales of all blocks, finite.
        let pattern = (0..rows * columns / block * bytes).map(|index| {
            let mixed = index.wrapping_mul(0x9e37_79b9) >> 7;
            if index % 2 == 1 {
                0x2c
            } else {
                mixed.to_le_bytes()[0]
            }
        });
        let bytes: Vec<u8> = pattern.collect();
        PackedMatrix::from_bytes(format, rows, columns, &bytes)
            .ok()
            .map(Self)
    }

    /// How much memory the weights take, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// Multiplies `rows` rows of activations with the weights, on the threads of the calling thread's
    /// rayon pool; `output` has a value for each of them and each weight row.
    pub fn multiply(&self, instructions: Instructions, input: &[f32], rows: usize, output: &mut [f32]) {
        let input = Input::new(input, rows, self.0.columns());
        let output = OutputColumns::whole(output, self.0.rows());
        self.0.multiply_with(instructions.0, &input, output);
    }
}

/// One sequence's attention in one layer, in which every position sees all others.
pub struct Attention {
    shape: HeadShape,
    memory: Mutex<Vec<f32>>,
}

impl Attention {
    /// Query heads, the key heads that they share, and their width.
    pub fn new(heads: usize, kv_heads: usize, width: usize) -> Self {
        Self {
            shape: HeadShape {
                heads,
                kv_heads,
                width,
            },
            memory: Mutex::default(),
        }
    }

    /// Attends with queries, keys and values of `length` positions, on the threads of the calling
    /// thread's rayon pool.
    ///
    /// # Errors
    /// When they are not so many.
    pub fn attend(&self, length: usize, rows: [&[f32]; 3], output: &mut [f32]) -> candle_core::Result<()> {
        attend_whole(self.shape, &[length], rows, &self.memory, output)
    }
}
