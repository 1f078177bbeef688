//! The safetensors files of a model folder: headers and lengths checked first.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::Dtype as FileDtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;

use super::super::config::{Fp8Blocks, file_error, read_file};
use super::Shape;
use super::fp8::{self, Fp8};
use super::layout::Place;
use super::read::{Located, RowOrder};
use crate::LoadError;
use crate::error::HeaderError;
use crate::gguf::TensorFormat;

/// The limit of the format itself.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// The weight file of a model that is not split.
pub(super) const SINGLE: &str = "model.safetensors";
/// The list of the parts of a model that is.
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// The weight files of one folder and where each tensor is.
pub(super) struct SafetensorsFiles {
    /// The file to blame for a tensor that is nowhere.
    index: PathBuf,
    files: Vec<WeightFile>,
    /// Tensor name to position in `files`.
    routes: HashMap<String, usize>,
    /// Which values share a scale, where there may be matrices of 8-bit floats.
    fp8: Option<Fp8Blocks>,
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

impl SafetensorsFiles {
    /// Finds the weight files of a folder and checks their headers and lengths.
    pub(super) fn open(folder: &Path, fp8: Option<Fp8Blocks>) -> Result<Self, LoadError> {
        let single = folder.join(SINGLE);
        let index = folder.join(INDEX);
        // Like the reference, prefer the single file; name it too when there is neither.
        if single.is_file() || !index.is_file() {
            let file = WeightFile::open(single.clone())?;
            let names = file.metadata.tensors().into_keys();
            return Ok(Self {
                index: single,
                routes: names.map(|name| (name, 0)).collect(),
                files: vec![file],
                fp8,
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
        Ok(Self {
            routes: routes.collect(),
            index,
            files,
            fp8,
        })
    }

    /// The number format that most values have, and how many values there are, of the tensors that count;
    /// scales do not.
    ///
    /// # Errors
    /// Names the tensor that the index promises and its file lacks.
    pub(super) fn sum(&self, counts: impl Fn(&str) -> bool) -> Result<(&'static str, u64), LoadError> {
        let mut values = [("F32", 0), ("BF16", 0), ("F16", 0), ("F8_E4M3", 0), ("other", 0)];
        for (name, position) in self.routes.iter().filter(|(name, _)| counts(name)) {
            if self.is_scale(name) {
                continue;
            }
            let missing = || LoadError::MissingTensor {
                path: self.index.clone(),
                name: name.clone(),
            };
            let file = self.files.get(*position).ok_or_else(missing)?;
            let info = file.metadata.info(name).ok_or_else(missing)?;
            let place = match info.dtype {
                FileDtype::F32 => 0,
                FileDtype::BF16 => 1,
                FileDtype::F16 => 2,
                FileDtype::F8_E4M3 => 3,
                // Something that is no weight; what is one, was checked.
                _ => 4,
            };
            let sizes = info.shape.iter().map(|size| *size as u64);
            values[place].1 += sizes.fold(1, u64::saturating_mul);
        }
        let all = values.iter().map(|(_, count)| count).sum();
        let most = values.into_iter().max_by_key(|(_, count)| *count);
        Ok((most.map_or("none", |(format, _)| format), all))
    }

    /// Whether there is a tensor of this name, or it goes by its name within the base model.
    pub(super) fn has(&self, name: &str) -> bool {
        self.routes.contains_key(self.known_as(name))
    }

    /// A decoder that was saved without its head (as Qwen3-Embedding was) has its tensors under the names
    /// that they have within it.
    fn known_as<'name>(&self, name: &'name str) -> &'name str {
        match name.strip_prefix("model.") {
            Some(inner) if !self.routes.contains_key(name) && self.routes.contains_key(inner) => inner,
            _ => name,
        }
    }

    pub(super) fn locate(&self, place: Place, expected: Shape) -> Result<Located<'_>, LoadError> {
        let name = self.known_as(&place.name);
        let whole = place.part.map_or(expected, |part| part.whole(expected));
        let (file, info) = self.find(name, whole)?;
        let (format, fp8) = match (info.dtype, whole, self.fp8) {
            (FileDtype::F8_E4M3, Shape::Matrix(rows, columns), Some(blocks)) => {
                let scales = self.scales(name, rows, columns, blocks)?;
                (TensorFormat::F32, Some(scales))
            }
            _ => (file.format(name, info)?, None),
        };
        Ok(Located {
            path: &file.path,
            name: name.to_owned(),
            offset: file.data_start + info.data_offsets.0 as u64,
            rows: expected.rows(),
            columns: expected.columns(),
            format,
            fp8,
            order: place.order,
            runs: None,
        }
        .part(place.part))
    }

    /// A tensor and its file.
    fn find(&self, name: &str, expected: Shape) -> Result<(&WeightFile, &TensorInfo), LoadError> {
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
        expected.check(&file.path, name, &info.shape)?;
        Ok((file, info))
    }

    /// The scales of a matrix of 8-bit floats; `rows` and `columns` are the matrix's.
    fn scales(
        &self,
        matrix: &str,
        rows: usize,
        columns: usize,
        blocks: Fp8Blocks,
    ) -> Result<Fp8<'_>, LoadError> {
        let name = format!("{matrix}{}", fp8::SUFFIX);
        let (rows, columns) = (rows.div_ceil(blocks.rows), columns.div_ceil(blocks.columns));
        let (file, info) = self.find(&name, Shape::Matrix(rows, columns))?;
        let scales = Located {
            path: &file.path,
            offset: file.data_start + info.data_offsets.0 as u64,
            rows,
            columns,
            format: file.format(&name, info)?,
            fp8: None,
            order: RowOrder::Plain,
            runs: None,
            name,
        };
        Ok(Fp8 {
            scales: Box::new(scales),
            blocks,
            first: 0,
        })
    }

    /// Whether a tensor is the scales of another.
    fn is_scale(&self, name: &str) -> bool {
        let matrix = name.strip_suffix(fp8::SUFFIX);
        self.fp8.is_some() && matrix.is_some_and(|matrix| self.routes.contains_key(matrix))
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
    fn format(&self, name: &str, info: &TensorInfo) -> Result<TensorFormat, LoadError> {
        match info.dtype {
            FileDtype::F32 => Ok(TensorFormat::F32),
            FileDtype::BF16 => Ok(TensorFormat::Bf16),
            FileDtype::F16 => Ok(TensorFormat::F16),
            other => Err(LoadError::WrongFormat {
                path: self.path.clone(),
                name: name.to_owned(),
                format: other.to_string(),
            }),
        }
    }

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
