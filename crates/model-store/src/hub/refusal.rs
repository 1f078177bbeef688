//! What a hub's refusal means.

use std::fmt;

use http::StatusCode;
use http::response::Parts;

use super::{Dialect, Hub, Place};
use crate::HubError;

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked<'a> {
    Listing(Place<'a>),
    File(Place<'a>, &'a str),
}

impl<'a> Asked<'a> {
    const fn place(self) -> Place<'a> {
        match self {
            Self::Listing(place) | Self::File(place, _) => place,
        }
    }
}

impl fmt::Display for Asked<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listing(place) => write!(formatter, "the files of {}", place.repo),
            Self::File(_, path) => formatter.write_str(path),
        }
    }
}

impl Hub {
    /// The Hugging Face hub says in a header what is wrong, and 401 for what it does not want to say;
    /// `ModelScope` says it in its body, in words that change.
    pub(super) fn refusal(&self, asked: Asked<'_>, host: &str, head: &Parts, body: &[u8]) -> HubError {
        let place = asked.place();
        if self.base.host_str() != Some(host) {
            // Whoever the hub sends us to knows neither repositories nor terms.
            return HubError::Status {
                host: host.to_owned(),
                status: head.status,
                what: asked.to_string(),
            };
        }
        let code = head
            .headers
            .get("x-error-code")
            .and_then(|code| code.to_str().ok());
        let body = String::from_utf8_lossy(body);
        match (head.status, code) {
            (_, Some("GatedRepo")) | (StatusCode::FORBIDDEN, _) => self.gated(place),
            (_, Some("RevisionNotFound")) => self.no_revision(place),
            (StatusCode::NOT_FOUND, _) if body.to_ascii_lowercase().contains("revision") => {
                self.no_revision(place)
            }
            (StatusCode::UNAUTHORIZED, _) | (_, Some("RepoNotFound")) => self.no_repository(place),
            (StatusCode::NOT_FOUND, _) => match asked {
                Asked::Listing(_) => self.no_repository(place),
                Asked::File(_, path) => HubError::NoFile {
                    file: path.to_owned(),
                    hub: self.name(),
                },
            },
            (status, _) => HubError::Status {
                host: host.to_owned(),
                status,
                what: asked.to_string(),
            },
        }
    }

    fn gated(&self, place: Place<'_>) -> HubError {
        let base = self.base.as_str().trim_end_matches('/');
        let page = match self.options.address.dialect() {
            Dialect::HuggingFace => format!("{base}/{}", place.repo),
            Dialect::ModelScope => format!("{base}/models/{}", place.repo),
        };
        HubError::Gated {
            repo: place.repo.to_owned(),
            hub: self.name(),
            page,
            variable: self.options.address.dialect().token_variable(),
            with_token: self.options.token.is_some(),
        }
    }

    fn no_repository(&self, place: Place<'_>) -> HubError {
        HubError::NoRepository {
            repo: place.repo.to_owned(),
            hub: self.name(),
            variable: self.options.address.dialect().token_variable(),
            with_token: self.options.token.is_some(),
        }
    }

    fn no_revision(&self, place: Place<'_>) -> HubError {
        HubError::NoRevision {
            repo: place.repo.to_owned(),
            revision: place.revision.to_owned(),
            hub: self.name(),
        }
    }
}
