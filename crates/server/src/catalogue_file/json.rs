//! TOML values as JSON text, digit by digit: prices must not pass through a float.

use toml::de::{DeInteger, DeValue};

/// Writes a value as JSON. What JSON cannot say (`nan`, `inf`, dates) becomes a text, which no
/// number takes.
pub(super) fn to_json(value: &DeValue<'_>) -> String {
    let mut json = String::new();
    write(&mut json, value);
    json
}

fn write(json: &mut String, value: &DeValue<'_>) {
    match value {
        DeValue::String(text) => write_text(json, text),
        DeValue::Integer(number) => match decimal(number) {
            Some(digits) => json.push_str(&digits),
            None => write_text(json, &number.to_string()),
        },
        DeValue::Float(number) => {
            let digits = number.as_str().trim_start_matches('+');
            if digits.contains(|character: char| character.is_ascii_digit()) {
                json.push_str(digits);
            } else {
                write_text(json, digits);
            }
        }
        DeValue::Boolean(value) => json.push_str(if *value { "true" } else { "false" }),
        DeValue::Datetime(time) => write_text(json, &time.to_string()),
        DeValue::Array(values) => {
            json.push('[');
            for (index, value) in values.iter().enumerate() {
                separate(json, index);
                write(json, value.get_ref());
            }
            json.push(']');
        }
        DeValue::Table(table) => {
            json.push('{');
            for (index, (key, value)) in table.iter().enumerate() {
                separate(json, index);
                write_text(json, key.get_ref());
                json.push(':');
                write(json, value.get_ref());
            }
            json.push('}');
        }
    }
}

fn separate(json: &mut String, index: usize) {
    if index > 0 {
        json.push(',');
    }
}

fn write_text(json: &mut String, text: &str) {
    json.push_str(&serde_json::Value::from(text).to_string());
}

/// The decimal digits of an integer; `None` when it is beyond 128 bits.
fn decimal(number: &DeInteger<'_>) -> Option<String> {
    let value = i128::from_str_radix(number.as_str(), number.radix()).ok()?;
    Some(value.to_string())
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;

    #[test]
    fn digits_and_shapes_stay() {
        let text = "a = 0.1000000000000000055\nb = +1_000\nc = 0x10\nd = nan\ne = [1, \"x\\\"y\"]\nf = { g = true }\nh = 2025-02-13\ni = +1.50\n";
        let table = DeTable::parse(text).unwrap().into_inner();
        let json = to_json(&DeValue::Table(table));
        let expected = r#"{"a":0.1000000000000000055,"b":1000,"c":16,"d":"nan","e":[1,"x\"y"],"f":{"g":true},"h":"2025-02-13","i":1.50}"#;
        let mut parts: Vec<&str> = json.trim_matches(['{', '}']).split(',').collect();
        let mut expected: Vec<&str> = expected.trim_matches(['{', '}']).split(',').collect();
        parts.sort_unstable();
        expected.sort_unstable();
        assert_eq!(parts, expected);
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
    }
}
