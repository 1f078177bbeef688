//! Which layers of a model see only some positions back.

use super::raw::{RawConfig, RawSetting};
use super::{Checker, Family, LoadError};

/// The width of a window where a configuration wants one and gives none, as in the reference.
const DEFAULT: usize = 4096;

impl Checker<RawConfig> {
    /// Per layer, how many positions back it sees; `None` sees all.
    pub(super) fn windows(&self, family: Family, layers: usize) -> Result<Vec<Option<usize>>, LoadError> {
        let raw = &self.raw;
        let window = || match raw.sliding_window {
            RawSetting::Of(positions) => self.size("sliding_window", positions),
            RawSetting::Null | RawSetting::LeftOut => Ok(DEFAULT),
        };
        match family {
            Family::Qwen2 | Family::Qwen3 if raw.use_sliding_window.unwrap_or(false) => {
                let first = raw.max_window_layers.unwrap_or(28);
                self.by_layer(window()?, layers, |layer| layer >= first)
            }
            // Null means none; left out it means the reference's default.
            Family::Mistral if raw.sliding_window != RawSetting::Null => {
                self.by_layer(window()?, layers, |_| true)
            }
            Family::Mixtral if matches!(raw.sliding_window, RawSetting::Of(_)) => {
                self.by_layer(window()?, layers, |_| true)
            }
            Family::Qwen2Moe | Family::Qwen3Moe if raw.use_sliding_window.unwrap_or(false) => {
                Err(self.unsupported("use_sliding_window", "true".to_owned(), "only false with experts"))
            }
            Family::Gemma2 => self.by_layer(window()?, layers, |layer| layer % 2 == 0),
            _ => Ok(vec![None; layers]),
        }
    }

    /// Explicit `layer_types` win over the family's habit.
    fn by_layer(
        &self,
        window: usize,
        layers: usize,
        habit: impl Fn(usize) -> bool,
    ) -> Result<Vec<Option<usize>>, LoadError> {
        let Some(types) = &self.raw.layer_types else {
            return Ok((0..layers).map(|layer| habit(layer).then_some(window)).collect());
        };
        if types.len() != layers {
            let problem = format!("has {} entries for {layers} layers", types.len());
            return Err(self.invalid("layer_types", problem));
        }
        let window_of = |kind: &String| match kind.as_str() {
            "full_attention" => Ok(None),
            "sliding_attention" => Ok(Some(window)),
            other => Err(self.unsupported(
                "layer_types",
                other.to_owned(),
                "full_attention or sliding_attention",
            )),
        };
        types.iter().map(window_of).collect()
    }
}
