//! Names of files that a hub or a folder gives, and that must stay inside the model's own folder.

/// The longest name, in bytes.
const LONGEST: usize = 512;

/// A name that leads out of the folder, or could on some system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the file name {0:?} is not safe")]
pub struct UnsafeName(pub(crate) String);

/// Refuses every name that is not a plain relative path: parts of usual characters between single
/// slashes, none of them `.` or `..`.
///
/// # Errors
/// With the beginning of the name.
pub(crate) fn check(name: &str) -> Result<(), UnsafeName> {
    let is_plain = |part: &str| {
        !matches!(part, "" | "." | "..")
            && !part.chars().any(|c| {
                c.is_control() || matches!(c, '\\' | ':' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            })
    };
    if name.len() <= LONGEST && name.split('/').all(is_plain) {
        Ok(())
    } else {
        Err(UnsafeName(name.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_pass() {
        for name in [
            "config.json",
            "a/b/c.gguf",
            "Qwen 2.gguf",
            "模型.json",
            "..a",
            "a..b",
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn ways_out_do_not_pass() {
        for name in [
            "",
            ".",
            "..",
            "../config.json",
            "a/../../config.json",
            "/etc/passwd",
            "a//b",
            "a/",
            "..\\config.json",
            "C:\\config.json",
            "C:config.json",
            "config.json\0.safetensors",
            "a\nb",
            "\u{202e}nosj",
        ] {
            assert!(check(name).is_err(), "{name:?}");
        }
        assert!(check(&"a".repeat(600)).is_err());
    }
}
