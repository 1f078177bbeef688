//! The node's id in a cluster: that of its journal, for ever.

use std::path::Path;

use anyhow::Context as _;
use silica_types::Secret;
use uuid::Uuid;

use super::private_file;

/// Returns the id in `node.id` beside the journal, which is made when it is missing. What a server that was killed
/// had settled is known by it when the server starts again.
///
/// # Errors
/// When the file holds no id, or cannot be read or made.
pub(crate) fn load_or_make_node_id(journal: &Path) -> anyhow::Result<Uuid> {
    let path = journal.with_file_name("node.id");
    let context = || format!("the id of this node, {}", path.display());
    if let Some(folder) = path.parent() {
        super::make_private_folder(folder).with_context(context)?;
    }
    if private_file::read(&path).with_context(context)?.is_none() {
        let id = format!(
            "{}\n",
            silica_types::new_uuid(&silica_types::SystemClock).simple()
        );
        private_file::make(&path, &Secret::new(id)).with_context(context)?;
    }
    let text = private_file::read(&path)
        .with_context(context)?
        .context("it was emptied")?;
    text.expose().parse().with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_id_and_a_broken_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal/usage.db");
        let id = load_or_make_node_id(&journal).unwrap();
        assert_eq!(load_or_make_node_id(&journal).unwrap(), id);
        std::fs::write(journal.with_file_name("node.id"), "nobody").unwrap();
        let error = load_or_make_node_id(&journal).unwrap_err();
        assert!(format!("{error:#}").contains("node.id"), "{error:#}");
    }
}
