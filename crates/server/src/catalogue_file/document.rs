//! The text of a catalogue file, read into models and deployments.

use std::ops::Range;
use std::path::Path;

use silica_console_api::{BodyFault, deployment_from_json, model_from_json};
use silica_platform::{CatalogueEntry, NewCatalogue};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::json::to_json;
use super::keys::{self, KeyPlace};
use crate::config::{Environment, line_of, without_value};

const MODELS: &str = "models";
const DEPLOYMENTS: &str = "deployments";

/// What is wrong in a text, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DocumentFault {
    /// The line, from 1.
    pub(super) line: usize,
    /// The entry and the field, such as `deployments[0].name`; empty when none is at fault.
    pub(super) place: String,
    /// What is wrong there.
    pub(super) message: String,
}

/// What a text says.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) new: NewCatalogue,
    /// Whether upstream keys stand in the file itself.
    pub(super) has_literal_keys: bool,
}

/// Reads a text. Keys that it points to are read, too; relative paths of key files begin at `folder`.
pub(super) fn read(text: &str, environment: &Environment, folder: &Path) -> Result<Document, DocumentFault> {
    let fault = |span: Range<usize>, place: String, message: &str| DocumentFault {
        line: line_of(text, span.start),
        place,
        message: without_value(message),
    };
    let root = DeTable::parse(text)
        .map_err(|error| fault(error.span().unwrap_or_default(), String::new(), error.message()))?;
    let mut document = Document {
        new: NewCatalogue::default(),
        has_literal_keys: false,
    };
    for (name, mut value) in root.into_inner() {
        let section = name.get_ref().to_string();
        if section != MODELS && section != DEPLOYMENTS {
            let message = "unknown key, expected `models` or `deployments`";
            return Err(fault(name.span(), section, message));
        }
        let DeValue::Array(entries) = value.get_mut() else {
            let message = format!("must be a list of tables, each begun by [[{section}]]");
            return Err(fault(name.span(), section, &message));
        };
        for (index, entry) in entries.iter_mut().enumerate() {
            let span = entry.span();
            let place = format!("{section}[{index}]");
            let at = |entry: &DeValue<'_>, field: &str, message: &str| {
                let found = span_of_field(entry, field).unwrap_or_else(|| span.clone());
                let dot = if field.is_empty() { "" } else { "." };
                fault(found, format!("{place}{dot}{field}"), message)
            };
            let original = entry.get_ref().clone();
            document.has_literal_keys |= resolve_keys(entry, environment, folder)
                .map_err(|error| at(&original, &error.field, &error.message))?;
            let json = to_json(entry.get_ref());
            let read = if section == MODELS {
                model_from_json(&json).map(|model| document.new.models.push(model))
            } else {
                deployment_from_json(&json).map(|new| document.new.deployments.push(new))
            };
            read.map_err(|error| at(&original, &error.field, &error.message))?;
        }
    }
    Ok(document)
}

/// The line of an entry's field, or of what of it is there; 1 when there is no such entry.
pub(super) fn line_of_entry(text: &str, entry: CatalogueEntry, field: &str) -> usize {
    let find = || {
        let root = DeTable::parse(text).ok()?;
        let (section, index) = match entry {
            CatalogueEntry::Model(index) => (MODELS, index),
            CatalogueEntry::Deployment(index) => (DEPLOYMENTS, index),
            CatalogueEntry::Missing => return None,
        };
        let DeValue::Array(entries) = root.get_ref().get(section)?.get_ref() else {
            return None;
        };
        let entry = entries.get(index)?;
        let span = span_of_field(entry.get_ref(), field).unwrap_or_else(|| entry.span());
        Some(line_of(text, span.start))
    };
    find().unwrap_or(1)
}

/// Fetches the keys of a deployment's replicas; says whether one stands in the file itself.
fn resolve_keys(
    entry: &mut Spanned<DeValue<'_>>,
    environment: &Environment,
    folder: &Path,
) -> Result<bool, BodyFault> {
    let mut has_literal_keys = false;
    let DeValue::Table(table) = entry.get_mut() else {
        return Ok(has_literal_keys);
    };
    let Some(DeValue::Array(replicas)) = table.get_mut("replicas").map(Spanned::get_mut) else {
        return Ok(has_literal_keys);
    };
    for (index, replica) in replicas.iter_mut().enumerate() {
        if let DeValue::Table(replica) = replica.get_mut() {
            let place = keys::resolve(replica, environment, folder).map_err(|fault| BodyFault {
                field: format!("replicas[{index}].{}", fault.field),
                message: fault.message,
            })?;
            has_literal_keys |= place == KeyPlace::Literal;
        }
    }
    Ok(has_literal_keys)
}

/// The bytes of a field such as `replicas[0].url`, or of the part of its path that is there.
fn span_of_field(entry: &DeValue<'_>, field: &str) -> Option<Range<usize>> {
    let mut found = None;
    let mut value = entry;
    for step in field.split(['.', '[']).filter(|step| !step.is_empty()) {
        let next = match value {
            DeValue::Table(table) => table.get(step),
            DeValue::Array(values) => {
                let index: Option<usize> = step.trim_end_matches(']').parse().ok();
                index.and_then(|index| values.get(index))
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => None,
        };
        let Some(next) = next else { break };
        found = Some(next.span());
        value = next.get_ref();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[models]]
id = "m/a"
type = "text"
sub_type = "chat"
price = { input = 0.70 }

[[deployments]]
name = "one"
models = ["m/a"]

[[deployments.replicas]]
engine = "openai"
url = "http://h/v1"
api_key_env = "UPSTREAM_KEY"
"#;

    fn read_text(text: &str) -> Result<Document, DocumentFault> {
        let environment = Environment::from([("UPSTREAM_KEY", "sk-1")]);
        read(text, &environment, Path::new("/nowhere"))
    }

    #[test]
    fn a_file_says_what_requests_would() {
        let document = read_text(GOOD).unwrap();
        assert!(!document.has_literal_keys);
        let model = &document.new.models[0];
        assert_eq!(model.price.input.unwrap().to_string(), "0.70");
        let deployment = &document.new.deployments[0];
        assert_eq!(deployment.name, "one");
        assert_eq!(deployment.replicas[0].api_key.as_ref().unwrap().expose(), "sk-1");
        assert_eq!(
            line_of_entry(GOOD, CatalogueEntry::Deployment(0), "replicas[0].url"),
            14
        );
        assert_eq!(line_of_entry(GOOD, CatalogueEntry::Deployment(0), "fallbacks"), 8);
        assert_eq!(line_of_entry(GOOD, CatalogueEntry::Model(0), "id"), 3);
        let empty = read_text("").unwrap().new;
        assert!(empty.models.is_empty() && empty.deployments.is_empty());
    }

    #[test]
    fn faults_are_found_with_their_line_and_without_their_value() {
        for (change, line, place) in [
            (("id = \"m/a\"", "id ="), 3, ""),
            (("type = \"text\"", "type = \"txt\""), 4, "models[0].type"),
            (("price =", "prize ="), 6, "models[0].prize"),
            (("name = \"one\"", "name = 5"), 9, "deployments[0].name"),
            (
                ("engine =", "weight = \"sk-oops\"\nengine ="),
                13,
                "deployments[0].replicas[0].weight",
            ),
            (
                ("UPSTREAM_KEY", "sk-oops"),
                15,
                "deployments[0].replicas[0].api_key_env",
            ),
            (("[[deployments]]", "[[deployment]]"), 8, "deployment"),
        ] {
            let text = GOOD.replacen(change.0, change.1, 1);
            let fault = read_text(&text).unwrap_err();
            assert_eq!((fault.line, fault.place.as_str()), (line, place), "{fault:?}");
            assert!(!fault.message.contains("sk-oops"), "{fault:?}");
        }
        let fault = read_text("models = 5").unwrap_err();
        assert_eq!((fault.line, fault.place.as_str()), (1, "models"));
    }
}
