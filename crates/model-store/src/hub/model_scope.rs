//! `ModelScope`: `/api/v1/models/{repo}/repo/files?Revision=&Recursive=true` lists a repository with
//! sizes and SHA-256 of all files, `/api/v1/models/{repo}/repo?Revision=&FilePath=` leads to a file.
//!
//! The shapes are those that its own client reads (`modelscope.hub`).

use serde::Deserialize;
use url::Url;

use super::{Listing, Place, RemoteFile};
use crate::digest::Digest;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    code: Option<i64>,
    message: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Data {
    files: Option<Vec<File>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct File {
    path: String,
    size: Option<u64>,
    sha256: Option<String>,
    /// `tree` for a folder.
    r#type: Option<String>,
}

pub(super) fn list_url(base: &Url, place: Place<'_>) -> Url {
    let mut url = repository(base, place, &["repo", "files"]);
    url.query_pairs_mut()
        .append_pair("Revision", place.revision)
        .append_pair("Recursive", "true");
    url
}

pub(super) fn file_url(base: &Url, place: Place<'_>, path: &str) -> Url {
    let mut url = repository(base, place, &["repo"]);
    url.query_pairs_mut()
        .append_pair("Revision", place.revision)
        .append_pair("FilePath", path);
    url
}

fn repository(base: &Url, place: Place<'_>, more: &[&str]) -> Url {
    let mut url = base.clone();
    // An http address always has a path.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty()
            .extend(["api", "v1", "models"])
            .extend(place.repo.split('/'))
            .extend(more);
    }
    url
}

/// # Errors
/// What is wrong with it.
pub(super) fn read_list(body: &[u8]) -> Result<Listing, String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if let Some(code) = answer.code.filter(|code| *code != 200) {
        return Err(format!(
            "it says {code}: {}",
            answer
                .message
                .unwrap_or_default()
                .chars()
                .take(200)
                .collect::<String>()
        ));
    }
    let files = answer.data.and_then(|data| data.files).ok_or("it has no files")?;
    let files = files
        .into_iter()
        .filter(|file| file.r#type.as_deref() != Some("tree"));
    Ok(Listing {
        // The commits that it gives are those that changed each file last, not that of the revision.
        commit: None,
        files: files
            .map(|file| RemoteFile {
                digest: file.sha256.as_deref().and_then(Digest::sha256),
                size: file.size,
                path: file.path,
            })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_encode_what_is_no_plain_query() {
        let base = "https://hub.example".parse().unwrap();
        let place = Place {
            repo: "Qwen/Qwen2.5-0.5B",
            revision: "v1&x",
        };
        assert_eq!(
            list_url(&base, place).as_str(),
            "https://hub.example/api/v1/models/Qwen/Qwen2.5-0.5B/repo/files?Revision=v1%26x&Recursive=true"
        );
        assert_eq!(
            file_url(&base, place, "a/b.gguf").as_str(),
            "https://hub.example/api/v1/models/Qwen/Qwen2.5-0.5B/repo?Revision=v1%26x&FilePath=a%2Fb.gguf"
        );
    }

    #[test]
    fn folders_are_left_out_and_refusals_are_told() {
        let sha256 = "c".repeat(64);
        let body = format!(
            r#"{{"Code":200,"Success":true,"Data":{{"Files":[
                {{"Name":"sub","Path":"sub","Size":0,"Type":"tree"}},
                {{"Name":"m.gguf","Path":"sub/m.gguf","Size":7,"Sha256":"{sha256}","IsLFS":true,"Type":"blob"}}]}}}}"#
        );
        let listing = read_list(body.as_bytes()).unwrap();
        assert_eq!(listing.files.len(), 1);
        assert_eq!(listing.files[0].digest, Digest::sha256(&sha256));
        let refusal = r#"{"Code":10010205001,"Message":"no such model","Success":false}"#;
        assert_eq!(
            read_list(refusal.as_bytes()).unwrap_err(),
            "it says 10010205001: no such model"
        );
    }
}
