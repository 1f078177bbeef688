//! Makes what judges prompts and answers.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use silica_engine::Moderator;
use silica_engine_remote::{Authorities, ModeratorOptions, RemoteModerator};
use silica_gateway::{Moderation, ModerationOptions, OnFailure};
use silica_moderation::WordList;

use crate::config::{ModerationConfig, ModerationFailure, ModerationProvider};

/// Makes it as it is configured; `None` when nothing judges.
///
/// # Errors
/// When the list of words cannot be read, or the service's address is none.
pub(super) async fn moderation(
    config: &ModerationConfig,
    authorities: Option<Authorities>,
) -> anyhow::Result<Option<Moderation>> {
    let moderator: Arc<dyn Moderator> = match config.provider {
        ModerationProvider::None => return Ok(None),
        ModerationProvider::Words => {
            let path = config
                .words_file
                .as_deref()
                .context("moderation.words_file is missing")?;
            Arc::new(words(path).await?)
        }
        ModerationProvider::Remote => Arc::new(remote(config, authorities).context("moderation.url")?),
    };
    Ok(Some(Moderation::new(ModerationOptions {
        moderator,
        input: config.input,
        output: config.output,
        on_failure: match config.on_failure {
            ModerationFailure::Refuse => OnFailure::Refuse,
            ModerationFailure::Allow => OnFailure::Allow,
        },
        window: usize::try_from(config.window_chars)?,
        overlap: usize::try_from(config.overlap_chars)?,
        most_requests: usize::try_from(config.max_requests)?,
    })))
}

async fn words(path: &Path) -> anyhow::Result<WordList> {
    let context = || format!("moderation.words_file {}", path.display());
    let text = tokio::fs::read_to_string(path).await.with_context(context)?;
    // A long list takes a while to compile.
    let compiling = tokio::task::spawn_blocking(move || WordList::new(&text));
    compiling.await?.with_context(context)
}

fn remote(config: &ModerationConfig, authorities: Option<Authorities>) -> anyhow::Result<RemoteModerator> {
    Ok(RemoteModerator::new(ModeratorOptions {
        base_url: config.url.clone().context("it is missing")?,
        api_key: config.api_key.as_ref().map(|key| key.get().clone()),
        model: config.model.clone(),
        allow_private: config.allow_private,
        limit: config.timeout.0,
        categories: config.categories.clone(),
        threshold: config.threshold,
        authorities,
    })?)
}
