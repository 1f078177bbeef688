//! Low-rank adapters on top of a model that many sequences share.
//!
//! To the output of a projection `W x` an adapter adds `scale * B (A x)`, with `A` of few rows and `B` of as
//! many columns (Hu et al., "`LoRA`: Low-Rank Adaptation of Large Language Models", 2021). The rows of
//! a pass have adapters of their own: the model's matrices are read once for all of them, and what an adapter
//! adds to a row depends on that row alone, in every bit. Computed on the CPU, in f32; in memory the matrices
//! are rounded as much as the model's own weights are: not in f32, to sixteen bits, to eight where it is quantised.

mod base;
mod config;
mod loops;
mod memory;
mod numbers;
mod product;
mod read;
mod rows;

use std::path::Path;

pub(crate) use self::base::{Base, BaseNames};
pub(crate) use self::memory::AdapterMemory;
use self::memory::Held;
pub(crate) use self::numbers::AdapterFormat;
use self::numbers::Arena;
use self::product::{Delta, Product};
pub(crate) use self::rows::AdapterRows;
use crate::LoadError;

/// An adapter in memory. Gives its memory back when the last sequence that uses it ends.
pub struct Adapter {
    layers: Vec<LayerDeltas>,
    arena: Arena,
    held: Held,
}

/// What an adapter adds in one layer, for each [`Site`].
type LayerDeltas = [Option<Delta>; 4];

/// The products of a layer that adapters add to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    /// Queries, keys and values, side by side.
    Qkv,
    /// What attention says, projected back.
    Output,
    /// Gate and up, side by side.
    GateUp,
    /// Down.
    Down,
}

impl Adapter {
    /// Loads a folder as PEFT writes it: `adapter_config.json` and `adapter_model.safetensors`.
    ///
    /// # Errors
    /// Names the file and the setting or tensor that is missing, malformed, not supported or made for
    /// another model; and when the adapters together would take too much memory.
    pub(crate) fn load(folder: &Path, base: &Base, memory: &AdapterMemory) -> Result<Self, LoadError> {
        read::read(folder, base, memory)
    }

    /// A number that no other adapter of the same engine has or had; never 0.
    pub(crate) fn id(&self) -> u64 {
        self.held.id()
    }

    /// Its memory, in bytes.
    pub fn bytes(&self) -> u64 {
        self.held.bytes()
    }

    fn product(&self, layer: usize, site: Site) -> Option<Product<'_>> {
        let delta = self.layers.get(layer)?[site as usize].as_ref()?;
        let arena = &self.arena;
        Some(Product { delta, arena })
    }
}
