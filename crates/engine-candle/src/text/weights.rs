//! Weight files, and the tensors made of them.
//!
//! The files are read, not mapped: the tensors are converted or packed on the way in any case, and
//! a file that is cut while it is mapped would kill the process. They are read a bounded part at a
//! time, so a model is in memory once while it is loaded.

mod fp8;
mod gguf;
mod headers;
mod heads;
mod layout;
mod pack;
mod placement;
mod read;
mod rotary;
mod safetensors;
mod tensors;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use self::gguf::GgufTensors;
use self::layout::FileLayout;
pub(crate) use self::placement::{Placement, Role};
use self::read::Located;
use self::safetensors::{INDEX, SINGLE, SafetensorsFiles};
pub(crate) use self::tensors::{
    AttentionTensors, LatentHeads, LayerAttention, LayerFeedForward, LayerTensors, MlaTensors, ModelTensors,
    MoeTensors, Projections, Table, Vector,
};
use super::config::{Fp8Blocks, ModelConfig};
use super::matrix::Weight;
use crate::LoadError;
use crate::gguf::{GGUF_WEIGHTS, GgufFile};

/// The weights of one model, in its files.
pub(crate) struct Weights {
    source: Source,
    /// The folder or file, for the device's errors.
    place: PathBuf,
    placement: Placement,
}

enum Source {
    Safetensors(SafetensorsFiles, FileLayout),
    Gguf(GgufTensors),
}

/// The shape that a tensor must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Vector(usize),
    /// Rows and columns.
    Matrix(usize, usize),
}

impl Weights {
    /// Finds the weight files of a folder and checks their headers and lengths. Safetensors go
    /// before a GGUF.
    pub(crate) fn in_folder(
        folder: &Path,
        config: &ModelConfig,
        placement: Placement,
    ) -> Result<Self, LoadError> {
        let gguf = folder.join(GGUF_WEIGHTS);
        let has_safetensors = folder.join(SINGLE).is_file() || folder.join(INDEX).is_file();
        if !has_safetensors && gguf.is_file() {
            return Self::in_gguf(Arc::new(GgufFile::open(&gguf)?), config, placement);
        }
        Self::of_decoder(folder, config, placement)
    }

    /// Finds the safetensors of a folder and checks their headers and lengths. Tensors have the names
    /// that they are asked for by.
    pub(crate) fn in_safetensors(folder: &Path, placement: Placement) -> Result<Self, LoadError> {
        Self::laid_out(folder, FileLayout::plain(), None, placement)
    }

    /// As [`Weights::in_safetensors`], of a decoder, whose tensors lie as its family's do.
    pub(crate) fn of_decoder(
        folder: &Path,
        config: &ModelConfig,
        placement: Placement,
    ) -> Result<Self, LoadError> {
        Self::laid_out(folder, FileLayout::of(config), config.fp8, placement)
    }

    fn laid_out(
        folder: &Path,
        layout: FileLayout,
        fp8: Option<Fp8Blocks>,
        placement: Placement,
    ) -> Result<Self, LoadError> {
        Ok(Self {
            source: Source::Safetensors(SafetensorsFiles::open(folder, fp8)?, layout),
            place: folder.to_owned(),
            placement,
        })
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        match &self.source {
            Source::Safetensors(files, layout) => files.has(&layout.place(name).name),
            Source::Gguf(tensors) => tensors.has(name),
        }
    }

    /// The tensors of a GGUF file.
    pub(crate) fn in_gguf(
        file: Arc<GgufFile>,
        config: &ModelConfig,
        placement: Placement,
    ) -> Result<Self, LoadError> {
        Ok(Self {
            place: file.path().to_owned(),
            source: Source::Gguf(GgufTensors::new(file, config)?),
            placement,
        })
    }

    /// Loads what a norm multiplies by, in the activations' format.
    pub(crate) fn norm(&self, name: &str, size: usize) -> Result<Tensor, LoadError> {
        let offset = match &self.source {
            Source::Safetensors(_, layout) => layout.norm_offset,
            // llama.cpp's converter has added it.
            Source::Gguf(_) => 0.0,
        };
        let mut values = self.values(name, size)?;
        if offset != 0.0 {
            for value in &mut values {
                *value += offset;
            }
        }
        self.tensor(values, self.activation_dtype())
    }

    /// Reads a vector's values.
    pub(crate) fn values(&self, name: &str, size: usize) -> Result<Vec<f32>, LoadError> {
        // Before memory is taken for it: the size is the configuration's word alone.
        let located = self.locate(name, Shape::Vector(size))?;
        let mut values = Vec::with_capacity(size);
        pack::append_all(&located, &mut values)?;
        Ok(values)
    }

    /// Reads a matrix's values, row by row.
    pub(crate) fn table(&self, name: &str, rows: usize, columns: usize) -> Result<Vec<f32>, LoadError> {
        let located = self.locate(name, Shape::Matrix(rows, columns))?;
        let mut values = Vec::with_capacity(rows * columns);
        pack::append_all(&located, &mut values)?;
        Ok(values)
    }

    /// Loads several vectors as one, in the activations' format: biases are small, and the operations that
    /// use them want that. `parts` are names and sizes.
    pub(crate) fn vectors(&self, parts: &[(String, usize)]) -> Result<Tensor, LoadError> {
        let mut values = Vec::new();
        for (name, size) in parts {
            let located = self.locate(name, Shape::Vector(*size))?;
            pack::append_all(&located, &mut values)?;
        }
        self.tensor(values, self.activation_dtype())
    }

    /// Loads several matrices of the same width as one, stacked row on row. `parts` are names and
    /// row counts.
    pub(crate) fn matrix(
        &self,
        parts: &[(String, usize)],
        width: usize,
        role: Role,
    ) -> Result<Arc<Weight>, LoadError> {
        let located = parts
            .iter()
            .map(|(name, rows)| self.locate(name, Shape::Matrix(*rows, width)));
        self.weight(&located.collect::<Result<Vec<_>, _>>()?, role)
    }

    fn weight(&self, located: &[Located<'_>], role: Role) -> Result<Arc<Weight>, LoadError> {
        let weight = if self.device().is_cpu() {
            Weight::Packed(pack::packed(located, &self.placement, role)?)
        } else {
            let tensor = pack::tensor(located, &self.placement.of_tensors(role))?;
            Weight::Tensor(tensor.map_err(|source| self.device_error(source))?)
        };
        Ok(Arc::new(weight))
    }

    /// The number format that activations have on this device (see `Dtype`).
    pub(crate) fn activation_dtype(&self) -> DType {
        self.placement.activation_dtype()
    }

    /// Where the tensors go.
    pub(crate) fn device(&self) -> &Device {
        &self.placement.device
    }

    fn tensor(&self, values: Vec<f32>, dtype: DType) -> Result<Tensor, LoadError> {
        let count = values.len();
        let tensor = Tensor::from_vec(values, count, self.device()).and_then(|tensor| tensor.to_dtype(dtype));
        tensor.map_err(|source| self.device_error(source))
    }

    fn device_error(&self, source: candle_core::Error) -> LoadError {
        LoadError::Device {
            folder: self.place.clone(),
            source,
        }
    }

    fn locate(&self, name: &str, shape: Shape) -> Result<Located<'_>, LoadError> {
        match &self.source {
            Source::Safetensors(files, layout) => files.locate(layout.place(name), shape),
            Source::Gguf(tensors) => tensors.locate(name, shape),
        }
    }
}

impl Shape {
    fn rows(self) -> usize {
        match self {
            Self::Vector(size) => size,
            Self::Matrix(rows, _) => rows,
        }
    }

    /// Values of a row; 1 for a vector.
    fn columns(self) -> usize {
        match self {
            Self::Vector(_) => 1,
            Self::Matrix(_, columns) => columns,
        }
    }

    fn check(self, path: &Path, name: &str, actual: &[usize]) -> Result<(), LoadError> {
        let expected = match self {
            Self::Vector(size) => vec![size],
            Self::Matrix(rows, columns) => vec![rows, columns],
        };
        if actual == expected {
            return Ok(());
        }
        Err(LoadError::WrongShape {
            path: path.to_owned(),
            name: name.to_owned(),
            expected,
            actual: actual.to_vec(),
        })
    }
}
