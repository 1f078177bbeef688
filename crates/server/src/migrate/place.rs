//! The server whose database is moved: that it does not run, and that its database has all calls.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use silica_platform::{DatabaseUrl, Journal, JournalOptions};

use crate::config::Config;
use crate::setup::DataFolder;
use crate::terminal;

/// What is moved, and where its server keeps its files.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) source: DatabaseUrl,
    /// The data folder, which need not be there: a server on PostgreSQL may run elsewhere.
    pub(super) data: PathBuf,
    journal: JournalOptions,
}

impl Place {
    /// Finds the data folder that belongs to the source; `is_told` when the command line names it.
    pub(super) fn find(config: &Config, from: Option<DatabaseUrl>, is_told: bool) -> Self {
        let configured = config.database.url(&config.data.dir);
        let source = from.unwrap_or_else(|| configured.clone());
        let data = match source.sqlite_path() {
            Some(path) if !is_told && !is_same_file(&configured, path) => folder_of(path),
            _ => config.data.dir.clone(),
        };
        let journal = config.journal.options(&data);
        Self {
            source,
            data,
            journal,
        }
    }

    /// Keeps servers out of the data folder until what it returns is dropped; `None` when there is no
    /// such folder.
    pub(super) fn claim(&self) -> anyhow::Result<Option<DataFolder>> {
        if !self.data.is_dir() {
            return Ok(None);
        }
        let claimed = DataFolder::try_claim(&self.data)?.ok_or_else(|| {
            anyhow!(
                "a server uses the data folder {}; stop it first (--data names another folder)",
                self.data.display()
            )
        })?;
        Ok(Some(claimed))
    }

    /// Refuses while settled calls wait in the journal: they would be missing in the copy. They are
    /// not applied here, because the journal may hold calls of another database, the one that the
    /// folder's server has used since.
    pub(super) async fn check_journal(&self) -> anyhow::Result<()> {
        let options = self.journal.clone();
        let path = options.path.display().to_string();
        let mut log = options.path.clone().into_os_string();
        log.push("-wal");
        if !options.path.exists() && !Path::new(&log).exists() {
            terminal::complain(&format!(
                "no usage journal at {path}; if the server keeps it elsewhere, name its --config or --data"
            ));
            return Ok(());
        }
        let opening = tokio::task::spawn_blocking(move || Journal::open(options));
        let journal = opening.await?.with_context(|| format!("usage journal {path}"))?;
        let waiting = journal.backlog();
        journal.close().await;
        if waiting > 0 {
            bail!(
                "{waiting} settled calls wait in the usage journal {path} and are in no database yet; \
                 start the server once, stop it in order (SIGTERM), and run this again"
            );
        }
        Ok(())
    }
}

fn is_same_file(url: &DatabaseUrl, path: &Path) -> bool {
    let file = |path: &Path| path.canonicalize().ok();
    url.sqlite_path()
        .is_some_and(|other| other == path || file(path).is_some_and(|this| file(other) == Some(this)))
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_for(config: &Config, from: Option<&str>, is_told: bool) -> PathBuf {
        let from = from.map(|url| url.parse().unwrap());
        Place::find(config, from, is_told).data
    }

    #[test]
    fn data_folder_is_the_one_of_the_database_to_move() {
        let mut config = Config::default();
        config.data.dir = "data".into();
        for (from, is_told, expected) in [
            (None, false, "data"),
            (Some("sqlite:data/silica.db"), false, "data"),
            (Some("sqlite:/srv/silica/silica.db"), false, "/srv/silica"),
            (Some("sqlite:silica.db"), false, "."),
            (Some("sqlite:/srv/silica/silica.db"), true, "data"),
            (Some("postgres://db/silica"), false, "data"),
        ] {
            let found = data_for(&config, from, is_told);
            assert_eq!(found, Path::new(expected), "{from:?} {is_told}");
        }
    }
}
