//! The addresses that an engine's requests go to.

use std::net::IpAddr;

use http::Uri;
use http::uri::PathAndQuery;
use url::{Host, Url};

use crate::{OptionsError, address};

/// Reads an engine's base address and returns the one of a path below it.
///
/// # Errors
/// When the address is not usable, or is a number that is not public and must be. A host given as
/// a number is checked here because the connector asks no resolver about it.
pub(crate) fn below(base_url: &str, path: &str, allow_private: bool) -> Result<Uri, OptionsError> {
    // Read as browsers do, which knows every spelling of a number: 127.1, 0x7f000001, 2130706433.
    let mut url = Url::parse(base_url).map_err(OptionsError::Url)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(OptionsError::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(OptionsError::Extra("user or password"));
    }
    if url.query().is_some() {
        return Err(OptionsError::Extra("query"));
    }
    if url.fragment().is_some() {
        return Err(OptionsError::Extra("fragment"));
    }
    let number = match url.host().ok_or(OptionsError::Host)? {
        Host::Ipv4(number) => Some(IpAddr::V4(number)),
        Host::Ipv6(number) => Some(IpAddr::V6(number)),
        Host::Domain(_) => None,
    };
    if let Some(number) = number {
        address::check(number, allow_private)?;
    }
    let path = format!("{}{path}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.as_str().parse().map_err(OptionsError::Target)
}

/// The path alone of an address below an engine's, as requests carry it.
///
/// # Errors
/// As [`below`].
pub(crate) fn path_below(base_url: &str, path: &str, allow_private: bool) -> Result<Uri, OptionsError> {
    let whole = below(base_url, path, allow_private)?;
    let path = whole.path_and_query().map_or("/", PathAndQuery::as_str);
    path.parse().map_err(OptionsError::Target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_added_to_the_base_with_and_without_a_slash_at_its_end() {
        for (base, whole) in [
            (
                "http://engine.example:8000/v1",
                "http://engine.example:8000/v1/chat/completions",
            ),
            (
                "https://engine.example/v1/",
                "https://engine.example/v1/chat/completions",
            ),
            (
                "https://engine.example",
                "https://engine.example/chat/completions",
            ),
            (
                "http://[2606:4700::1]:81/a/b",
                "http://[2606:4700::1]:81/a/b/chat/completions",
            ),
        ] {
            assert_eq!(
                below(base, "/chat/completions", false).unwrap().to_string(),
                whole
            );
        }
    }

    #[test]
    fn every_spelling_of_an_address_inside_is_refused_unless_allowed() {
        for base in [
            "http://127.0.0.1/v1",
            "http://127.1/v1",
            "http://0x7f000001/v1",
            "http://2130706433/v1",
            "http://0177.0.0.1/v1",
            "http://[::1]/v1",
            "http://[::ffff:10.0.0.1]/v1",
            "http://169.254.169.254/v1",
        ] {
            let refused = below(base, "/chat/completions", false).unwrap_err();
            assert!(matches!(refused, OptionsError::Address(_)), "{base}: {refused:?}");
            assert!(below(base, "/chat/completions", true).is_ok(), "{base}");
        }
    }

    #[test]
    fn addresses_with_parts_that_they_must_not_have_are_refused() {
        for base in [
            "",
            "engine.example/v1",
            "ftp://engine.example/v1",
            "file:///etc/passwd",
            "unix:/run/engine",
            "http://",
            "http://user@engine.example/v1",
            "http://user:secret@engine.example/v1",
            "http://engine.example/v1?key=secret",
            "http://engine.example/v1#part",
        ] {
            let refused = below(base, "/chat/completions", true).unwrap_err();
            assert!(!refused.to_string().contains("secret"), "{base}: {refused}");
        }
    }
}
