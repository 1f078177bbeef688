//! model.safetensors, streamed to disk.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use half::{bf16, f16};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

use super::Dtype;
use super::shape::{Shape, TensorKind, TensorSpec};

/// Random values that are drawn; the file repeats them. Prime, so that the rows of no matrix
/// coincide, and enough that the processor's caches gain nothing from the repetition.
const BLOCK_VALUES: usize = 4_194_301;
/// Half the width of the uniform distribution: a standard deviation of 0.02, as before training.
const AMPLITUDE: f32 = 0.02 * 1.732_050_8;

/// Writes the weight file.
pub(super) fn write(path: &Path, shape: &Shape, dtype: Dtype, seed: u64) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    write_to(&mut file, &shape.tensors(), dtype, seed)
        .and_then(|()| file.flush())
        .with_context(|| format!("cannot write {}", path.display()))
}

fn write_to(file: &mut impl Write, tensors: &[TensorSpec], dtype: Dtype, seed: u64) -> std::io::Result<()> {
    let header = header(tensors, dtype);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    let values: usize = tensors.iter().map(TensorSpec::size).sum();
    let mut random = RandomBytes::new(dtype, seed, values.min(BLOCK_VALUES));
    for tensor in tensors {
        match tensor.kind {
            TensorKind::Ones => file.write_all(&encode(dtype, 1.0).repeat(tensor.size()))?,
            TensorKind::Random => random.write(file, tensor.size() * dtype.bytes())?,
        }
    }
    Ok(())
}

/// The JSON header, padded with spaces so that the data begins at a multiple of eight.
fn header(tensors: &[TensorSpec], dtype: Dtype) -> Vec<u8> {
    let mut entries = Map::new();
    let mut start = 0;
    for tensor in tensors {
        let end = start + tensor.size() * dtype.bytes();
        let entry = json!({"dtype": dtype.name(), "shape": tensor.shape, "data_offsets": [start, end]});
        entries.insert(tensor.name.clone(), entry);
        start = end;
    }
    let mut header = Value::Object(entries).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    header
}

/// An endless stream of encoded random values that repeats after so many of them.
struct RandomBytes {
    block: Vec<u8>,
    position: usize,
}

impl RandomBytes {
    fn new(dtype: Dtype, seed: u64, values: usize) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut block = Vec::with_capacity(values * dtype.bytes());
        for _ in 0..values {
            block.extend(encode(dtype, random.random_range(-AMPLITUDE..AMPLITUDE)));
        }
        Self { block, position: 0 }
    }

    fn write(&mut self, file: &mut impl Write, mut bytes: usize) -> std::io::Result<()> {
        while bytes > 0 {
            let part = &self.block[self.position..];
            let part = &part[..part.len().min(bytes)];
            file.write_all(part)?;
            bytes -= part.len();
            self.position = (self.position + part.len()) % self.block.len();
        }
        Ok(())
    }
}

fn encode(dtype: Dtype, value: f32) -> Vec<u8> {
    match dtype {
        Dtype::F32 => value.to_le_bytes().to_vec(),
        Dtype::Bf16 => bf16::from_f32(value).to_le_bytes().to_vec(),
        Dtype::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
    }
}

impl Dtype {
    const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::Bf16 => "BF16",
            Self::F16 => "F16",
        }
    }
}
