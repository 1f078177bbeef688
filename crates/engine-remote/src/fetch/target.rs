//! An address to fetch, checked.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderValue, Uri};
use url::{Host, Url};

use super::FetchError;
use crate::address;

/// An address that may be connected to, unless its name leads to one that must not.
#[derive(Debug, Clone)]
pub(super) struct Target(Url);

impl Target {
    /// Reads an address as browsers do, which know every spelling of a number. A host given as a
    /// number is checked here because the connector asks no resolver about it.
    pub(super) fn parse(text: &str, allow_private: bool) -> Result<Self, FetchError> {
        match Url::parse(text) {
            Ok(url) => Self::checked(url, allow_private),
            Err(error) => Err(FetchError::Address {
                url: without_secrets(text).to_owned(),
                problem: error.to_string(),
            }),
        }
    }

    /// The address that an answer of this one leads to.
    pub(super) fn redirected(&self, location: &HeaderValue, allow_private: bool) -> Result<Self, FetchError> {
        let url = location.to_str().ok().and_then(|text| self.0.join(text).ok());
        let url = url.ok_or_else(|| FetchError::Address {
            url: format!("that {} redirects to", self.host()),
            problem: "it cannot be read".to_owned(),
        })?;
        if self.0.scheme() == "https" && url.scheme() == "http" {
            let host = self.host().to_owned();
            return Err(FetchError::Downgrade { host });
        }
        Self::checked(url, allow_private)
    }

    fn checked(mut url: Url, allow_private: bool) -> Result<Self, FetchError> {
        url.set_fragment(None);
        let problem = if !matches!(url.scheme(), "http" | "https") {
            Some("it must begin with http:// or https://")
        } else if !url.username().is_empty() || url.password().is_some() {
            Some("it must have no user or password")
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(FetchError::Address {
                url: told(&url),
                problem: problem.to_owned(),
            });
        }
        let number = match url.host() {
            Some(Host::Ipv4(number)) => Some(IpAddr::V4(number)),
            Some(Host::Ipv6(number)) => Some(IpAddr::V6(number)),
            Some(Host::Domain(_)) | None => None,
        };
        let target = Self(url);
        match number {
            Some(number) if address::check(number, allow_private).is_err() => Err(FetchError::Private {
                host: target.host().to_owned(),
                address: number,
            }),
            _ => Ok(target),
        }
    }

    /// Scheme, host and port are the same.
    pub(super) fn is_same_server(&self, other: &Self) -> bool {
        self.0.origin() == other.0.origin()
    }

    pub(super) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    pub(super) fn uri(&self) -> Result<Uri, FetchError> {
        self.0.as_str().parse().map_err(|error| FetchError::Address {
            url: told(&self.0),
            problem: format!("{error}"),
        })
    }

    pub(super) fn silent(&self, limit: Duration) -> FetchError {
        FetchError::Silent {
            host: self.host().to_owned(),
            limit,
        }
    }

    pub(super) fn broken(&self, source: hyper::Error) -> FetchError {
        FetchError::Broken {
            host: self.host().to_owned(),
            source,
        }
    }

    pub(super) fn packed(&self) -> FetchError {
        FetchError::Packed {
            host: self.host().to_owned(),
        }
    }

    pub(super) fn too_long(&self, most: usize) -> FetchError {
        FetchError::TooLong {
            host: self.host().to_owned(),
            most,
        }
    }
}

/// A text that is no address, without what may be secret in it.
fn without_secrets(text: &str) -> &str {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    text.rsplit('@').next().unwrap_or_default()
}

/// An address without what may be secret in it.
fn told(url: &Url) -> String {
    format!(
        "{}://{}{}",
        url.scheme(),
        url.host_str().unwrap_or_default(),
        url.path()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(from: &str, to: &str) -> Result<Target, FetchError> {
        let location = HeaderValue::from_str(to).unwrap();
        Target::parse(from, false).unwrap().redirected(&location, false)
    }

    #[test]
    fn addresses_inside_are_refused_in_every_spelling_and_after_a_redirect() {
        for inside in [
            "http://127.0.0.1/f",
            "http://127.1/f",
            "http://2130706433/f",
            "http://[::1]/f",
            "https://169.254.169.254/latest",
        ] {
            let refused = Target::parse(inside, false).unwrap_err();
            assert!(
                matches!(refused, FetchError::Private { .. }),
                "{inside}: {refused}"
            );
            assert!(Target::parse(inside, true).is_ok(), "{inside}");
            let refused = redirect("http://hub.example/f", inside).unwrap_err();
            assert!(
                matches!(refused, FetchError::Private { .. }),
                "{inside}: {refused}"
            );
        }
    }

    #[test]
    fn redirects_are_read_as_browsers_do_and_never_give_up_encryption() {
        let moved = redirect("https://hub.example/a/b?x=1", "/c?signature=s").unwrap();
        assert_eq!(
            moved.uri().unwrap().to_string(),
            "https://hub.example/c?signature=s"
        );
        assert!(moved.is_same_server(&Target::parse("https://hub.example:443/", false).unwrap()));
        let away = redirect("https://hub.example/a", "https://cdn.example/a").unwrap();
        assert!(!away.is_same_server(&moved));
        let refused = redirect("https://hub.example/a", "http://cdn.example/a").unwrap_err();
        assert!(matches!(refused, FetchError::Downgrade { .. }), "{refused}");
    }

    #[test]
    fn what_is_no_address_of_a_server_is_refused_without_its_secrets() {
        for text in [
            "",
            "hub.example/f",
            "file:///etc/passwd?geheim",
            "ftp://hub.example/geheim?geheim",
            "https://user:geheim@hub.example/f",
            "https://hub.example:99999/f?geheim",
            "https://user:geheim@hub.example:99999/f",
        ] {
            let refused = Target::parse(text, true).unwrap_err();
            assert!(matches!(refused, FetchError::Address { .. }), "{text}: {refused}");
            assert!(!refused.to_string().contains("?geheim") && !refused.to_string().contains(":geheim"));
        }
    }
}
