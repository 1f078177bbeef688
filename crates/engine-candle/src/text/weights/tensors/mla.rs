//! The tensors of a layer's latent attention.

use super::{Named, Projections, Vector};
use crate::text::config::{MlaConfig, ModelConfig};

/// The tensors of a layer's latent attention.
pub(crate) struct MlaTensors {
    pub(crate) config: MlaConfig,
    /// To the queries' latents, or to queries, and to latents and rotated keys.
    pub(crate) input: Projections,
    /// The norm of the queries' latents, and what makes queries of them.
    pub(crate) queries: Option<(Vector, Projections)>,
    pub(crate) latent_norm: Vector,
    pub(crate) heads: LatentHeads,
    pub(crate) output: Projections,
}

/// What makes each head's keys and values of latents: one matrix, or, in newer GGUF files, one of
/// keys and one of values for each head. Which, is for the files to say.
pub(crate) struct LatentHeads {
    /// `model.layers.N.self_attn`.
    prefix: String,
    pub(crate) heads: usize,
    /// Widths of a head's keys, as far as latents make them, and of its values.
    pub(crate) keys: usize,
    pub(crate) values: usize,
    /// Width of the latents.
    pub(crate) rank: usize,
}

impl MlaTensors {
    /// `layer` is the name of the layer.
    pub(super) fn of(model: &ModelConfig, config: &MlaConfig, layer: &str) -> Self {
        let prefix = format!("{layer}.self_attn");
        let part = |name: &str, outputs| (format!("{prefix}.{name}"), outputs);
        let norm = |name: &str, size| Vector {
            name: format!("{prefix}.{name}.weight"),
            size,
        };
        let projections = |parts, inputs| Projections {
            parts,
            inputs,
            bias: false,
        };
        let (width, heads) = (model.hidden_size, model.heads);
        let queries = heads * config.query_width();
        let first = match config.query_rank {
            Some(rank) => part("q_a_proj", rank),
            None => part("q_proj", queries),
        };
        let latents = part("kv_a_proj_with_mqa", config.rank + config.rope_width);
        Self {
            config: config.clone(),
            input: projections(vec![first, latents], width),
            queries: config.query_rank.map(|rank| {
                let projection = projections(vec![part("q_b_proj", queries)], rank);
                (norm("q_a_layernorm", rank), projection)
            }),
            latent_norm: norm("kv_a_layernorm", config.rank),
            output: projections(vec![part("o_proj", width)], heads * config.value_width),
            heads: LatentHeads {
                prefix,
                heads,
                keys: config.nope_width,
                values: config.value_width,
                rank: config.rank,
            },
        }
    }

    /// All but the heads', whose names depend on the files.
    pub(super) fn all(self) -> Vec<Named> {
        let Self {
            config: _,
            input,
            queries,
            latent_norm,
            heads: _,
            output,
        } = self;
        let mut named = vec![latent_norm.named()];
        let mut projections = vec![input, output];
        if let Some((norm, projection)) = queries {
            named.push(norm.named());
            projections.push(projection);
        }
        named.extend(projections.iter().flat_map(Projections::named));
        named
    }
}

impl LatentHeads {
    /// Head after head the rows of its keys and then of its values, `[heads * (keys + values),
    /// rank]`.
    pub(crate) fn joined(&self) -> String {
        format!("{}.kv_b_proj.weight", self.prefix)
    }

    /// `[rank, keys]`.
    pub(crate) fn keys_of(&self, head: usize) -> String {
        format!("{}.k_b_proj.{head}.weight", self.prefix)
    }

    /// `[values, rank]`.
    pub(crate) fn values_of(&self, head: usize) -> String {
        format!("{}.v_b_proj.{head}.weight", self.prefix)
    }
}
