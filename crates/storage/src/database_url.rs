//! Where the database is: `sqlite:PATH` or `postgres://…`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sea_orm::sqlx::postgres::PgConnectOptions;

/// The place of a database. Its `Debug` and `Display` hide the password.
#[derive(Clone)]
pub struct DatabaseUrl(Target);

#[derive(Clone)]
pub(crate) enum Target {
    Sqlite(PathBuf),
    Postgres {
        options: Box<PgConnectOptions>,
        masked: String,
    },
}

/// The text names no database that we can open.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDatabaseUrl {
    /// The scheme is unknown. The text itself is left out: it may hold a password.
    #[error("a database url starts with `sqlite:` or `postgres://`")]
    UnknownScheme,
    /// No file was named.
    #[error("`sqlite:` needs the path of a file; databases in memory are not supported")]
    NoSqliteFile,
    /// The driver cannot read the rest.
    #[error("malformed `postgres://` url")]
    Postgres(#[source] sea_orm::sqlx::Error),
}

impl DatabaseUrl {
    /// Names the SQLite file at `path`.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(Target::Sqlite(path.into()))
    }

    /// Returns the file of a SQLite database, `None` for PostgreSQL.
    pub fn sqlite_path(&self) -> Option<&Path> {
        match &self.0 {
            Target::Sqlite(path) => Some(path),
            Target::Postgres { .. } => None,
        }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.0
    }
}

impl FromStr for DatabaseUrl {
    type Err = InvalidDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let options = text.parse().map_err(InvalidDatabaseUrl::Postgres)?;
            return Ok(Self(Target::Postgres {
                options: Box::new(options),
                masked: mask(text),
            }));
        }
        let path = text
            .strip_prefix("sqlite:")
            .ok_or(InvalidDatabaseUrl::UnknownScheme)?;
        // `sqlite:///a/b` is how other tools write an absolute path.
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.starts_with(":memory:") {
            return Err(InvalidDatabaseUrl::NoSqliteFile);
        }
        Ok(Self::sqlite(path))
    }
}

/// Replaces the password of a PostgreSQL url, and drops the query, which may hold one too.
fn mask(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", ""));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    // A raw `@` may stand in a password; the last one ends the user part.
    match rest.rsplit_once('@') {
        Some((user, place)) => {
            let name = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{name}:***@{place}")
        }
        None => format!("{scheme}://{rest}"),
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Target::Sqlite(path) => write!(formatter, "sqlite:{}", path.display()),
            Target::Postgres { masked, .. } => formatter.write_str(masked),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hidden_wherever_they_stand() {
        for text in [
            "postgres://silica:geheim@db.example:5432/silica",
            "postgres://silica:geh@eim@db.example/silica",
            "postgres://db.example/silica?user=silica&password=geheim",
        ] {
            let url: DatabaseUrl = text.parse().unwrap();
            let shown = format!("{url} {url:?}");
            assert!(!shown.contains("geh") && shown.contains("db.example"), "{shown}");
        }
    }

    #[test]
    fn sqlite_paths_are_taken_as_they_are() {
        for (text, path) in [
            ("sqlite:data/silica.db", "data/silica.db"),
            ("sqlite:///var/silica.db", "/var/silica.db"),
        ] {
            assert_eq!(
                text.parse::<DatabaseUrl>().unwrap().sqlite_path(),
                Some(Path::new(path))
            );
        }
    }

    #[test]
    fn other_schemes_and_missing_files_are_refused_without_showing_the_text() {
        for text in [
            "",
            "mysql://silica:geheim@db/x",
            "sqlite:",
            "sqlite::memory:",
            "postgres://silica:geheim@db:port/x",
        ] {
            let error = text.parse::<DatabaseUrl>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("geheim"), "{text}");
        }
    }
}
