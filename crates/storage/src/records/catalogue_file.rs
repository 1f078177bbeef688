//! What came from the catalogue file.

use jiff::Timestamp;

/// The catalogue file as it was last applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueFile {
    /// The file, for people.
    pub path: String,
    /// The ids of the models that it named, sorted.
    pub models: Vec<String>,
    /// The names of the deployments that it named, sorted.
    pub deployments: Vec<String>,
    /// When it was applied, whole microseconds.
    pub applied_at: Timestamp,
}
