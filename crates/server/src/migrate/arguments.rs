//! The command line of `silica migrate`.

use std::convert::Infallible;
use std::path::PathBuf;

use clap::Args;
use silica_types::Secret;

/// Arguments of `silica migrate`.
#[derive(Debug, Args)]
pub(crate) struct MigrateArguments {
    /// The database to move: sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/NAME. The one of the
    /// configuration unless given.
    #[arg(long, value_name = "URL", value_parser = secret)]
    pub(super) from: Option<Secret>,
    /// The empty database to move it to, in the same form. Other users of this machine can read a
    /// command line: a password can stand in ~/.pgpass or PGPASSWORD instead.
    #[arg(long, value_name = "URL", value_parser = secret)]
    pub(super) to: Secret,
    /// The configuration file (TOML) of the server.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The data folder of the server on the database. Unless given: that of the configuration when its
    /// database is the one to move, else the folder of the SQLite file.
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
}

/// An address may hold a password, which no error of the command line must repeat.
#[expect(clippy::unnecessary_wraps, reason = "what clap asks for")]
fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}
