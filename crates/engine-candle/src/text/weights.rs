//! Weight files: safetensors headers checked first, then tensors read into memory one by one.
//!
//! The files are read, not mapped: the tensors are converted or joined on the way in any case, and
//! a file that is cut while it is mapped would kill the process.

mod headers;
mod read;

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use half::bf16;
use safetensors::tensor::Metadata;
use serde::Deserialize;

use self::read::{FileFormat, Located, read_all};
use super::config::{file_error, read_file};
use crate::LoadError;
use crate::error::HeaderError;

/// The limit of the format itself.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The weight files of one folder and where each tensor is.
pub(crate) struct Weights {
    folder: PathBuf,
    /// The file to blame for a tensor that is nowhere.
    index: PathBuf,
    files: Vec<WeightFile>,
    /// Tensor name to position in `files`.
    routes: HashMap<String, usize>,
    dtype: DType,
    device: Device,
}

struct WeightFile {
    path: PathBuf,
    metadata: Metadata,
    /// Where the tensors' bytes begin.
    data_start: u64,
}

/// `model.safetensors.index.json`.
#[derive(Deserialize)]
struct ShardIndex {
    weight_map: HashMap<String, String>,
}

impl Weights {
    /// Finds the weight files of a folder and checks their headers and lengths. Tensors will be
    /// converted to `dtype` and placed on `device`.
    pub(crate) fn open(folder: &Path, dtype: DType, device: Device) -> Result<Self, LoadError> {
        let single = folder.join("model.safetensors");
        let index = folder.join("model.safetensors.index.json");
        // Like the reference, prefer the single file; name it too when there is neither.
        if single.is_file() || !index.is_file() {
            let file = WeightFile::open(single.clone())?;
            let routes = file
                .metadata
                .tensors()
                .into_keys()
                .map(|name| (name, 0))
                .collect();
            return Ok(Self {
                folder: folder.to_owned(),
                index: single,
                files: vec![file],
                routes,
                dtype,
                device,
            });
        }
        let text = read_file(&index)?;
        let shards: ShardIndex = serde_json::from_slice(&text).map_err(|source| LoadError::Json {
            path: index.clone(),
            source,
        })?;
        let names: BTreeSet<&String> = shards.weight_map.values().collect();
        let mut files = Vec::with_capacity(names.len());
        let mut positions = HashMap::with_capacity(names.len());
        for name in names {
            positions.insert(name.clone(), files.len());
            files.push(WeightFile::open(shard_path(folder, &index, name)?)?);
        }
        let routes = shards
            .weight_map
            .into_iter()
            .filter_map(|(tensor, file)| Some((tensor, *positions.get(&file)?)));
        let routes = routes.collect();
        Ok(Self {
            folder: folder.to_owned(),
            index,
            files,
            routes,
            dtype,
            device,
        })
    }

    /// Loads one tensor.
    pub(crate) fn load(&self, name: &str, shape: &[usize]) -> Result<Tensor, LoadError> {
        self.join(
            &[(name.to_owned(), shape.first().copied().unwrap_or(1))],
            &shape[1..],
            self.dtype,
        )
    }

    /// Loads one tensor in f32, whatever the weights' format: norms and biases are small, and the
    /// operations that use them want the activations' format.
    pub(crate) fn load_activation(&self, name: &str, size: usize) -> Result<Tensor, LoadError> {
        self.join(&[(name.to_owned(), size)], &[], self.activation_dtype())
    }

    /// Loads several matrices of the same width as one, stacked row on row, without holding any
    /// of them twice. `parts` are names and row counts.
    pub(crate) fn load_stacked(&self, parts: &[(String, usize)], width: usize) -> Result<Tensor, LoadError> {
        self.join(parts, &[width], self.dtype)
    }

    /// As [`Weights::load_stacked`] for vectors, in the activations' format.
    pub(crate) fn load_stacked_activation(&self, parts: &[(String, usize)]) -> Result<Tensor, LoadError> {
        self.join(parts, &[], self.activation_dtype())
    }

    /// The number format that activations have on this device (see `Dtype`).
    pub(crate) fn activation_dtype(&self) -> DType {
        if self.device.is_cpu() {
            DType::F32
        } else {
            self.dtype
        }
    }

    /// Where the tensors go.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Wraps a failure of the device.
    pub(crate) fn device_error(&self, source: candle_core::Error) -> LoadError {
        LoadError::Device {
            folder: self.folder.clone(),
            source,
        }
    }

    fn join(&self, parts: &[(String, usize)], row: &[usize], dtype: DType) -> Result<Tensor, LoadError> {
        let mut located = Vec::with_capacity(parts.len());
        for (name, rows) in parts {
            let shape: Vec<usize> = std::iter::once(*rows).chain(row.iter().copied()).collect();
            located.push(self.locate(name, &shape)?);
        }
        let rows: usize = parts.iter().map(|(_, rows)| rows).sum();
        let shape: Vec<usize> = std::iter::once(rows).chain(row.iter().copied()).collect();
        let tensor = if dtype == DType::BF16 {
            Tensor::from_vec(read_all(&located, bf16::from_f32)?, shape, &self.device)
        } else {
            Tensor::from_vec(read_all(&located, |value| value)?, shape, &self.device)
        };
        tensor.map_err(|source| self.device_error(source))
    }

    fn locate(&self, name: &str, expected: &[usize]) -> Result<Located<'_>, LoadError> {
        let missing = |path: &Path| LoadError::MissingTensor {
            path: path.to_owned(),
            name: name.to_owned(),
        };
        let file = self
            .routes
            .get(name)
            .and_then(|position| self.files.get(*position));
        let file = file.ok_or_else(|| missing(&self.index))?;
        let info = file.metadata.info(name).ok_or_else(|| missing(&file.path))?;
        if info.shape != expected {
            return Err(LoadError::WrongShape {
                path: file.path.clone(),
                name: name.to_owned(),
                expected: expected.to_vec(),
                actual: info.shape.clone(),
            });
        }
        let format = FileFormat::of(info.dtype).ok_or_else(|| LoadError::WrongFormat {
            path: file.path.clone(),
            name: name.to_owned(),
            format: format!("{:?}", info.dtype),
        })?;
        Ok(Located { file, info, format })
    }
}

/// A shard's file name must stay inside the folder.
fn shard_path(folder: &Path, index: &Path, name: &str) -> Result<PathBuf, LoadError> {
    if Path::new(name).file_name().is_some_and(|base| base == name) {
        Ok(folder.join(name))
    } else {
        Err(LoadError::InvalidConfig {
            path: index.to_owned(),
            field: "weight_map",
            problem: format!("names the file {name:?}; only names without a folder are allowed"),
        })
    }
}

impl WeightFile {
    fn open(path: PathBuf) -> Result<Self, LoadError> {
        let read_error = |source| file_error(&path, source);
        let mut file = File::open(&path).map_err(read_error)?;
        let actual = file.metadata().map_err(read_error)?.len();
        let truncated = |expected| LoadError::WrongLength {
            path: path.clone(),
            expected,
            actual,
        };
        if actual < 8 {
            return Err(truncated(8));
        }
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(read_error)?;
        let announced = u64::from_le_bytes(length);
        if announced > MAX_HEADER_BYTES {
            return Err(LoadError::Header {
                path,
                source: HeaderError::TooLong { announced },
            });
        }
        let data_start = 8 + announced;
        if actual < data_start {
            return Err(truncated(data_start));
        }
        let mut header = vec![0; usize::try_from(announced).unwrap_or_default()];
        file.read_exact(&mut header).map_err(read_error)?;
        let metadata: Metadata = serde_json::from_slice(&header).map_err(|source| LoadError::Header {
            path: path.clone(),
            source: HeaderError::Malformed(source),
        })?;
        let expected = data_start.saturating_add(metadata.data_len() as u64);
        if actual != expected {
            return Err(truncated(expected));
        }
        Ok(Self {
            path,
            metadata,
            data_start,
        })
    }
}
