//! User-defined symbols as a pattern that finds them in a text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::PiecesError;

/// The most letters of a user-defined symbol. Patterns nest as deeply.
const MAX_LETTERS: usize = 64;

/// Symbols by their letters, so that each letter of a text is looked at once.
#[derive(Default)]
struct Node {
    next: BTreeMap<char, Node>,
    ends: bool,
}

/// Checks that a symbol can be found.
///
/// # Errors
/// When it is too long.
pub(crate) fn check(symbol: &str) -> Result<(), PiecesError> {
    if symbol.chars().nth(MAX_LETTERS).is_none() {
        return Ok(());
    }
    Err(PiecesError::Unsupported {
        field: "pieces.type",
        value: format!("USER_DEFINED of `{}`", crate::shortened(symbol)),
        expected: "symbols of up to 64 letters",
    })
}

/// A regular expression that finds the longest symbol at a place; `None` without symbols.
pub(crate) fn pattern<'a>(symbols: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut root = Node::default();
    for symbol in symbols {
        let mut node = &mut root;
        for letter in symbol.chars() {
            node = node.next.entry(letter).or_default();
        }
        node.ends = true;
    }
    let mut pattern = String::new();
    root.write(&mut pattern);
    (!pattern.is_empty()).then_some(pattern)
}

impl Node {
    fn write(&self, pattern: &mut String) {
        if self.next.is_empty() {
            return;
        }
        pattern.push_str("(?:");
        for (index, (letter, node)) in self.next.iter().enumerate() {
            if index > 0 {
                pattern.push('|');
            }
            // By its number: no letter means anything then.
            let _ = write!(pattern, "\\x{{{:x}}}", u32::from(*letter));
            node.write(pattern);
        }
        pattern.push(')');
        if self.ends {
            pattern.push('?');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_symbol_is_asked_for_first() {
        let pattern = pattern(["ab", "a", "b.", "abcd"]).unwrap();
        assert_eq!(
            pattern,
            r"(?:\x{61}(?:\x{62}(?:\x{63}(?:\x{64}))?)?|\x{62}(?:\x{2e}))"
        );
        assert_eq!(super::pattern([]), None);
    }

    #[test]
    fn long_symbols_are_refused() {
        assert!(check(&"\u{2581}".repeat(64)).is_ok());
        let refused = check(&"x".repeat(65)).unwrap_err().to_string();
        assert!(refused.contains("up to 64 letters"), "{refused}");
    }
}
