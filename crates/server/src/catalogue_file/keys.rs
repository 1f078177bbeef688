//! Upstream keys that stand elsewhere: in a variable or in a file of their own.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use silica_types::Secret;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::Environment;

/// A key's length at most, in bytes.
const KEY_BYTES: u64 = 16 * 1024;
const LITERAL: &str = "api_key";
const VARIABLE: &str = "api_key_env";
const FILE: &str = "api_key_file";

/// A key that cannot be had. The texts repeat no value: people put keys in wrong places.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyFault {
    /// The key of the table that is at fault.
    pub(super) field: &'static str,
    /// What is wrong with it.
    pub(super) message: String,
}

/// How a replica gives its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyPlace {
    /// It has none.
    Nowhere,
    /// In the catalogue file itself.
    Literal,
    /// In a variable or a file.
    Elsewhere,
}

/// Puts the key that a replica's table points to in the place of the pointer. Relative paths begin
/// at `folder`.
pub(super) fn resolve(
    replica: &mut DeTable<'_>,
    environment: &Environment,
    folder: &Path,
) -> Result<KeyPlace, KeyFault> {
    let given: Vec<&'static str> = [LITERAL, VARIABLE, FILE]
        .into_iter()
        .filter(|field| replica.contains_key(*field))
        .collect();
    let fault = |field, message: &str| KeyFault {
        field,
        message: message.to_owned(),
    };
    let field = match given.as_slice() {
        [] => return Ok(KeyPlace::Nowhere),
        [LITERAL] => return Ok(KeyPlace::Literal),
        [field] => *field,
        [_, second, ..] => {
            return Err(fault(second, "give one of api_key, api_key_env and api_key_file"));
        }
    };
    let Some(pointer) = replica.remove(field) else {
        return Ok(KeyPlace::Nowhere);
    };
    let DeValue::String(pointer_text) = pointer.get_ref() else {
        return Err(fault(field, "must be a text"));
    };
    let secret = if field == VARIABLE {
        let set = environment.secret(pointer_text);
        set.ok_or_else(|| fault(field, "there is no such environment variable"))?
    } else {
        read(&folder.join(&**pointer_text))
            .map_err(|error| fault(field, &format!("the file cannot be read: {error}")))?
    };
    // The reason to expose it: the body of a request holds the key itself.
    let key = secret.expose().trim();
    if key.is_empty() {
        return Err(fault(field, "leads to an empty key"));
    }
    let value = DeValue::String(Cow::Owned(key.to_owned()));
    let name = Spanned::new(pointer.span(), Cow::Borrowed(LITERAL));
    replica.insert(name, Spanned::new(pointer.span(), value));
    Ok(KeyPlace::Elsewhere)
}

fn read(path: &Path) -> io::Result<Secret> {
    let mut text = String::new();
    File::open(path)?.take(KEY_BYTES).read_to_string(&mut text)?;
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key that a replica's table ends up with.
    fn resolved(table: &str, folder: &Path) -> Result<(KeyPlace, Option<String>), KeyFault> {
        let environment = Environment::from([("UPSTREAM_KEY", "sk-variable\n"), ("EMPTY", " ")]);
        let mut replica = DeTable::parse(table).unwrap().into_inner();
        let place = resolve(&mut replica, &environment, folder)?;
        let key = replica.get(LITERAL).map(|value| match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            other => panic!("{other:?}"),
        });
        assert!(!replica.contains_key(VARIABLE) && !replica.contains_key(FILE));
        Ok((place, key))
    }

    #[test]
    fn keys_come_from_variables_and_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "sk-file\n").unwrap();
        let path = folder.path();
        let key = |text: &str| Some(text.to_owned());
        assert_eq!(resolved("", path), Ok((KeyPlace::Nowhere, None)));
        assert_eq!(
            resolved("api_key = \"sk-x\"", path),
            Ok((KeyPlace::Literal, key("sk-x")))
        );
        assert_eq!(
            resolved("api_key_env = \"UPSTREAM_KEY\"", path),
            Ok((KeyPlace::Elsewhere, key("sk-variable")))
        );
        assert_eq!(
            resolved("api_key_file = \"key\"", path),
            Ok((KeyPlace::Elsewhere, key("sk-file")))
        );
    }

    #[test]
    fn what_leads_to_no_key_is_refused_without_being_repeated() {
        let folder = tempfile::tempdir().unwrap();
        for (table, field) in [
            ("api_key_env = \"sk-oops\"", VARIABLE),
            ("api_key_env = \"EMPTY\"", VARIABLE),
            ("api_key_env = 5", VARIABLE),
            ("api_key_file = \"sk-oops\"", FILE),
            ("api_key = \"a\"\napi_key_file = \"b\"", FILE),
        ] {
            let fault = resolved(table, folder.path()).unwrap_err();
            assert_eq!(fault.field, field, "{table}");
            assert!(!fault.message.contains("sk-oops"), "{}", fault.message);
        }
    }
}
