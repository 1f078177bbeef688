//! `silica journal`: looks after the usage journal while no server runs.

use anyhow::Context as _;

use crate::cli::JournalCommand;
use crate::terminal;

/// Runs one command.
///
/// # Errors
/// When a server uses the journal, or it cannot be read at all.
pub(crate) fn run(command: &JournalCommand) -> anyhow::Result<()> {
    let JournalCommand::Salvage { path } = command;
    let salvaged = silica_platform::salvage_journal(path)
        .with_context(|| format!("cannot salvage the usage journal {}", path.display()))?;
    terminal::say(&format!(
        "{} settled calls are saved and will be applied at the next start; {} could not be read.\nThe damaged journal is kept as {}.",
        salvaged.kept,
        salvaged.lost,
        salvaged.old_file.display()
    ));
    Ok(())
}
