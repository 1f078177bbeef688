//! Hubs: where a repository's files are listed, and where each one is fetched.

mod address;
mod hugging_face;
mod model_scope;
mod refusal;

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, COOKIE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use silica_engine_remote::{Authorities, FetchOptions, FetchRequest, FetchedBody, Fetcher};
use silica_types::Secret;
use tokio::time::sleep;
use url::Url;

pub use self::address::{Dialect, HubAddress, InvalidHub};
pub(crate) use self::refusal::Asked;
use crate::digest::Digest;
use crate::{HubError, Progress, Step};

/// The largest list of files that is read, in bytes: some ten thousand files.
const LARGEST_LIST: usize = 32 << 20;
/// The most of a refusal that is read, in bytes.
const LARGEST_REFUSAL: usize = 64 << 10;
/// The longest pause between two attempts, unless the hub asks for a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause that a hub may ask for; after that a person decides.
const LONGEST_WANTED: Duration = Duration::from_mins(10);

/// How a hub is spoken to.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// Where it is.
    pub address: HubAddress,
    /// Opens private and gated repositories. Sent to the hub itself only, and not without https
    /// unless `allow_private`.
    pub token: Option<Secret>,
    /// Whether the hub, and what it redirects to, may be at an address that is not public.
    pub allow_private: bool,
    /// Who may vouch for the hub beside the system's authorities.
    pub authorities: Option<Authorities>,
    /// The longest silence of a server, in the middle of a file too. Not zero.
    pub stall_limit: Duration,
    /// How often something is tried in a row without getting further, at least 1.
    pub attempts: u32,
    /// The pause after the first attempt that fails; it doubles with each further one, up to 30 s.
    pub first_pause: Duration,
    /// How many files are fetched at once, at least 1.
    pub at_once: usize,
}

impl HubOptions {
    /// A public hub without a token and the usual limits: 30 s of silence, 8 attempts, half a second
    /// for the first pause, 4 files at once.
    pub const fn new(address: HubAddress) -> Self {
        Self {
            address,
            token: None,
            allow_private: false,
            authorities: None,
            stall_limit: Duration::from_secs(30),
            attempts: 8,
            first_pause: Duration::from_millis(500),
            at_once: 4,
        }
    }
}

/// A hub to fetch models from.
#[derive(Debug)]
pub struct Hub {
    pub(crate) options: HubOptions,
    base: Url,
    fetcher: Fetcher,
    confidential: HeaderMap,
}

/// What a repository has at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listing {
    /// The commit, where the hub says so.
    pub(crate) commit: Option<String>,
    pub(crate) files: Vec<RemoteFile>,
}

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RemoteFile {
    /// Its path in the repository.
    pub(crate) path: String,
    /// Its size in bytes, where the hub says it.
    pub(crate) size: Option<u64>,
    /// Its checksum, where the hub gives one.
    pub(crate) digest: Option<Digest>,
}

/// A repository at a revision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) repo: &'a str,
    pub(crate) revision: &'a str,
}

/// An answer that is not there, and whether to ask again.
pub(crate) enum Fault {
    /// The same would happen again.
    Final(HubError),
    /// It may pass.
    Passing {
        error: HubError,
        /// The pause that the hub wants.
        wanted: Option<Duration>,
    },
}

impl From<HubError> for Fault {
    fn from(error: HubError) -> Self {
        let is_passing = match &error {
            HubError::Fetch(error) => error.is_passing(),
            HubError::EndedEarly { .. } => true,
            _ => false,
        };
        if is_passing {
            Self::Passing { error, wanted: None }
        } else {
            Self::Final(error)
        }
    }
}

impl Hub {
    /// Makes a client.
    ///
    /// # Errors
    /// When TLS cannot be set up, or there is a token that would travel in clear.
    pub fn new(options: HubOptions) -> Result<Self, HubError> {
        let fetcher = Fetcher::new(&FetchOptions {
            allow_private: options.allow_private,
            authorities: options.authorities.clone(),
            stall_limit: options.stall_limit,
            ..FetchOptions::default()
        })?;
        let base = options.address.url()?;
        let mut confidential = HeaderMap::new();
        if let Some(token) = &options.token {
            if base.scheme() != "https" && !options.allow_private {
                let hub = options.address.to_string();
                return Err(HubError::TokenInClear { hub });
            }
            let unusable = |_| HubError::Token;
            // Exposed to the headers that need it, which hide themselves.
            let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(unusable)?;
            bearer.set_sensitive(true);
            confidential.insert(AUTHORIZATION, bearer);
            if options.address.dialect() == Dialect::ModelScope {
                // Its older routes know the token as the session of its web pages only.
                let session = format!("m_session_id={}", token.expose());
                let mut session = HeaderValue::try_from(session).map_err(unusable)?;
                session.set_sensitive(true);
                confidential.insert(COOKIE, session);
            }
        }
        Ok(Self {
            options,
            base,
            fetcher,
            confidential,
        })
    }

    /// How the hub is called.
    pub fn name(&self) -> String {
        self.options.address.to_string()
    }

    /// The revision that is meant when none is named.
    pub fn default_revision(&self) -> &'static str {
        match self.options.address.dialect() {
            Dialect::HuggingFace => "main",
            Dialect::ModelScope => "master",
        }
    }

    /// Lists a repository's files.
    pub(crate) async fn list(&self, place: Place<'_>, progress: &dyn Progress) -> Result<Listing, HubError> {
        let what = format!("the files of {}", place.repo);
        let mut faults = 0;
        loop {
            match self.try_list(place).await {
                Ok(listing) => return Ok(listing),
                Err(fault) => {
                    faults += 1;
                    self.pause(fault, faults, &what, progress).await?;
                }
            }
        }
    }

    async fn try_list(&self, place: Place<'_>) -> Result<Listing, Fault> {
        let base = &self.base;
        let url = match self.options.address.dialect() {
            Dialect::HuggingFace => hugging_face::list_url(base, place),
            Dialect::ModelScope => model_scope::list_url(base, place),
        };
        let mut request = self.request(&url);
        let json = HeaderValue::from_static("application/json");
        request.headers.insert(ACCEPT, json);
        let answer = self.answer(&request, Asked::Listing(place)).await?;
        let body = answer
            .into_body()
            .whole(LARGEST_LIST)
            .await
            .map_err(HubError::from)?;
        let listing = match self.options.address.dialect() {
            Dialect::HuggingFace => hugging_face::read_list(&body),
            Dialect::ModelScope => model_scope::read_list(&body),
        };
        listing.map_err(|problem| {
            let hub = self.name();
            Fault::Final(HubError::Listing { hub, problem })
        })
    }

    /// The request for a file of a repository.
    pub(crate) fn file_request(&self, place: Place<'_>, path: &str) -> FetchRequest {
        let base = &self.base;
        self.request(&match self.options.address.dialect() {
            Dialect::HuggingFace => hugging_face::file_url(base, place, path),
            Dialect::ModelScope => model_scope::file_url(base, place, path),
        })
    }

    /// Sends a request and returns the answer if it is a success, and 416 as well.
    pub(crate) async fn answer(
        &self,
        request: &FetchRequest,
        asked: Asked<'_>,
    ) -> Result<Response<FetchedBody>, Fault> {
        let answer = self.fetcher.get(request).await.map_err(HubError::from)?;
        let status = answer.status();
        if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(answer);
        }
        let wanted = wanted_pause(answer.headers());
        let (head, body) = answer.into_parts();
        let host = body.host().to_owned();
        let may_pass = status.is_server_error()
            || matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
            );
        if may_pass {
            return match wanted.filter(|wanted| *wanted > LONGEST_WANTED) {
                Some(pause) => Err(Fault::Final(HubError::Pause { host, pause })),
                None => Err(Fault::Passing {
                    error: HubError::Status {
                        host,
                        status,
                        what: asked.to_string(),
                    },
                    wanted,
                }),
            };
        }
        let text = body.whole(LARGEST_REFUSAL).await.unwrap_or_default();
        Err(Fault::Final(self.refusal(asked, &host, &head, &text)))
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// When there is to be none.
    pub(crate) async fn pause(
        &self,
        fault: Fault,
        faults: u32,
        what: &str,
        progress: &dyn Progress,
    ) -> Result<(), HubError> {
        let (error, wanted) = match fault {
            Fault::Final(error) => return Err(error),
            Fault::Passing { error, wanted } => (error, wanted),
        };
        if faults >= self.options.attempts {
            return Err(HubError::GaveUp {
                what: what.to_owned(),
                attempts: faults,
                source: Box::new(error),
            });
        }
        let doubled = self
            .options
            .first_pause
            .saturating_mul(1 << faults.saturating_sub(1).min(16));
        let pause = wanted.unwrap_or_else(|| doubled.min(LONGEST_PAUSE));
        let reason = error.to_string();
        progress.tell(Step::Again {
            file: what,
            reason: &reason,
            pause,
        });
        sleep(pause).await;
        Ok(())
    }

    fn request(&self, url: &Url) -> FetchRequest {
        FetchRequest {
            url: url.to_string(),
            headers: HeaderMap::new(),
            confidential: self.confidential.clone(),
        }
    }
}

/// The pause that a server asks for, in seconds or by a date of its own clock.
fn wanted_pause(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let wanted = text(RETRY_AFTER)?;
    if let Ok(seconds) = wanted.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let (then, now) = (date(wanted)?, date(text(http::header::DATE)?)?);
    Some(then.duration_since(now).unwrap_or_default())
}
