//! The header of a GGUF file: metadata and tensor infos.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::GgufError;
use super::config::Architecture;
use super::read::{ReadError, Reader, setting};
use super::tensor::{GgufTensor, TensorFormat, type_name};
use super::value::{Array, Value, shortened};
use crate::text::config::{RotaryPairs, file_error};
use crate::{Family, LoadError};

/// The most settings or tensors of a file; real ones have some dozens and some thousands.
const MAX_ENTRIES: u64 = 1 << 16;
/// What tensors are aligned to where the file does not say.
const DEFAULT_ALIGNMENT: u64 = 32;
/// The largest size of a tensor; as for the configuration.
const MAX_DIMENSION: u64 = 1 << 24;

/// A GGUF file's header.
#[derive(Debug)]
pub(crate) struct GgufFile {
    path: PathBuf,
    metadata: HashMap<String, Value>,
    tensors: HashMap<String, GgufTensor>,
}

impl GgufFile {
    /// Reads and checks the header. Takes at most some 300 MB of memory, whatever the file says.
    ///
    /// # Errors
    /// Names the file and what is missing, malformed, too large or of an unknown quantisation.
    pub(crate) fn open(path: &Path) -> Result<Self, LoadError> {
        let read_error = |source| file_error(path, source);
        let file = File::open(path).map_err(read_error)?;
        let length = file.metadata().map_err(read_error)?.len();
        let mut reader = Reader::new(BufReader::with_capacity(1 << 16, file), length);
        match read_header(&mut reader, length) {
            Ok((metadata, tensors)) => Ok(Self {
                path: path.to_owned(),
                metadata,
                tensors,
            }),
            Err(ReadError::File(source)) => Err(file_error(path, source)),
            Err(ReadError::Content(source)) => Err(LoadError::Gguf {
                path: path.to_owned(),
                source: Box::new(source),
            }),
        }
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Which dimensions of a head llama.cpp rotates with each other in models of this architecture.
    ///
    /// # Errors
    /// When the file is of another family than `expected`.
    pub(crate) fn rotary_pairs(&self, expected: Family) -> Result<RotaryPairs, LoadError> {
        let architecture = Architecture::of(self).map_err(|error| self.error(error))?;
        if architecture.computes(expected) {
            return Ok(architecture.rotary_pairs());
        }
        let found = architecture.family();
        Err(self.error(GgufError::OtherFamily { found, expected }))
    }

    /// A tensor by its name in llama.cpp's convention.
    pub(crate) fn tensor(&self, name: &str) -> Option<&GgufTensor> {
        self.tensors.get(name)
    }

    /// All tensors, in no order.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &GgufTensor> {
        self.tensors.values()
    }

    /// Says which file an error is about.
    pub(super) fn error(&self, source: GgufError) -> LoadError {
        LoadError::Gguf {
            path: self.path.clone(),
            source: Box::new(source),
        }
    }

    /// A whole number that must not be negative.
    pub(super) fn unsigned(&self, key: &str) -> Result<Option<u64>, GgufError> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Integer(value)) if u64::try_from(*value).is_ok() => Ok(u64::try_from(*value).ok()),
            Some(other) => Err(wrong_type(key, other, "a whole number of 0 or more")),
        }
    }

    /// A real number; whole ones are taken as such.
    pub(super) fn real(&self, key: &str) -> Result<Option<f64>, GgufError> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "no setting is beyond 2^53 with a meaning"
        )]
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Float(value)) if value.is_finite() => Ok(Some(*value)),
            Some(Value::Integer(value)) => Ok(Some(*value as f64)),
            Some(other) => Err(wrong_type(key, other, "a finite number")),
        }
    }

    pub(super) fn bool(&self, key: &str) -> Result<Option<bool>, GgufError> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(wrong_type(key, other, "true or false")),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, GgufError> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(key, other, "a text")),
        }
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<&[String]>, GgufError> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Array(Array::Texts(texts))) => Ok(Some(texts)),
            // Some writers give an empty array another type.
            Some(Value::Array(array)) if array.len() == 0 => Ok(Some(&[])),
            Some(other) => Err(wrong_type(key, other, "an array of texts")),
        }
    }

    pub(super) fn integers(&self, key: &str) -> Result<Option<&[i64]>, GgufError> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Array(Array::Integers(values))) => Ok(Some(values)),
            Some(other) => Err(wrong_type(key, other, "an array of whole numbers")),
        }
    }

    pub(super) fn reals(&self, key: &str) -> Result<Option<&[f64]>, GgufError> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(Value::Array(Array::Floats(values))) => Ok(Some(values)),
            Some(other) => Err(wrong_type(key, other, "an array of real numbers")),
        }
    }
}

fn wrong_type(key: &str, value: &Value, expected: &'static str) -> GgufError {
    GgufError::Unsupported {
        key: key.to_owned(),
        value: value.to_string(),
        expected,
    }
}

type Header = (HashMap<String, Value>, HashMap<String, GgufTensor>);

fn read_header<R: Read>(reader: &mut Reader<R>, length: u64) -> Result<Header, ReadError> {
    read_version(reader)?;
    let tensor_count = entry_count(reader, "the number of tensors")?;
    let setting_count = entry_count(reader, "the number of settings")?;
    let metadata = read_metadata(reader, setting_count)?;
    let alignment = alignment(&metadata)?;
    let mut infos = Vec::new();
    for index in 0..tensor_count {
        infos.push(read_tensor(reader, index)?);
    }
    let data_start = reader.position().next_multiple_of(alignment);
    let mut tensors = HashMap::with_capacity(infos.len());
    for mut tensor in infos {
        if !tensor.offset.is_multiple_of(alignment) {
            let problem = format!("begins at {}, no multiple of {alignment}", tensor.offset);
            return Err(malformed(tensor_called(&tensor.name), problem));
        }
        // Offsets in the file count from the beginning of the data.
        tensor.offset = tensor.offset.saturating_add(data_start);
        let end = tensor.offset.saturating_add(tensor.bytes);
        if end > length {
            let tensor = shortened(&tensor.name);
            return Err(GgufError::TensorTruncated { length, tensor, end }.into());
        }
        if let Some(twice) = tensors.insert(tensor.name.clone(), tensor) {
            return Err(malformed(tensor_called(&twice.name), "is there twice".to_owned()));
        }
    }
    refuse_overlaps(&tensors)?;
    Ok((metadata, tensors))
}

fn read_version<R: Read>(reader: &mut Reader<R>) -> Result<(), ReadError> {
    let found = reader.bytes()?;
    if &found != b"GGUF" {
        return Err(GgufError::Magic { found }.into());
    }
    match reader.u32()? {
        2 | 3 => Ok(()),
        // The low bytes come last in the other byte order.
        version if matches!(version.swap_bytes(), 1..=0xffff) => Err(GgufError::BigEndian.into()),
        version => Err(GgufError::Version(version).into()),
    }
}

fn entry_count<R: Read>(reader: &mut Reader<R>, what: &str) -> Result<u64, ReadError> {
    let value = reader.u64()?;
    if value > MAX_ENTRIES {
        let (what, limit) = (what.to_owned(), MAX_ENTRIES);
        return Err(GgufError::TooLarge { what, value, limit }.into());
    }
    Ok(value)
}

fn read_metadata<R: Read>(reader: &mut Reader<R>, count: u64) -> Result<HashMap<String, Value>, ReadError> {
    let mut metadata = HashMap::new();
    for index in 0..count {
        let key = reader.name(&format!("the name of setting {index}"))?;
        reader.enter(setting(&key));
        let value = reader.value()?;
        if metadata.contains_key(&key) {
            return Err(malformed(setting(&key), "is there twice".to_owned()));
        }
        metadata.insert(key, value);
    }
    Ok(metadata)
}

fn alignment(metadata: &HashMap<String, Value>) -> Result<u64, ReadError> {
    let key = "general.alignment";
    match metadata.get(key) {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(Value::Integer(value)) => match u64::try_from(*value) {
            Ok(alignment) if alignment.is_power_of_two() && alignment <= 1 << 20 => Ok(alignment),
            _ => Err(malformed(
                setting(key),
                format!("is {value}, no power of two up to 2^20"),
            )),
        },
        Some(other) => Err(wrong_type(key, other, "a power of two up to 2^20").into()),
    }
}

/// One tensor info; its offset still counts from the beginning of the data.
fn read_tensor<R: Read>(reader: &mut Reader<R>, index: u64) -> Result<GgufTensor, ReadError> {
    let name = reader.name(&format!("the name of tensor {index}"))?;
    let called = tensor_called(&name);
    reader.enter(called.clone());
    let dimensions = reader.u32()?;
    if !(1..=4).contains(&dimensions) {
        return Err(malformed(called, format!("has {dimensions} dimensions")));
    }
    let mut shape = Vec::with_capacity(4);
    let mut values: u64 = 1;
    for _ in 0..dimensions {
        let size = reader.u64()?;
        values = match values.checked_mul(size) {
            Some(product) if (1..=MAX_DIMENSION).contains(&size) => product,
            _ => return Err(malformed(called, format!("has a dimension of {size}"))),
        };
        shape.push(usize::try_from(size).unwrap_or(usize::MAX));
    }
    let number = reader.u32()?;
    let format = TensorFormat::of(number).ok_or_else(|| GgufError::Quantisation {
        tensor: shortened(&name),
        format: type_name(number),
    })?;
    let row = shape.first().copied().unwrap_or(1) as u64;
    let block = format.block_values();
    if !row.is_multiple_of(block) {
        let problem = format!("has rows of {row} values, no multiple of a block of {block}");
        return Err(malformed(called, problem));
    }
    let bytes = (values / block).checked_mul(format.block_bytes());
    let bytes = bytes.ok_or_else(|| malformed(called, format!("has {values} values")))?;
    let offset = reader.u64()?;
    shape.reverse();
    Ok(GgufTensor {
        name,
        shape,
        format,
        offset,
        bytes,
    })
}

fn refuse_overlaps(tensors: &HashMap<String, GgufTensor>) -> Result<(), ReadError> {
    let mut sorted: Vec<&GgufTensor> = tensors.values().collect();
    sorted.sort_unstable_by_key(|tensor| tensor.offset);
    for pair in sorted.windows(2) {
        if pair[1].offset < pair[0].offset + pair[0].bytes {
            let problem = format!("overlaps with {}", shortened(&pair[0].name));
            return Err(malformed(tensor_called(&pair[1].name), problem));
        }
    }
    Ok(())
}

fn tensor_called(name: &str) -> String {
    format!("tensor {}", shortened(name))
}

fn malformed(what: String, problem: String) -> ReadError {
    GgufError::Malformed { what, problem }.into()
}
