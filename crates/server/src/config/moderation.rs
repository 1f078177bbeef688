//! `[moderation]`: who judges prompts and answers.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfiguredSecret, HumanDuration, InvalidValue, at_least_one};

/// Who judges prompts and answers. What is refused is 451 with code 20021.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ModerationConfig {
    /// `none`; `words`, a list of words in a file; or `remote`, a service in the form of OpenAI's
    /// `/moderations`. `POST /v1/moderations` asks the same.
    pub(crate) provider: ModerationProvider,
    /// Whether prompts are judged, before anything is reserved or sent to an engine.
    pub(crate) input: bool,
    /// Whether answers are judged, with their reasoning and the arguments of calls. Answers in one piece are
    /// judged as a whole; streams in windows that are held back until they have passed. Requests are
    /// then still forwarded as they came, but answers of engines elsewhere are read and written anew, so fields
    /// of theirs that the API does not know are lost.
    pub(crate) output: bool,
    /// The list of `words`: UTF-8, a word or phrase a line, comments after `#` at the begin of a line. Case,
    /// width and the spelling of accents do not matter. A word is found anywhere, within longer words, too. Read at
    /// the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) words_file: Option<PathBuf>,
    /// The address of `remote` below which `/moderations` stands, such as `https://api.openai.com/v1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// The bearer token of `remote`. A secret, so set the variable rather than the file; it is never shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_key: Option<ConfiguredSecret>,
    /// The model of `remote`. Unset: the service's own choice, or that of the client of `/v1/moderations`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    /// Whether `remote` may be at an address that is not public.
    pub(crate) allow_private: bool,
    /// The longest wait for a judgement of `remote`.
    pub(crate) timeout: HumanDuration,
    /// What happens when nobody judges because `remote` is away, slow or wrong: `refuse` (503) or `allow`.
    pub(crate) on_failure: ModerationFailure,
    /// The categories of `remote` that count. Empty: what the service itself flags.
    pub(crate) categories: Vec<String>,
    /// The score of `remote` from which on a category counts, 0 to 1. Unset: as the service judges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threshold: Option<f64>,
    /// About how many characters of a stream are judged together; at least twice the overlap. A larger window
    /// comes later, and tells a service more.
    pub(crate) window_chars: u32,
    /// How many characters a window shares with the one before it, which are held back meanwhile. At
    /// least four times the longest word of `words`, so that none is missed.
    pub(crate) overlap_chars: u32,
    /// The most requests to `/v1/moderations` at the same time; further ones are refused with 503.
    pub(crate) max_requests: u32,
}

/// Who judges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ModerationProvider {
    #[default]
    None,
    Words,
    Remote,
}

/// What happens when nobody judges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ModerationFailure {
    #[default]
    Refuse,
    Allow,
}

impl Default for ModerationConfig {
    fn default() -> Self {
        Self {
            provider: ModerationProvider::None,
            input: true,
            output: true,
            words_file: None,
            url: None,
            api_key: None,
            model: None,
            allow_private: false,
            timeout: HumanDuration(Duration::from_secs(5)),
            on_failure: ModerationFailure::Refuse,
            categories: Vec::new(),
            threshold: None,
            window_chars: 500,
            overlap_chars: 50,
            max_requests: 64,
        }
    }
}

impl ModerationConfig {
    /// Checks what types alone cannot.
    pub(super) fn validate(&self) -> Result<(), InvalidValue> {
        let missing = |key, is_there: bool, what: &str| {
            let message = format!("is needed with moderation.provider = \"{what}\"");
            if is_there {
                Ok(())
            } else {
                Err(InvalidValue { key, message })
            }
        };
        match self.provider {
            ModerationProvider::None => {}
            ModerationProvider::Words => {
                missing("moderation.words_file", self.words_file.is_some(), "words")?;
            }
            ModerationProvider::Remote => missing("moderation.url", self.url.is_some(), "remote")?,
        }
        self.timeout.not_zero("moderation.timeout")?;
        at_least_one("moderation.window_chars", u64::from(self.window_chars))?;
        at_least_one("moderation.max_requests", u64::from(self.max_requests))?;
        if self
            .threshold
            .is_some_and(|threshold| !(0.0..=1.0).contains(&threshold))
        {
            return Err(InvalidValue {
                key: "moderation.threshold",
                message: "must be from 0 to 1".to_owned(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_needs_its_own_settings() {
        let with = |provider| ModerationConfig {
            provider,
            ..ModerationConfig::default()
        };
        let key = |config: &ModerationConfig| config.validate().map_err(|invalid| invalid.key);
        assert_eq!(key(&with(ModerationProvider::None)), Ok(()));
        assert_eq!(
            key(&with(ModerationProvider::Words)),
            Err("moderation.words_file")
        );
        assert_eq!(key(&with(ModerationProvider::Remote)), Err("moderation.url"));
        for threshold in [-0.1, 1.1, f64::NAN] {
            let config = ModerationConfig {
                threshold: Some(threshold),
                ..ModerationConfig::default()
            };
            assert_eq!(key(&config), Err("moderation.threshold"));
        }
    }
}
