//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::bench::BenchCommand;
use crate::config::Overrides;
use crate::migrate::MigrateArguments;
use crate::models::ModelsArguments;

/// An open, self-hosted model platform in one binary.
#[derive(Debug, Parser)]
#[command(name = "silica", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the API; sets itself up on an empty data folder.
    Serve(ServeArguments),
    /// Print the configuration that is in force, with secrets hidden.
    Config(ConfigArguments),
    /// Look after the usage journal of a server that is not running.
    Journal(JournalArguments),
    /// Look after the master key, which seals upstream keys in the database.
    Secrets(SecretsArguments),
    /// Add models to the data folder (from a hub, a folder or a file), list, show, serve and remove them.
    Models(ModelsArguments),
    /// Move the state of an installation to another database, such as from SQLite to PostgreSQL.
    ///
    /// Everything that the database holds moves as it is: accounts, keys, models, prices, balances, the
    /// ledger. Ids, amounts and times do not change, so clients, keys and bills go on as before. No server
    /// may run on the database meanwhile, and none may have settled calls left in its usage journal.
    ///
    /// The target must be empty, or hold exactly the rows of the source, which is then said and nothing
    /// is done; everything else is refused. All rows are written in one transaction, read back and
    /// compared with the source before it is committed: a move that was cut, however suddenly, leaves the
    /// target as it was, and the same command runs again.
    ///
    /// Upstream keys move sealed: keep the master key (`master-key` in the data folder, or
    /// `SILICA_MASTER_KEY`), without which they are lost.
    Migrate(MigrateArguments),
    /// Measure a running server or an embedded engine.
    Bench(BenchArguments),
}

/// Where the configuration comes from.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data folder, made when it is missing.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Address and port of the public API, such as 127.0.0.1:8080; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
}

impl ServeArguments {
    /// The configuration keys that these arguments set.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen,
            data: self.data.clone(),
        }
    }
}

/// Arguments of `silica config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    #[command(flatten)]
    pub(crate) serve: ServeArguments,
    /// Print the reference of all keys instead (Markdown).
    #[arg(long)]
    pub(crate) reference: bool,
    /// Check the configuration instead, and the catalogue file if there is one, down to loading its
    /// engines; no server is needed, and none is disturbed.
    #[arg(long, conflicts_with = "reference")]
    pub(crate) check: bool,
}

/// Arguments of `silica journal`.
#[derive(Debug, Args)]
pub(crate) struct JournalArguments {
    #[command(subcommand)]
    pub(crate) command: JournalCommand,
}

/// What to do with the journal.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Save what can be read of a damaged journal into a new one; the damaged file is kept beside it.
    Salvage {
        /// The journal's file: `journal/usage.db` in the data folder, unless `journal.path` says otherwise.
        path: PathBuf,
    },
}

/// Arguments of `silica secrets`.
#[derive(Debug, Args)]
pub(crate) struct SecretsArguments {
    #[command(subcommand)]
    pub(crate) command: SecretsCommand,
}

/// What to do with the master key.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Replace the master key and seal every stored upstream key anew.
    ///
    /// The new key is made here and put into the file `master-key` of the data folder; running servers
    /// on that folder follow by themselves. When the key comes from `SILICA_MASTER_KEY`, the new one is
    /// taken from `SILICA_NEW_MASTER_KEY`, and servers need it in their environment: start them with
    /// `SILICA_MASTER_KEY=NEW,OLD` before and with the new one alone afterwards.
    ///
    /// All keys are sealed in one transaction, and the old master key goes after that. A rotation
    /// that was cut leaves everything readable; run it again.
    Rotate(RotateArguments),
}

/// Arguments of `silica secrets rotate`.
#[derive(Debug, Args)]
pub(crate) struct RotateArguments {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// Arguments of `silica bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
