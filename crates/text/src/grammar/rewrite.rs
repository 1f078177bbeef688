//! What a schema means, in words that the grammar library knows.
//!
//! - Formats that it does not know are left out: JSON Schema has them as annotations.
//! - `oneOf` whose alternatives exclude each other is `anyOf`; the library does not look through `$ref` to
//!   see that. Other `oneOf` stay, and are refused by it.

use std::cell::Cell;

use serde_json::{Map, Value};

const FORMATS: [&str; 10] = [
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
    "uri",
];

/// Keywords whose value is a schema, a list of schemas, or either.
const SCHEMAS: [&str; 8] = [
    "items",
    "prefixItems",
    "additionalItems",
    "additionalProperties",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
];
/// Keywords whose values' members are schemas.
const NAMED_SCHEMAS: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];

/// More alternatives are not compared with each other.
const MOST_ALTERNATIVES: usize = 64;
/// References to references are followed so far, and longer ones are not.
const MOST_HOPS: usize = 8;
const LONGEST_REFERENCE: usize = 1024;
/// More types are not compared with others; there are seven.
const MOST_TYPES: usize = 8;
/// Comparisons for one schema: small ones can name large lists again and again.
const MOST_COMPARISONS: usize = 1_000_000;

/// What is known of a schema while it is rewritten.
struct Rewriting<'a> {
    root: &'a Value,
    /// Comparisons that may still be made.
    left: Cell<usize>,
}

impl Rewriting<'_> {
    /// Whether so many more comparisons may be made. Where not, nothing is known to be apart.
    fn affords(&self, comparisons: usize) -> bool {
        let left = self.left.get().checked_sub(comparisons);
        self.left.set(left.unwrap_or(0));
        left.is_some()
    }
}

/// Rewrites a schema that stands at the root.
pub(super) fn rewrite(root: &Value) -> Value {
    let mut rewritten = root.clone();
    let work = Rewriting {
        root,
        left: Cell::new(MOST_COMPARISONS),
    };
    walk(&mut rewritten, &work);
    rewritten
}

fn walk(schema: &mut Value, work: &Rewriting<'_>) {
    let Value::Object(members) = schema else {
        return;
    };
    let is_unknown = |format: &Value| format.as_str().is_some_and(|format| !FORMATS.contains(&format));
    if members.get("format").is_some_and(is_unknown) {
        members.remove("format");
    }
    let excludes = |alternatives: &Value| {
        alternatives
            .as_array()
            .is_some_and(|all| exclude_each_other(all, work))
    };
    if !members.contains_key("anyOf") && members.get("oneOf").is_some_and(excludes) {
        *members = renamed(std::mem::take(members), "oneOf", "anyOf");
    }
    for (key, value) in members {
        match value {
            Value::Object(named) if NAMED_SCHEMAS.contains(&key.as_str()) => {
                named.values_mut().for_each(|schema| walk(schema, work));
            }
            Value::Array(list) if SCHEMAS.contains(&key.as_str()) => {
                for schema in list.iter_mut() {
                    walk(schema, work);
                }
            }
            Value::Object(_) if SCHEMAS.contains(&key.as_str()) => walk(value, work),
            _ => {}
        }
    }
}

/// The same members in the same order, one under another name.
fn renamed(members: Map<String, Value>, from: &str, to: &str) -> Map<String, Value> {
    let name = |key: String| if key == from { to.to_owned() } else { key };
    members
        .into_iter()
        .map(|(key, value)| (name(key), value))
        .collect()
}

/// Whether no value can follow two of these schemas.
fn exclude_each_other(schemas: &[Value], work: &Rewriting<'_>) -> bool {
    if schemas.len() > MOST_ALTERNATIVES {
        return false;
    }
    let resolved: Option<Vec<&Map<String, Value>>> =
        schemas.iter().map(|schema| resolve(schema, work.root)).collect();
    let Some(resolved) = resolved else {
        return false;
    };
    let others = |index: usize| resolved.iter().skip(index + 1);
    resolved
        .iter()
        .enumerate()
        .all(|(index, one)| others(index).all(|other| are_apart(one, other, work)))
}

fn are_apart(one: &Map<String, Value>, other: &Map<String, Value>, work: &Rewriting<'_>) -> bool {
    if !work.affords(1) {
        return false;
    }
    if let (Some(left), Some(right)) = (types(one), types(other)) {
        if !left.iter().any(|kind| right.contains(kind)) {
            return true;
        }
        if left == ["object"] && right == ["object"] {
            let common = |name: &&str| required(other).any(|also| also == *name);
            let parts = |name| [one, other].map(|schema| property(schema, name, work.root));
            return work.affords(required(one).len().saturating_mul(required(other).len()))
                && required(one).filter(common).any(|name| {
                    let [left, right] = parts(name);
                    have_no_common_value(left, right, work)
                });
        }
    }
    have_no_common_value(Some(one), Some(other), work)
}

fn have_no_common_value(
    one: Option<&Map<String, Value>>,
    other: Option<&Map<String, Value>>,
    work: &Rewriting<'_>,
) -> bool {
    match (one.and_then(values), other.and_then(values)) {
        (Some(left), Some(right)) if !work.affords(left.len().saturating_mul(right.len())) => false,
        (Some(left), Some(right)) => !left
            .iter()
            .any(|value| right.iter().any(|also| are_equal(value, also))),
        _ => false,
    }
}

/// 1 and 1.0 are one value.
fn are_equal(one: &Value, other: &Value) -> bool {
    one == other || (one.is_number() && one.as_f64() == other.as_f64())
}

/// The types that a schema names; whole numbers are numbers.
fn types(schema: &Map<String, Value>) -> Option<Vec<&str>> {
    match schema.get("type")? {
        Value::Array(kinds) if kinds.len() > MOST_TYPES => None,
        Value::Array(kinds) => kinds.iter().map(type_name).collect(),
        kind => Some(vec![type_name(kind)?]),
    }
}

fn type_name(kind: &Value) -> Option<&str> {
    match kind.as_str()? {
        "integer" => Some("number"),
        name => Some(name),
    }
}

/// The names of members that must be there; what is no name is an empty one.
fn required(schema: &Map<String, Value>) -> impl ExactSizeIterator<Item = &str> {
    let names = schema.get("required").and_then(Value::as_array);
    let names = names.map_or(&[][..], Vec::as_slice);
    names.iter().map(|name| name.as_str().unwrap_or_default())
}

fn property<'a>(
    schema: &'a Map<String, Value>,
    name: &str,
    root: &'a Value,
) -> Option<&'a Map<String, Value>> {
    resolve(schema.get("properties")?.get(name)?, root)
}

/// The only values that a schema allows.
fn values(schema: &Map<String, Value>) -> Option<&[Value]> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(only), _) => Some(std::slice::from_ref(only)),
        (None, Some(Value::Array(values))) => Some(values),
        _ => None,
    }
}

/// Follows references within the document.
fn resolve<'a>(schema: &'a Value, root: &'a Value) -> Option<&'a Map<String, Value>> {
    let mut schema = schema.as_object()?;
    for _ in 0..MOST_HOPS {
        let Some(Value::String(reference)) = schema.get("$ref") else {
            return Some(schema);
        };
        if reference.len() > LONGEST_REFERENCE {
            return None;
        }
        schema = root.pointer(reference.strip_prefix('#')?)?.as_object()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn formats_that_say_nothing_are_left_out_where_they_are_formats() {
        let schema = json!({
            "format": "uri",
            "properties": {"format": {"format": "int64", "const": {"format": "int64"}}},
            "items": [{"format": "regex"}],
        });
        let expected = json!({
            "format": "uri",
            "properties": {"format": {"const": {"format": "int64"}}},
            "items": [{}],
        });
        assert_eq!(rewrite(&schema), expected);
    }

    #[test]
    fn large_lists_that_are_named_again_and_again_are_compared_a_few_times_only() {
        let wide = |name: &str| json!({"type": "object", "required": vec![name; 6000]});
        let each = json!({"oneOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]});
        let schema = json!({"items": vec![each; 2000], "$defs": {"a": wide("a"), "b": wide("b")}});
        let work = Rewriting {
            root: &schema,
            left: Cell::new(MOST_COMPARISONS),
        };
        walk(&mut schema.clone(), &work);
        assert_eq!(work.left.get(), 0, "what is left is not compared");
    }

    #[test]
    fn alternatives_that_exclude_each_other_are_any_of() {
        let tagged = |tag: &str| json!({"type": "object", "properties": {"kind": {"const": tag}}, "required": ["kind"]});
        let defs = json!({"a": tagged("a"), "b": tagged("b"), "loop": {"$ref": "#/$defs/loop"}});
        for (alternatives, apart) in [
            (json!([{"type": "string"}, {"type": ["integer", "null"]}]), true),
            (json!([{"type": "number"}, {"type": "integer"}]), false),
            (
                json!([{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}, {"type": "null"}]),
                true,
            ),
            (json!([{"$ref": "#/$defs/a"}, tagged("a")]), false),
            (json!([{"$ref": "#/$defs/loop"}, {"type": "null"}]), false),
            (json!([{"enum": [1, 2]}, {"const": 3}]), true),
            (json!([{"enum": [1, 2]}, {"const": 2}]), false),
            (
                json!([{"type": "object", "properties": {"kind": {"const": "a"}}}, tagged("b")]),
                false,
            ),
        ] {
            let rewritten = rewrite(&json!({"oneOf": alternatives, "$defs": defs}));
            assert_eq!(rewritten.get("anyOf").is_some(), apart, "{rewritten}");
            assert_eq!(rewritten.get("oneOf").is_some(), !apart);
        }
    }
}
