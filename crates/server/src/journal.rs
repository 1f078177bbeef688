//! `silica journal`: looks after the usage journal while no server runs.

use anyhow::Context as _;

use crate::cli::JournalCommand;
use crate::config::{self, Environment};
use crate::setup::DataFolder;
use crate::terminal;

/// Runs one command.
///
/// # Errors
/// When a server uses the data folder, or the journal cannot be read at all.
pub(crate) fn run(command: &JournalCommand, environment: &Environment) -> anyhow::Result<()> {
    let JournalCommand::Salvage(arguments) = command;
    let config = config::load(arguments.config.as_deref(), environment, arguments.overrides())?;
    let path = config.journal.path(&config.data.dir);
    let _data = DataFolder::claim(&config.data.dir)?;
    let salvaged = silica_platform::salvage_journal(&path)
        .with_context(|| format!("cannot salvage the usage journal {}", path.display()))?;
    terminal::say(&format!(
        "{} settled calls are saved and will be applied at the next start; {} could not be read.\nThe damaged journal is kept as {}.",
        salvaged.kept,
        salvaged.lost,
        salvaged.old_file.display()
    ));
    Ok(())
}
