//! What the commands say about models.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use silica_model_store::{Manifest, ModelFacts, Origin};
use silica_platform::SubType;

use super::arguments::Place;
use crate::config::Config;

/// A size for people: `942.3 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    in_units(bytes, &UNITS).unwrap_or_else(|| format!("{bytes} B"))
}

/// A number of parameters for people: `494.0M`.
fn count(number: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("B", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)];
    in_units(number, &UNITS).map_or_else(|| number.to_string(), |text| text.replace(' ', ""))
}

fn in_units(number: u64, units: &[(&str, u64)]) -> Option<String> {
    let (name, unit) = units.iter().find(|(_, unit)| number >= *unit)?;
    let tenths = u128::from(number) * 10 / u128::from(*unit);
    Some(format!("{}.{} {name}", tenths / 10, tenths % 10))
}

/// A manifest with its folder and its size.
///
/// # Errors
/// Never: a manifest is always JSON.
pub(super) fn shown(manifest: &Manifest, folder: &Path) -> serde_json::Result<Value> {
    let mut shown = serde_json::to_value(manifest)?;
    shown["path"] = json!(folder);
    shown["bytes"] = json!(manifest.bytes());
    Ok(shown)
}

/// What was added.
pub(super) fn added(manifest: &Manifest, folder: &Path) -> String {
    format!(
        "Added {}: {}, {} in {} files\n  from {}\n  in {}",
        manifest.id,
        summary(&manifest.facts),
        size(manifest.bytes()),
        manifest.files.len(),
        origin(&manifest.origin),
        folder.display()
    )
}

fn summary(facts: &ModelFacts) -> String {
    format!(
        "{}, {} parameters, {} {}, {} tokens of context",
        facts.architecture,
        count(facts.parameters),
        facts.format.as_str(),
        facts.quantisation,
        facts.context_length
    )
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Hub {
            hub,
            repo,
            revision,
            commit,
            file,
        } => {
            let file = file.as_ref().map(|file| format!(", {file}")).unwrap_or_default();
            let commit = commit
                .as_ref()
                .filter(|commit| *commit != revision)
                .map(|commit| format!(" ({commit})"))
                .unwrap_or_default();
            format!("{hub} {repo} at {revision}{commit}{file}")
        }
        Origin::Folder { path } => format!("the folder {}", path.display()),
        Origin::Gguf { path } => format!("the file {}", path.display()),
    }
}

/// A text as one word of a shell: what is not plain is quoted.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    always_quoted(text)
}

fn always_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// How to serve a model that was added.
pub(super) fn next_steps(
    config: &Config,
    place: &Place,
    manifest: &Manifest,
    (folder, sub_type): (&Path, SubType),
) -> String {
    let id = manifest.id.as_str();
    let key = quoted(&config.data.dir.join("admin.key").to_string_lossy());
    let mut options = String::new();
    let use_name = sub_type.to_string();
    if use_name != manifest.facts.sub_type {
        let _ = write!(options, " --sub-type {use_name}");
    }
    if let Some(file) = &place.config {
        let _ = write!(options, " --config {}", quoted(&file.to_string_lossy()));
    }
    if let Some(folder) = &place.data {
        let _ = write!(options, " --data {}", quoted(&folder.to_string_lossy()));
    }
    let model = json!({
        "id": id, "type": "text", "sub_type": use_name,
        "context_length": manifest.facts.context_length, "features": manifest.facts.features,
    });
    let deployment = json!({
        "name": id, "models": [id], "replicas": [{ "engine": "candle", "path": folder }],
    });
    let put = |what: &str, body: &Value| {
        format!(
            "  curl -X PUT http://{}/admin/v1/{what} -H \"$ADMIN\" -H \"Content-Type: application/json\" -d {}\n",
            config.admin.listen,
            always_quoted(&body.to_string())
        )
    };
    format!(
        "\nTo serve it:\n  silica models deploy {id}{options}\nor, at a running server:\n  \
         ADMIN=\"Authorization: Bearer $(cat {key})\"\n{}{}",
        put("models", &model),
        put("deployments", &deployment).trim_end()
    )
}

/// All models, one a line.
pub(super) fn table(models: &[Manifest]) -> String {
    let head = ["ID", "FORMAT", "QUANTISATION", "SIZE", "SOURCE", "ADDED"].map(str::to_owned);
    let rows = models.iter().map(|manifest| {
        [
            manifest.id.to_string(),
            manifest.facts.format.as_str().to_owned(),
            manifest.facts.quantisation.clone(),
            size(manifest.bytes()),
            short_origin(&manifest.origin),
            manifest.added_at.strftime("%Y-%m-%d %H:%M").to_string(),
        ]
    });
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
    let mut lines = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = rows.iter().map(|row| row[column].chars().count()).max();
            let _ = write!(line, "{cell:<width$}  ", width = width.unwrap_or_default());
        }
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n")
}

fn short_origin(origin: &Origin) -> String {
    match origin {
        Origin::Hub {
            hub,
            revision,
            commit,
            ..
        } => {
            let commit = commit.as_deref().unwrap_or(revision);
            format!("{hub} {}", commit.get(..12).unwrap_or(commit))
        }
        Origin::Folder { .. } => "folder".to_owned(),
        Origin::Gguf { .. } => "file".to_owned(),
    }
}

/// Everything about one model.
pub(super) fn details(manifest: &Manifest, folder: &Path) -> String {
    let facts = &manifest.facts;
    let features = if facts.features.is_empty() {
        "none".to_owned()
    } else {
        facts.features.join(", ")
    };
    let lines = [
        ("model", manifest.id.to_string()),
        ("folder", folder.display().to_string()),
        ("source", origin(&manifest.origin)),
        (
            "added",
            manifest.added_at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        ),
        ("made for", facts.sub_type.clone()),
        ("architecture", facts.architecture.clone()),
        ("parameters", count(facts.parameters)),
        (
            "weights",
            format!("{} {}", facts.format.as_str(), facts.quantisation),
        ),
        (
            "shape",
            format!(
                "{} layers of {}, {} heads ({} for keys and values), {} token ids",
                facts.layers, facts.hidden_size, facts.heads, facts.kv_heads, facts.vocabulary
            ),
        ),
        ("context", format!("{} tokens", facts.context_length)),
        ("features", features),
        (
            "files",
            format!("{} in {}", size(manifest.bytes()), manifest.files.len()),
        ),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        let _ = writeln!(text, "{name:<14}{value}");
    }
    for file in &manifest.files {
        let _ = writeln!(text, "  {}  {:>10}  {}", file.sha256, size(file.size), file.name);
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_shell_reads_quoted_texts_as_they_are() {
        assert_eq!(quoted("/srv/silica-data/x.toml"), "/srv/silica-data/x.toml");
        for text in ["", "a b", "it's", "$(date) `date` \"x\" \\ *", "ü", "a\nb", "'"] {
            let script = format!("printf %s {}", quoted(text));
            let said = std::process::Command::new("sh")
                .arg("-c")
                .arg(script)
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), text);
        }
    }

    #[test]
    fn sizes_and_counts_are_told_in_units() {
        assert_eq!(
            (size(17), size(9_421_984)),
            ("17 B".to_owned(), "8.9 MiB".to_owned())
        );
        assert_eq!(
            (count(999), count(4_700_000), count(7_600_000_000)),
            ("999".to_owned(), "4.7M".to_owned(), "7.6B".to_owned())
        );
    }
}
