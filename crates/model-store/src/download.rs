//! Fetches files into the staging folder: several at once, each going on where it was cut.

mod part;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use silica_engine_remote::FetchedBody;
use tokio::task::spawn_blocking;

use self::part::Part;
use crate::digest::Digest;
use crate::hub::{Asked, Fault, Hub, Place};
use crate::staging::Staging;
use crate::{HubError, Progress, Step, StoreError};

/// An attempt that brings so many bytes has got further, so the attempts are counted anew.
const FURTHER: u64 = 1 << 20;

/// A file to fetch: everything about it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Its path in the repository.
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
}

/// Fetches files of one repository.
pub(crate) struct Download<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) place: Place<'a>,
    pub(crate) staging: &'a Staging,
    pub(crate) progress: &'a dyn Progress,
}

/// Why an attempt did not bring the rest of a file.
enum Cut {
    /// The hub or the network.
    Fault(Fault),
    /// This machine.
    Store(StoreError),
}

impl From<HubError> for Cut {
    fn from(error: HubError) -> Self {
        Self::Fault(error.into())
    }
}

impl From<StoreError> for Cut {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Download<'_> {
    /// Fetches files until all are there, with the right checksums.
    ///
    /// # Errors
    /// The first that does not pass. What has arrived of others stays.
    pub(crate) async fn all(&self, files: &[Wanted]) -> Result<(), StoreError> {
        // Files of the same content would write to the same place.
        let mut distinct: Vec<&Wanted> = Vec::new();
        for file in files {
            if !distinct.iter().any(|other| other.digest == file.digest) {
                distinct.push(file);
            }
        }
        stream::iter(distinct.into_iter().map(|file| self.fetch(file)))
            .buffer_unordered(self.hub.options.at_once.max(1))
            .try_collect()
            .await
    }

    async fn fetch(&self, file: &Wanted) -> Result<(), StoreError> {
        if !self.is_whole(file).await? {
            let mut part = Part::open(self.staging, &file.digest).await?;
            self.complete(file, &mut part).await?;
            part.finish().await?;
            self.check(file).await?;
        }
        self.progress.tell(Step::Done(&file.path));
        Ok(())
    }

    /// Whether an earlier try has left the file, undamaged since. Of one with a SHA-256 that is
    /// found out at the end, when the manifest's checksums are made: it may be large.
    async fn is_whole(&self, file: &Wanted) -> Result<bool, StoreError> {
        let blob = self.staging.blob(&file.digest);
        if !blob.exists() || matches!(file.digest, Digest::Sha256(_)) {
            return Ok(blob.exists());
        }
        let (path, listed) = (blob.clone(), file.digest.clone());
        let summed = spawn_blocking(move || listed.like(&path)).await;
        let actual = summed.map_err(std::io::Error::other).flatten();
        if actual.map_err(|source| StoreError::read(&blob, source))? == file.digest {
            return Ok(true);
        }
        self.progress.tell(Step::Lost(file.size));
        std::fs::remove_file(&blob).map_err(|source| StoreError::write(blob, source))?;
        Ok(false)
    }

    /// Fetches until the part is as long as the file.
    async fn complete(&self, file: &Wanted, part: &mut Part) -> Result<(), StoreError> {
        let mut faults = 0;
        if part.length() > file.size {
            self.restart(part).await?;
        }
        while part.length() < file.size {
            let before = part.length();
            let fault = match self.attempt(file, part).await {
                Ok(()) => None,
                // Nothing more can be written.
                Err(Cut::Store(error)) => return Err(error),
                Err(Cut::Fault(fault)) => Some(fault),
            };
            // What has arrived counts, however the attempt ended.
            part.flush().await?;
            let Some(fault) = fault else { continue };
            if let Fault::Final(HubError::TooLong { .. } | HubError::WrongSize { .. }) = &fault {
                // It is the beginning of something else.
                part.delete().await?;
            }
            let is_further = part.length() >= before.saturating_add(FURTHER);
            faults = if is_further { 1 } else { faults + 1 };
            self.hub.pause(fault, faults, &file.path, self.progress).await?;
        }
        Ok(())
    }

    /// One request for the rest of a file.
    async fn attempt(&self, file: &Wanted, part: &mut Part) -> Result<(), Cut> {
        let mut request = self.hub.file_request(self.place, &file.path);
        let from = part.length();
        if from > 0 {
            request.headers = range(from, part.tag());
        }
        let asked = Asked::File(self.place, &file.path);
        let answer = self.hub.answer(&request, asked).await.map_err(Cut::Fault)?;
        let host = answer.body().host().to_owned();
        match resumed(&answer, from) {
            Resumed::From(total) => check_size(file, total, &host)?,
            Resumed::Anew(total) => {
                check_size(file, total, &host)?;
                if from > 0 {
                    self.restart(part).await?;
                }
                part.keep_tag(strong_tag(answer.headers())).await?;
            }
            Resumed::Nowhere => {
                // It is not the file that the beginning is of: all of it, next time.
                self.restart(part).await?;
                let error = HubError::Status {
                    host,
                    status: answer.status(),
                    what: file.path.clone(),
                };
                return Err(Cut::Fault(Fault::Passing { error, wanted: None }));
            }
        }
        self.receive(file, part, answer.into_body()).await
    }

    async fn receive(&self, file: &Wanted, part: &mut Part, mut body: FetchedBody) -> Result<(), Cut> {
        while let Some(bytes) = body.piece().await.map_err(HubError::from)? {
            let length = part.length().saturating_add(bytes.len() as u64);
            if length > file.size {
                return Err(Cut::from(HubError::TooLong {
                    file: file.path.clone(),
                    listed: file.size,
                    host: body.host().to_owned(),
                }));
            }
            part.append(&bytes).await?;
            self.progress.tell(Step::Bytes(bytes.len() as u64));
        }
        if part.length() < file.size {
            return Err(Cut::from(HubError::EndedEarly {
                file: file.path.clone(),
                received: part.length(),
                listed: file.size,
            }));
        }
        Ok(())
    }

    async fn restart(&self, part: &mut Part) -> Result<(), StoreError> {
        self.progress.tell(Step::Lost(part.length()));
        part.restart().await
    }

    /// Compares what has arrived with the checksum, and gives it its name or deletes it.
    async fn check(&self, file: &Wanted) -> Result<(), StoreError> {
        let (part, blob) = (self.staging.part(&file.digest), self.staging.blob(&file.digest));
        let tag = self.staging.tag(&file.digest);
        let (path, listed) = (file.path.clone(), file.digest.clone());
        let checking = spawn_blocking(move || {
            let actual = listed
                .like(&part)
                .map_err(|source| StoreError::read(&part, source))?;
            let _gone = std::fs::remove_file(tag);
            if actual == listed {
                return std::fs::rename(&part, &blob).map_err(|source| StoreError::write(blob, source));
            }
            std::fs::remove_file(&part).map_err(|source| StoreError::write(part, source))?;
            Err(StoreError::Hub(HubError::WrongDigest {
                file: path,
                listed,
                actual,
            }))
        });
        checking.await.map_err(|error| {
            let path = self.staging.part(&file.digest);
            StoreError::read(path, std::io::Error::other(error))
        })?
    }
}

/// Where an answer begins.
enum Resumed {
    /// Where it was asked to; with the size of the whole file, if it says that.
    From(Option<u64>),
    /// At the file's beginning.
    Anew(Option<u64>),
    /// At no place that is of use.
    Nowhere,
}

fn resumed(answer: &Response<FetchedBody>, from: u64) -> Resumed {
    let text = |name| answer.headers().get(name)?.to_str().ok();
    match answer.status() {
        StatusCode::PARTIAL_CONTENT => match text(CONTENT_RANGE).and_then(content_range) {
            Some((start, total)) if start == from => Resumed::From(total),
            _ => Resumed::Nowhere,
        },
        StatusCode::OK => {
            let length = text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
            Resumed::Anew(length)
        }
        _ => Resumed::Nowhere,
    }
}

/// Reads `bytes 10-99/100`: where it begins, and the size of the whole unless that is `*`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, total.parse().ok()))
}

fn check_size(file: &Wanted, sent: Option<u64>, host: &str) -> Result<(), HubError> {
    match sent {
        Some(sent) if sent != file.size => Err(HubError::WrongSize {
            file: file.path.clone(),
            listed: file.size,
            sent,
            host: host.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Asks for the rest of what has this entity tag.
fn range(from: u64, tag: Option<&HeaderValue>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(range) = HeaderValue::try_from(format!("bytes={from}-")) {
        headers.insert(RANGE, range);
    }
    if let Some(tag) = tag {
        headers.insert(IF_RANGE, tag.clone());
    }
    headers
}

/// A weak tag does not say that all bytes are the same (RFC 9110, 13.1.5).
fn strong_tag(headers: &HeaderMap) -> Option<&HeaderValue> {
    let tag = headers.get(ETAG)?;
    tag.as_bytes().starts_with(b"\"").then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_servers_write_them() {
        for (text, read) in [
            ("bytes 10-99/100", Some((10, Some(100)))),
            ("bytes 0-0/*", Some((0, None))),
            ("bytes */100", None),
            ("items 1-2/3", None),
            ("bytes -1-2/3", None),
        ] {
            assert_eq!(content_range(text), read, "{text}");
        }
    }

    #[test]
    fn weak_tags_do_not_bind_a_range() {
        let tagged = |tag: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ETAG, tag.parse().unwrap());
            strong_tag(&headers).is_some()
        };
        assert!(tagged("\"abc\""));
        assert!(!tagged("W/\"abc\"") && !tagged("abc"));
    }
}
