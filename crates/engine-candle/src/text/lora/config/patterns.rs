//! Settings of some modules, by patterns of their names.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::is_end;

/// Patterns and what they say, in the file's order.
pub(super) struct Patterns<T>(Vec<(String, T)>);

impl<T> Default for Patterns<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Patterns<T> {
    /// What is said of a module: the pattern is its name or the end of it, and the first one counts, as for PEFT
    /// (`get_pattern_key`).
    pub(super) fn of(&self, module: &str) -> Option<&T> {
        let fits = |pattern: &str| match pattern.strip_prefix('^') {
            Some(whole) => whole == module,
            None => is_end(pattern, module),
        };
        let found = self.0.iter().find(|(pattern, _)| fits(pattern));
        found.map(|(_, value)| value)
    }

    /// A pattern that does not stand for itself.
    pub(super) fn expression(&self) -> Option<&str> {
        let mut patterns = self.0.iter().map(|(pattern, _)| pattern.as_str());
        patterns.find(|pattern| !is_name(pattern))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }
}

fn is_name(pattern: &str) -> bool {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    pattern
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.')
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patterns<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Patterns<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object, a value for each pattern")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Patterns::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut patterns = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    patterns.push(entry);
                }
                Ok(Patterns(patterns))
            }
        }

        deserializer.deserialize_any(InOrder(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_module_s_name_or_its_end_and_the_first_counts() {
        let text = r#"{"q_proj": 1, "layers.1.self_attn.q_proj": 2, "proj": 3, "^v_proj": 4,
            "self_attn.o_proj": 5, "o_proj": 6}"#;
        let patterns: Patterns<usize> = serde_json::from_str(text).unwrap();
        let of = |module| patterns.of(module).copied();
        assert_eq!(of("model.layers.0.self_attn.q_proj"), Some(1));
        assert_eq!(
            of("model.layers.1.self_attn.q_proj"),
            Some(1),
            "though the second says more"
        );
        assert_eq!(of("model.layers.1.self_attn.o_proj"), Some(5));
        assert_eq!(of("model.layers.1.mlp.o_proj"), Some(6));
        assert_eq!(of("model.layers.1.self_attn.v_proj"), None);
        assert_eq!(of("v_proj"), Some(4));
        assert!(is_name("^model.layers.0.mlp") && !is_name("layers.[01].mlp"));
        let none: Patterns<usize> = serde_json::from_str("null").unwrap();
        assert_eq!(none.of("v_proj"), None);
    }
}
