//! `adapter_model.safetensors`: which matrices it has, and whether they fit the model.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::config::{AdapterConfig, Target};
use super::numbers::Arena;
use super::product::{Delta, Matrices, TooLarge};
use super::{Adapter, AdapterFormat, AdapterMemory, Base, LayerDeltas, Site};
use crate::text::config::{TensorLayout, file_error};
use crate::{LoadError, ModelConfig};

/// What PEFT puts before a module's name.
const PREFIX: &str = "base_model.model.";

/// A projection that has matrices of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Module {
    Query,
    Key,
    Value,
    Output,
    Gate,
    Up,
    Down,
}

/// Where a projection lies in the model.
struct Place {
    site: Site,
    /// The first of its outputs among those of the site.
    first: usize,
    outputs: usize,
    inputs: usize,
}

/// The two matrices of a module.
#[derive(Default)]
struct Pair<'file> {
    a: Option<TensorView<'file>>,
    b: Option<TensorView<'file>>,
}

/// Reads the adapter in `folder` for a model.
pub(super) fn read(folder: &Path, base: &Base, memory: &AdapterMemory) -> Result<Adapter, LoadError> {
    let model = &base.config;
    let is_plain = model.mla.is_none() && model.moe.is_none() && model.layout == TensorLayout::Plain;
    if !is_plain {
        return Err(LoadError::AdapterFamily {
            folder: folder.to_owned(),
            family: format!("{:?}", model.family),
        });
    }
    let config = AdapterConfig::read(folder, model.layers)?;
    check_base(&config, base)?;
    let path = weights(folder)?;
    // It is in memory for as long as it is converted, and what it becomes is seldom larger.
    let length = metadata(&path)?.len();
    let mut held = memory.take(folder, length)?;
    let bytes = read_at_most(&path, length)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|source| LoadError::Adapter {
        path: path.clone(),
        source,
    })?;
    let reader = Reader {
        path,
        config,
        base: model,
    };
    let mut checked = BTreeMap::<_, Vec<_>>::new();
    let mut groups = 0;
    for ((layer, module), pair) in &reader.pairs(&file)? {
        let matrices = reader.checked(*layer, *module, pair)?;
        groups += matrices.groups(base.format);
        // By their outputs, since modules are in this order.
        let site = (*layer, matrices.place.site as usize);
        checked.entry(site).or_default().push(matrices);
    }
    let size = base.format.bytes(groups) as u64;
    held.resize(folder, size.max(length))?;
    let mut arena =
        Arena::new(base.format, groups).map_err(|source| file_error(&reader.path, source.into()))?;
    let mut layers: Vec<LayerDeltas> = (0..model.layers).map(|_| LayerDeltas::default()).collect();
    for ((layer, site), matrices) in &checked {
        layers[*layer][*site] = Some(reader.delta(&mut arena, matrices)?);
    }
    held.resize(folder, size)?;
    Ok(Adapter { layers, arena, held })
}

fn check_base(config: &AdapterConfig, base: &Base) -> Result<(), LoadError> {
    let Some(adapted) = config.base() else {
        return Ok(());
    };
    match base.names.other_than(adapted) {
        None => Ok(()),
        Some(name) => Err(LoadError::AdapterBase {
            path: config.path().to_owned(),
            adapted: adapted.to_owned(),
            base: name.to_owned(),
        }),
    }
}

/// The file of weights in an adapter's folder.
fn weights(folder: &Path) -> Result<PathBuf, LoadError> {
    let path = folder.join("adapter_model.safetensors");
    let pickled = folder.join("adapter_model.bin");
    if !path.exists() && pickled.exists() {
        return Err(LoadError::PickledAdapter { path: pickled });
    }
    Ok(path)
}

fn metadata(path: &Path) -> Result<Metadata, LoadError> {
    std::fs::metadata(path).map_err(|source| file_error(path, source))
}

/// Reads a whole file, unless it has more bytes.
pub(super) fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>, LoadError> {
    let unread = |source| file_error(path, source);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unread)?;
    file.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(unread)?;
    if bytes.len() as u64 > most {
        let source = io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {most} bytes"),
        );
        return Err(unread(source));
    }
    Ok(bytes)
}

struct Reader<'load> {
    path: PathBuf,
    config: AdapterConfig,
    base: &'load ModelConfig,
}

/// The matrices of a module, of the right shapes.
struct Checked<'file> {
    name: String,
    /// Of `A` and `B` in the file.
    names: [String; 2],
    place: Place,
    rank: usize,
    scale: f64,
    a: TensorView<'file>,
    b: TensorView<'file>,
}

impl Reader<'_> {
    /// The matrices by layer and module.
    fn pairs<'file>(
        &self,
        file: &SafeTensors<'file>,
    ) -> Result<BTreeMap<(usize, Module), Pair<'file>>, LoadError> {
        let mut pairs = BTreeMap::<_, Pair<'file>>::new();
        let mut tensors = file.tensors();
        tensors.sort_by(|left, right| left.0.cmp(&right.0));
        for (name, view) in tensors {
            let unknown = || LoadError::UnknownTensor {
                path: self.path.clone(),
                name: name.clone(),
            };
            let (layer, module, is_a) = place_of(&name).ok_or_else(unknown)?;
            if layer >= self.base.layers {
                return Err(LoadError::AdapterLayer {
                    path: self.path.clone(),
                    name,
                    layers: self.base.layers,
                });
            }
            if !self.config.has_layer(layer) {
                return Err(unknown());
            }
            let pair = pairs.entry((layer, module)).or_default();
            *(if is_a { &mut pair.a } else { &mut pair.b }) = Some(view);
        }
        self.check_whole(&pairs)?;
        Ok(pairs)
    }

    /// Checks that all modules are there that the configuration names; where it names them in a way that is not
    /// understood here, that all layers have the same ones. Half an adapter would be computed without a word.
    fn check_whole(&self, pairs: &BTreeMap<(usize, Module), Pair<'_>>) -> Result<(), LoadError> {
        let somewhere: BTreeSet<Module> = pairs.keys().map(|(_, module)| *module).collect();
        for layer in (0..self.base.layers).filter(|layer| self.config.has_layer(*layer)) {
            for (module, _) in Module::ALL {
                let needed = match self.config.target(&module_name(layer, module)) {
                    Target::Named => true,
                    Target::Not => false,
                    Target::Unknown => somewhere.contains(&module),
                };
                if needed && !pairs.contains_key(&(layer, module)) {
                    return Err(self.missing(&tensor_name(layer, module, true)));
                }
            }
        }
        if pairs.is_empty() {
            return Err(self.missing(&tensor_name(0, Module::Query, true)));
        }
        Ok(())
    }

    /// The two matrices of a module, once their shapes are right.
    fn checked<'file>(
        &self,
        layer: usize,
        module: Module,
        pair: &Pair<'file>,
    ) -> Result<Checked<'file>, LoadError> {
        let place = module.place(self.base);
        let name = module_name(layer, module);
        let rank = self.config.rank(&name);
        let matrix = |view: &Option<TensorView<'file>>, is_a, expected: [usize; 2]| {
            let name = tensor_name(layer, module, is_a);
            let view = view.clone().ok_or_else(|| self.missing(&name))?;
            if view.shape() != expected {
                return Err(LoadError::WrongAdapterShape {
                    path: self.path.clone(),
                    name,
                    expected: expected.to_vec(),
                    actual: view.shape().to_vec(),
                });
            }
            if !matches!(view.dtype(), Dtype::F32 | Dtype::BF16 | Dtype::F16) {
                return Err(LoadError::WrongFormat {
                    path: self.path.clone(),
                    name,
                    format: format!("{:?}", view.dtype()),
                });
            }
            Ok(view)
        };
        Ok(Checked {
            rank,
            scale: self.config.scale(&name),
            a: matrix(&pair.a, true, [rank, place.inputs])?,
            b: matrix(&pair.b, false, [place.outputs, rank])?,
            names: [true, false].map(|is_a| tensor_name(layer, module, is_a)),
            name,
            place,
        })
    }

    fn missing(&self, name: &str) -> LoadError {
        LoadError::AdapterTensor {
            path: self.path.clone(),
            name: name.to_owned(),
            layers: self.base.layers,
        }
    }

    /// A matrix's values, row by row.
    fn values(&self, name: &str, view: &TensorView<'_>) -> Result<Vec<f32>, LoadError> {
        let data = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => data
                .as_chunks()
                .0
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect(),
            Dtype::BF16 => data
                .as_chunks()
                .0
                .iter()
                .map(|bytes| bf16::from_le_bytes(*bytes).to_f32())
                .collect(),
            _ => data
                .as_chunks()
                .0
                .iter()
                .map(|bytes| f16::from_le_bytes(*bytes).to_f32())
                .collect(),
        };
        if values.iter().all(|value| value.is_finite()) {
            return Ok(values);
        }
        Err(LoadError::AdapterValues {
            path: self.path.clone(),
            name: name.to_owned(),
        })
    }

    /// What the projections of a site add.
    fn delta(&self, arena: &mut Arena, checked: &[Checked<'_>]) -> Result<Delta, LoadError> {
        let mut projections = Vec::with_capacity(checked.len());
        for checked in checked {
            projections.push(Matrices {
                first: checked.place.first,
                outputs: checked.place.outputs,
                rank: checked.rank,
                scale: checked.scale,
                a: self.values(&checked.names[0], &checked.a)?,
                b: self.values(&checked.names[1], &checked.b)?,
            });
        }
        let inputs = checked.first().map_or(0, |checked| checked.place.inputs);
        Delta::new(arena, inputs, &projections).map_err(|TooLarge(index)| LoadError::InvalidConfig {
            path: self.config.path().to_owned(),
            field: "lora_alpha",
            problem: format!("makes what {} adds too large for f32", checked[index].name),
        })
    }
}

impl Checked<'_> {
    /// The groups of its numbers.
    fn groups(&self, format: AdapterFormat) -> usize {
        Delta::groups(format, self.rank, self.place.inputs, self.place.outputs)
    }
}

impl Module {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Query, "self_attn.q_proj"),
        (Self::Key, "self_attn.k_proj"),
        (Self::Value, "self_attn.v_proj"),
        (Self::Output, "self_attn.o_proj"),
        (Self::Gate, "mlp.gate_proj"),
        (Self::Up, "mlp.up_proj"),
        (Self::Down, "mlp.down_proj"),
    ];

    fn name(self) -> &'static str {
        Self::ALL
            .into_iter()
            .find(|(module, _)| *module == self)
            .map_or("", |(_, name)| name)
    }

    fn place(self, base: &ModelConfig) -> Place {
        let (width, inner) = (base.hidden_size, base.intermediate_size);
        let (queries, keys) = (base.heads * base.head_dim, base.kv_heads * base.head_dim);
        let (site, first, outputs, inputs) = match self {
            Self::Query => (Site::Qkv, 0, queries, width),
            Self::Key => (Site::Qkv, queries, keys, width),
            Self::Value => (Site::Qkv, queries + keys, keys, width),
            Self::Output => (Site::Output, 0, width, queries),
            Self::Gate => (Site::GateUp, 0, inner, width),
            Self::Up => (Site::GateUp, inner, inner, width),
            Self::Down => (Site::Down, 0, width, inner),
        };
        Place {
            site,
            first,
            outputs,
            inputs,
        }
    }
}

fn module_name(layer: usize, module: Module) -> String {
    format!("model.layers.{layer}.{}", module.name())
}

fn tensor_name(layer: usize, module: Module, is_a: bool) -> String {
    let half = if is_a { "lora_A" } else { "lora_B" };
    format!("{PREFIX}{}.{half}.weight", module_name(layer, module))
}

/// The layer and module of a tensor, and whether it is the matrix `A`.
fn place_of(name: &str) -> Option<(usize, Module, bool)> {
    let rest = name.strip_prefix(PREFIX)?.strip_prefix("model.layers.")?;
    let (layer, rest) = rest.split_once('.')?;
    let (module, is_a) = match rest.strip_suffix(".lora_A.weight") {
        Some(module) => (module, true),
        None => (rest.strip_suffix(".lora_B.weight")?, false),
    };
    let (module, _) = Module::ALL.into_iter().find(|(_, known)| *known == module)?;
    let layer: usize = layer.parse().ok()?;
    // As it is written, so that no two names mean the same matrix.
    (tensor_name(layer, module, is_a) == name).then_some((layer, module, is_a))
}
