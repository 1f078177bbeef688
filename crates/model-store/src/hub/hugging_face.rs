//! The Hugging Face hub: `/api/models/{repo}/revision/{revision}?blobs=true` lists a repository with
//! sizes and checksums, `/{repo}/resolve/{revision}/{path}` leads to a file.
//!
//! The shapes are those that its own client reads (`huggingface_hub`, `ModelInfo` and `RepoSibling`).

use serde::Deserialize;
use url::Url;

use super::{Listing, Place, RemoteFile};
use crate::digest::Digest;

#[derive(Deserialize)]
struct Repository {
    /// The commit.
    sha: Option<String>,
    siblings: Option<Vec<Sibling>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    /// Git's id of the file, or of the pointer that stands for it.
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

pub(super) fn list_url(base: &Url, place: Place<'_>) -> Url {
    let mut url = base.clone();
    push(&mut url, &["api", "models"]);
    push(&mut url, &place.repo.split('/').collect::<Vec<_>>());
    // A revision may have slashes (refs/pr/1), and is one part.
    push(&mut url, &["revision", place.revision]);
    url.query_pairs_mut().append_pair("blobs", "true");
    url
}

pub(super) fn file_url(base: &Url, place: Place<'_>, path: &str) -> Url {
    let mut url = base.clone();
    push(&mut url, &place.repo.split('/').collect::<Vec<_>>());
    push(&mut url, &["resolve", place.revision]);
    push(&mut url, &path.split('/').collect::<Vec<_>>());
    url
}

fn push(url: &mut Url, parts: &[&str]) {
    // An http address always has a path.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(parts);
    }
}

/// # Errors
/// What is wrong with it.
pub(super) fn read_list(body: &[u8]) -> Result<Listing, String> {
    let repository: Repository = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let siblings = repository.siblings.ok_or("it has no siblings")?;
    let file = |sibling: Sibling| {
        let (digest, size) = match sibling.lfs {
            Some(lfs) => (
                lfs.sha256.as_deref().and_then(Digest::sha256),
                lfs.size.or(sibling.size),
            ),
            None => (
                sibling.blob_id.as_deref().and_then(Digest::git_sha1),
                sibling.size,
            ),
        };
        RemoteFile {
            path: sibling.rfilename,
            size,
            digest,
        }
    };
    Ok(Listing {
        commit: repository.sha,
        files: siblings.into_iter().map(file).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_encode_what_is_no_plain_path() {
        let base = "https://hub.example/mirror/".parse().unwrap();
        let place = Place {
            repo: "Qwen/Qwen2.5-0.5B",
            revision: "refs/pr/1",
        };
        assert_eq!(
            list_url(&base, place).as_str(),
            "https://hub.example/mirror/api/models/Qwen/Qwen2.5-0.5B/revision/refs%2Fpr%2F1?blobs=true"
        );
        assert_eq!(
            file_url(&base, place, "a/b c?.gguf").as_str(),
            "https://hub.example/mirror/Qwen/Qwen2.5-0.5B/resolve/refs%2Fpr%2F1/a/b%20c%3F.gguf"
        );
    }

    #[test]
    fn a_file_has_the_checksum_of_its_content_not_of_its_pointer() {
        let (git, sha256) = ("a".repeat(40), "B".repeat(64));
        let body = format!(
            r#"{{"id":"a/b","sha":"c0ffee","gated":false,"siblings":[
                {{"rfilename":"config.json","size":10,"blobId":"{git}"}},
                {{"rfilename":"m.safetensors","size":134,"blobId":"{git}","lfs":{{"sha256":"{sha256}","size":99,"pointerSize":134}}}},
                {{"rfilename":"old"}}]}}"#
        );
        let listing = read_list(body.as_bytes()).unwrap();
        assert_eq!(listing.commit.as_deref(), Some("c0ffee"));
        let read: Vec<_> = listing
            .files
            .iter()
            .map(|file| (file.size, file.digest.clone()))
            .collect();
        assert_eq!(
            read,
            [
                (Some(10), Digest::git_sha1(&git)),
                (Some(99), Digest::sha256(&"b".repeat(64))),
                (None, None)
            ]
        );
        assert!(read_list(b"{\"error\":\"x\"}").is_err());
        assert!(read_list(b"<html>").is_err());
    }
}
