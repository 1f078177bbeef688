//! Clients' JSON schemas on their way into a grammar.

use serde_json::{Map, Value, json};

use super::rewrite::rewrite;

/// A schema is refused beyond this many bytes of JSON text. OpenAI's limits (5,000 properties, 120,000
/// characters of names and values) lie below it.
const MOST_BYTES: usize = 256 * 1024;

/// White space between the parts of a value: enough to indent deep values, and no more, since some models
/// would never end it.
const WHITE_SPACE: &str = r"[ \t\n\r]{1,40}";

/// Why a schema is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SchemaError {
    #[error("it is longer than {MOST_BYTES} bytes")]
    TooLong,
    #[error("a schema is an object or true")]
    NoSchema,
    #[error("its type is not object")]
    NoObject,
}

/// Any JSON object, as `json_object` wants it.
pub(super) fn any_object() -> Value {
    with_options(Map::from_iter([("type".to_owned(), json!("object"))]))
}

/// A schema for an answer.
pub(super) fn of_answer(schema: &Value) -> Result<Value, SchemaError> {
    check_length(schema)?;
    match rewrite(schema) {
        Value::Object(members) => Ok(with_options(members)),
        Value::Bool(true) => Ok(with_options(Map::new())),
        _ => Err(SchemaError::NoSchema),
    }
}

/// The schema of a tool's arguments, which are an object whether it says so or not.
pub(super) fn of_arguments(parameters: Option<&Value>) -> Result<Value, SchemaError> {
    let Some(parameters) = parameters.filter(|parameters| !parameters.is_null()) else {
        let none = json!({"type": "object", "properties": {}, "additionalProperties": false});
        return of_answer(&none);
    };
    check_length(parameters)?;
    let mut members = match rewrite(parameters) {
        Value::Object(members) => members,
        Value::Bool(true) => Map::new(),
        _ => return Err(SchemaError::NoSchema),
    };
    match members.get("type") {
        None => {
            members.insert("type".to_owned(), json!("object"));
        }
        Some(Value::String(kind)) if kind == "object" => {}
        Some(Value::Array(kinds)) if kinds.iter().any(|kind| kind == "object") => {
            members.insert("type".to_owned(), json!("object"));
        }
        Some(_) => return Err(SchemaError::NoObject),
    }
    Ok(with_options(members))
}

/// Sets the library's options, over any that the client has put there.
fn with_options(mut members: Map<String, Value>) -> Value {
    members.insert(
        "x-guidance".to_owned(),
        json!({ "whitespace_pattern": WHITE_SPACE }),
    );
    Value::Object(members)
}

fn check_length(schema: &Value) -> Result<(), SchemaError> {
    if schema.to_string().len() > MOST_BYTES {
        return Err(SchemaError::TooLong);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_options_for_the_library_have_no_effect() {
        let asked = json!({"type": "string", "x-guidance": {"lenient": true}});
        let schema = of_answer(&asked).unwrap();
        assert_eq!(schema["x-guidance"], json!({ "whitespace_pattern": WHITE_SPACE }));
    }

    #[test]
    fn arguments_are_objects() {
        let none = of_arguments(None).unwrap();
        assert_eq!(none["additionalProperties"], json!(false));
        for schema in [
            json!({}),
            json!(true),
            json!({"type": ["object", "null"]}),
            json!({"properties": {}}),
        ] {
            assert_eq!(of_arguments(Some(&schema)).unwrap()["type"], "object", "{schema}");
        }
        for (schema, error) in [
            (json!({"type": "string"}), SchemaError::NoObject),
            (json!([]), SchemaError::NoSchema),
            (json!(false), SchemaError::NoSchema),
            (json!({"a": "x".repeat(MOST_BYTES)}), SchemaError::TooLong),
        ] {
            assert_eq!(of_arguments(Some(&schema)), Err(error));
        }
    }
}
