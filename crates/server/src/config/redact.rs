//! Takes found values out of the parser's messages: a value may be a secret in the wrong place.

/// Beginnings of messages that go on with the found value and then say what was expected.
const QUOTING: [&str; 4] = [
    "invalid type: ",
    "invalid value: ",
    "invalid length ",
    "unknown variant ",
];
const EXPECTED: &str = ", expected ";

/// Returns the message without the value that it quotes. The kind of the value (`string`,
/// `integer`) and what was expected stay.
pub(crate) fn without_value(message: &str) -> String {
    let Some(beginning) = QUOTING.iter().find(|beginning| message.starts_with(**beginning)) else {
        return message.to_owned();
    };
    // The value itself may hold the separator; what was expected never does.
    let (found, expected) = match message.rsplit_once(EXPECTED) {
        Some((found, expected)) => (found, format!("{EXPECTED}{expected}")),
        None => (message, String::new()),
    };
    let kind = found
        .strip_prefix(beginning)
        .and_then(|found| found.split(['"', '`']).next())
        .unwrap_or_default()
        .trim_end();
    let beginning = if kind.is_empty() {
        beginning.trim_end_matches([':', ' '])
    } else {
        beginning
    };
    format!("{beginning}{kind}{expected}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::{Error as _, Unexpected, value::Error};

    use super::*;

    #[test]
    fn the_kind_and_what_was_expected_stay() {
        for (message, expected) in [
            (
                "invalid type: string \"postgres://u:geheim@h/x\", expected u32",
                "invalid type: string, expected u32",
            ),
            (
                "invalid type: integer `5`, expected a string",
                "invalid type: integer, expected a string",
            ),
            (
                "invalid type: map, expected u32",
                "invalid type: map, expected u32",
            ),
            (
                "unknown variant `geheim`, expected `f32` or `bf16`",
                "unknown variant, expected `f32` or `bf16`",
            ),
            (
                "unknown field `port`, expected `listen`",
                "unknown field `port`, expected `listen`",
            ),
            ("invalid socket address syntax", "invalid socket address syntax"),
        ] {
            assert_eq!(without_value(message), expected);
        }
    }

    proptest! {
        #[test]
        fn no_text_is_quoted(value in "[a-z,\"`: ]{0,20}GEHEIM[a-z,\"`: ]{0,20}") {
            let found = Unexpected::Str(&value);
            for error in [
                Error::invalid_type(found, &"u32"),
                Error::invalid_value(found, &"u32"),
                Error::unknown_variant(&value, &["f32", "bf16"]),
            ] {
                let message = without_value(&error.to_string());
                prop_assert!(!message.contains("GEHEIM") && message.contains("expected"), "{}", message);
            }
        }
    }
}
