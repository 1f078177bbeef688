//! Finds the line and the key that a byte range of a TOML document belongs to.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// The line, from 1, that byte `offset` of `text` stands on.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.split(|byte| *byte == b'\n').count()
}

/// The dotted key whose name or value covers `span`; empty when none does.
pub(super) fn key_at(text: &str, span: &Range<usize>) -> String {
    let Ok(document) = DeTable::parse(text) else {
        return String::new();
    };
    let mut path = Vec::new();
    descend(document.get_ref(), span, &mut path);
    path.join(".")
}

/// The byte range of the value of `section.key`, if the document sets it.
pub(super) fn span_of(text: &str, dotted: &str) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let (section, key) = dotted.split_once('.')?;
    let DeValue::Table(table) = document.get_ref().get(section)?.get_ref() else {
        return None;
    };
    Some(table.get(key)?.span())
}

fn descend(table: &DeTable<'_>, span: &Range<usize>, path: &mut Vec<String>) {
    let covers = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    for (key, value) in table {
        // The span of a `[section]` covers its header only, so tables are always searched.
        if let DeValue::Table(inner) = value.get_ref() {
            path.push(key.get_ref().to_string());
            let depth = path.len();
            descend(inner, span, path);
            if path.len() > depth || covers(key.span()) || covers(value.span()) {
                return;
            }
            path.pop();
        } else if covers(key.span()) || covers(value.span()) {
            path.push(key.get_ref().to_string());
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[server]\nlisten = \"127.0.0.1:80\"\n\n[engine]\nthreads = \"four\"\n[log]\n";

    #[test]
    fn values_and_names_lead_to_their_key_and_line() {
        let value = TEXT.find("\"four\"").unwrap();
        assert_eq!(key_at(TEXT, &(value..value + 6)), "engine.threads");
        assert_eq!(line_of(TEXT, value), 5);
        let name = TEXT.find("listen").unwrap();
        assert_eq!(key_at(TEXT, &(name..name + 6)), "server.listen");
    }

    #[test]
    fn set_keys_are_found_and_unset_ones_are_not() {
        let span = span_of(TEXT, "engine.threads").unwrap();
        assert_eq!(&TEXT[span], "\"four\"");
        assert_eq!(span_of(TEXT, "engine.dtype"), None);
    }
}
