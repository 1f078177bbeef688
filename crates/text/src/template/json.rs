//! The `tojson` filter as the transformers library defines it: Python's `json.dumps` without
//! escaping for HTML and with characters beyond ASCII as they are.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// How `json.dumps` was asked to write.
struct Style {
    ensure_ascii: bool,
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    sort_keys: bool,
}

/// Deeper values are refused; a stack overflow would end the process.
const DEEPEST: usize = 128;

/// The filter: `tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(crate) fn to_json(value: &Value, arguments: &[Value], options: &Kwargs) -> Result<String, Error> {
    let style = Style::read(arguments, options)?;
    let mut output = String::new();
    style.write(value, 0, &mut output)?;
    Ok(output)
}

impl Style {
    fn read(arguments: &[Value], options: &Kwargs) -> Result<Self, Error> {
        let option = |name: &str, position: usize| -> Result<Option<Value>, Error> {
            let named: Option<Value> = options.get(name)?;
            Ok(named
                .or_else(|| arguments.get(position).cloned())
                .filter(|value| !value.is_none()))
        };
        let is_true = |value: Option<Value>| value.is_some_and(|value| value.is_true());
        let ensure_ascii = is_true(option("ensure_ascii", 0)?);
        let indent = option("indent", 1)?.map(|indent| match indent.as_i64() {
            Some(width) => " ".repeat(usize::try_from(width).unwrap_or(0)),
            None => indent.to_string(),
        });
        let separators: Option<(String, String)> = match option("separators", 2)? {
            Some(pair) => Some((
                pair.get_item_by_index(0)?.to_string(),
                pair.get_item_by_index(1)?.to_string(),
            )),
            None => None,
        };
        let sort_keys = is_true(option("sort_keys", 3)?);
        options.assert_all_used()?;
        let default_item = if indent.is_some() { "," } else { ", " };
        let (item_separator, key_separator) =
            separators.unwrap_or((default_item.to_owned(), ": ".to_owned()));
        Ok(Self {
            ensure_ascii,
            indent,
            item_separator,
            key_separator,
            sort_keys,
        })
    }

    fn write(&self, value: &Value, depth: usize, output: &mut String) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(Error::new(
                ErrorKind::BadSerialization,
                "tojson: the value is nested too deeply",
            ));
        }
        match value.kind() {
            ValueKind::None => output.push_str("null"),
            ValueKind::Bool => output.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => write_number(value, output)?,
            ValueKind::String => self.write_text(value.as_str().unwrap_or_default(), output),
            ValueKind::Seq | ValueKind::Iterable => self.write_list(value, depth, output)?,
            ValueKind::Map => self.write_map(value, depth, output)?,
            kind => {
                let reason = format!("tojson: a value of type {kind} is not JSON serializable");
                return Err(Error::new(ErrorKind::BadSerialization, reason));
            }
        }
        Ok(())
    }

    fn write_list(&self, value: &Value, depth: usize, output: &mut String) -> Result<(), Error> {
        output.push('[');
        let mut empty = true;
        for item in value.try_iter()? {
            self.begin_item(empty, depth, output);
            self.write(&item, depth + 1, output)?;
            empty = false;
        }
        self.end_items(empty, depth, output);
        output.push(']');
        Ok(())
    }

    fn write_map(&self, value: &Value, depth: usize, output: &mut String) -> Result<(), Error> {
        let mut keys: Vec<Value> = value.try_iter()?.collect();
        if self.sort_keys {
            keys.sort();
        }
        output.push('{');
        for (i, key) in keys.iter().enumerate() {
            self.begin_item(i == 0, depth, output);
            match key.as_str() {
                Some(text) => self.write_text(text, output),
                None => self.write_text(&key.to_string(), output),
            }
            output.push_str(&self.key_separator);
            self.write(&value.get_item(key)?, depth + 1, output)?;
        }
        self.end_items(keys.is_empty(), depth, output);
        output.push('}');
        Ok(())
    }

    fn begin_item(&self, first: bool, depth: usize, output: &mut String) {
        if !first {
            output.push_str(&self.item_separator);
        }
        self.break_line(depth + 1, output);
    }

    fn end_items(&self, empty: bool, depth: usize, output: &mut String) {
        if !empty {
            self.break_line(depth, output);
        }
    }

    fn break_line(&self, depth: usize, output: &mut String) {
        if let Some(indent) = &self.indent {
            output.push('\n');
            for _ in 0..depth {
                output.push_str(indent);
            }
        }
    }

    fn write_text(&self, text: &str, output: &mut String) {
        output.push('"');
        for letter in text.chars() {
            match letter {
                '"' => output.push_str("\\\""),
                '\\' => output.push_str("\\\\"),
                '\n' => output.push_str("\\n"),
                '\r' => output.push_str("\\r"),
                '\t' => output.push_str("\\t"),
                '\u{8}' => output.push_str("\\b"),
                '\u{c}' => output.push_str("\\f"),
                letter if letter < ' ' || (self.ensure_ascii && !letter.is_ascii()) => {
                    for unit in letter.encode_utf16(&mut [0; 2]) {
                        // Writing to a string cannot fail.
                        let _ = write!(output, "\\u{unit:04x}");
                    }
                }
                letter => output.push(letter),
            }
        }
        output.push('"');
    }
}

fn write_number(value: &Value, output: &mut String) -> Result<(), Error> {
    if value.is_integer() {
        output.push_str(&value.to_string());
    } else {
        output.push_str(&python_float(f64::try_from(value.clone())?));
    }
    Ok(())
}

/// A float as Python writes it: the shortest digits that read back, `1e+16` and `1e-05` at the
/// ends, always with a point or an exponent.
fn python_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number == 0.0 || (-4..16).contains(&exponent) {
        let plain = number.to_string();
        return if plain.contains('.') {
            plain
        } else {
            format!("{plain}.0")
        };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_does() {
        let cases = [
            (1.0, "1.0"),
            (-0.5, "-0.5"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e300, "1.25e+300"),
        ];
        for (number, text) in cases {
            assert_eq!(python_float(number), text);
        }
    }
}
