//! Checks that no compiler makes: which crate may know which, and how long a file may grow.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The house from top to bottom. A crate may depend on crates of a later line only
/// (ARCHITECTURE.md, "Code map"); crates of one line do not know each other.
const LAYERS: &[&[&str]] = &[
    &["silica-server", "xtask"],
    &["silica-console-api"],
    &["silica-api"],
    &["silica-gateway"],
    &["silica-platform", "silica-model-store"],
    &[
        "silica-text",
        "silica-engine-candle",
        "silica-engine-remote",
        "silica-moderation",
    ],
    &[
        "silica-storage",
        "silica-journal",
        "silica-cluster",
        "silica-engine",
        "silica-pieces",
        "silica-protocol",
    ],
    &["silica-billing"],
    &["silica-types"],
];

/// Test support may know everything below the API and is known by tests only.
const TEST_SUPPORT: &str = "silica-testkit";

/// Libraries that stay in one room, and whose room it is (invariants 7 and 8 of ARCHITECTURE.md).
const OWNERS: &[(&str, &str)] = &[
    ("sea-orm", "silica-storage"),
    ("sea-orm-migration", "silica-storage"),
    ("rusqlite", "silica-journal"),
    ("fred", "silica-cluster"),
    ("candle-core", "silica-engine-candle"),
    ("tokenizers", "silica-text"),
];

/// Production files longer than this are split by responsibility (style rule B1).
const LONGEST_FILE: usize = 500;

/// Runs all checks over the workspace at `root`.
///
/// # Errors
/// One error that lists every offence, one a line.
pub(crate) fn run(root: &Path) -> Result<()> {
    let mut offences = layer_offences(root)?;
    offences.extend(length_offences(root)?);
    if offences.is_empty() {
        return Ok(());
    }
    bail!("tidy found {} offences:\n{}", offences.len(), offences.join("\n"))
}

fn layer_offences(root: &Path) -> Result<Vec<String>> {
    let layer_of: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(depth, names)| names.iter().map(move |name| (*name, depth)))
        .collect();
    let mut offences = Vec::new();
    for manifest in manifests(root)? {
        let (name, dependencies) = read_manifest(&manifest)?;
        if name == TEST_SUPPORT {
            continue;
        }
        let Some(depth) = layer_of.get(name.as_str()) else {
            offences.push(format!(
                "{name}: not in the layers of crates/xtask/src/tidy.rs; say where it belongs"
            ));
            continue;
        };
        for (library, owner) in OWNERS {
            if name != *owner && dependencies.iter().any(|other| other == library) {
                offences.push(format!(
                    "{name} depends on {library}, which only {owner} may know"
                ));
            }
        }
        for dependency in dependencies.iter().filter(|other| other.starts_with("silica-")) {
            let points_down = layer_of
                .get(dependency.as_str())
                .is_some_and(|below| below > depth);
            if !points_down {
                offences.push(format!(
                    "{name} depends on {dependency}, which does not stand below it"
                ));
            }
        }
    }
    Ok(offences)
}

fn manifests(root: &Path) -> Result<Vec<PathBuf>> {
    let crates = root.join("crates");
    let mut found = Vec::new();
    for entry in fs::read_dir(&crates).with_context(|| format!("cannot read {}", crates.display()))? {
        let manifest = entry?.path().join("Cargo.toml");
        if manifest.is_file() {
            found.push(manifest);
        }
    }
    found.sort();
    Ok(found)
}

/// Returns the package's name and the names in its `[dependencies]` table (not the dev ones).
fn read_manifest(path: &Path) -> Result<(String, Vec<String>)> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest: toml::Table =
        toml::from_str(&text).with_context(|| format!("cannot parse {}", path.display()))?;
    let name = manifest
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(toml::Value::as_str)
        .with_context(|| format!("{} has no package name", path.display()))?;
    let dependencies = manifest
        .get("dependencies")
        .and_then(toml::Value::as_table)
        .map(|table| table.keys().cloned().collect())
        .unwrap_or_default();
    Ok((name.to_owned(), dependencies))
}

fn length_offences(root: &Path) -> Result<Vec<String>> {
    let mut offences = Vec::new();
    for manifest in manifests(root)? {
        let Some(folder) = manifest.parent() else { continue };
        for file in rust_files(&folder.join("src"))? {
            let text =
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            // Inline tests do not count: the limit is about code that has to be understood together.
            let production = text
                .split("\n#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default();
            let lines = production.lines().count();
            if lines > LONGEST_FILE {
                offences.push(format!(
                    "{}: {lines} lines, split it (limit {LONGEST_FILE})",
                    file.display()
                ));
            }
        }
    }
    Ok(offences)
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace_root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    #[test]
    fn every_crate_stands_in_a_layer_and_points_down() {
        assert_eq!(layer_offences(&workspace_root()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_crate_that_points_up_or_enters_a_private_room_is_reported() {
        let root = std::env::temp_dir().join(format!("silica-tidy-{}", std::process::id()));
        let folder = root.join("crates/types");
        fs::create_dir_all(&folder).unwrap();
        fs::write(
            folder.join("Cargo.toml"),
            "[package]\nname = \"silica-types\"\n[dependencies]\nsilica-api.workspace = true\nsea-orm.workspace = true\n",
        )
        .unwrap();
        let offences = layer_offences(&root).unwrap();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(offences.len(), 2, "{offences:?}");
    }
}
