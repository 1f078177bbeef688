//! Where the catalogue file is and what its parts may lean on.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use silica_platform::{CatalogueFault, CheckedCatalogue, NewCatalogue, PlatformError, check_catalogue};

use super::CatalogueFileError;
use super::document::{self, line_of_entry};
use crate::config::Environment;

/// The size of a file at most, in bytes.
const FILE_BYTES: u64 = 4 * 1024 * 1024;

/// The catalogue file. Cheap to clone beside the work of reading it.
#[derive(Clone)]
pub(crate) struct CatalogueSource {
    path: PathBuf,
    environment: Environment,
}

impl CatalogueSource {
    /// The file at `path`, seen from the working folder.
    pub(crate) fn new(path: &Path, environment: &Environment) -> Self {
        Self {
            path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            environment: environment.clone(),
        }
    }

    /// The file's absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the text of the file.
    ///
    /// # Errors
    /// [`CatalogueFileError::Unreadable`].
    pub(crate) fn text(&self) -> Result<String, CatalogueFileError> {
        read(&self.path).map_err(|source| CatalogueFileError::Unreadable {
            path: self.path.clone(),
            source,
        })
    }

    /// Reads what a text says.
    ///
    /// # Errors
    /// [`CatalogueFileError::Fault`].
    pub(crate) fn parse(&self, text: &str) -> Result<NewCatalogue, CatalogueFileError> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let read = document::read(text, &self.environment, folder);
        let document = read.map_err(|fault| CatalogueFileError::Fault {
            path: self.path.clone(),
            line: fault.line,
            place: before_message(&fault.place),
            message: fault.message,
        })?;
        if document.has_literal_keys {
            tracing::warn!(
                catalogue.file = %self.path.display(),
                "the catalogue file holds keys of upstreams; api_key_env or api_key_file keep them out of it"
            );
        }
        Ok(document.new)
    }

    /// Checks a file as far as it can be checked without a database.
    ///
    /// # Errors
    /// [`CatalogueFileError::Unreadable`] and [`CatalogueFileError::Fault`].
    pub(crate) fn check(&self, now: Timestamp) -> Result<(String, CheckedCatalogue), CatalogueFileError> {
        let text = self.text()?;
        let checked = check_catalogue(self.parse(&text)?, now).map_err(|fault| self.fault(&text, fault))?;
        Ok((text, checked))
    }

    /// Says where in the text a fault lies.
    pub(super) fn fault(&self, text: &str, fault: CatalogueFault) -> CatalogueFileError {
        let path = self.path.clone();
        let CatalogueFault { entry, source } = fault;
        let (field, message) = match source {
            PlatformError::Invalid { field, problem } => (field, problem),
            source @ (PlatformError::Conflict(_) | PlatformError::IsFallback { .. }) => {
                (String::new(), source.to_string())
            }
            source => return CatalogueFileError::NotApplied { path, source },
        };
        if entry == silica_platform::CatalogueEntry::Missing {
            return CatalogueFileError::Missing { path, message };
        }
        let dot = if field.is_empty() { "" } else { "." };
        CatalogueFileError::Fault {
            line: line_of_entry(text, entry, &field),
            place: before_message(&format!("{entry}{dot}{field}")),
            path,
            message,
        }
    }
}

fn before_message(place: &str) -> String {
    if place.is_empty() {
        String::new()
    } else {
        format!("{place}: ")
    }
}

fn read(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("is not a file"));
    }
    let mut text = String::new();
    file.take(FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES {
        return Err(io::Error::other(format!("is larger than {FILE_BYTES} bytes")));
    }
    Ok(text)
}
