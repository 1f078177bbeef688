//! The lists of files, in both dialects.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::state::{Files, State};
use super::{HUB_COMMIT, HubFault};

/// Whether a file is in the large file store.
pub(super) fn is_large(path: &str) -> bool {
    let extension = Path::new(path).extension();
    extension.is_some_and(|extension| extension == "safetensors" || extension == "gguf")
}

pub(super) fn sha256(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

fn git_sha1(content: &[u8]) -> String {
    let mut sha1 = Sha1::new();
    sha1.update(format!("blob {}\0", content.len()));
    sha1.update(content);
    hex(&sha1.finalize())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

pub(super) fn hugging_face(state: &State, repo: &str, files: &Files) -> Value {
    let siblings = files.iter().map(|(path, content)| {
        let mut sibling = json!({
            "rfilename": path,
            "size": content.len(),
            "blobId": git_sha1(content),
        });
        if is_large(path) {
            sibling["lfs"] = json!({"sha256": sha256(content), "size": content.len(), "pointerSize": 134});
            sibling["blobId"] = json!("0".repeat(40));
        }
        if state
            .has_fault(path, |fault| fault == HubFault::Unsummed)
            .is_some()
        {
            sibling = json!({ "rfilename": path });
        }
        sibling
    });
    let also = state.also_listed();
    let also = also
        .iter()
        .map(|name| json!({"rfilename": name, "size": 1, "blobId": "0".repeat(40)}));
    json!({
        "id": repo,
        "sha": HUB_COMMIT,
        "gated": false,
        "siblings": siblings.chain(also).collect::<Vec<_>>(),
    })
}

pub(super) fn model_scope(state: &State, files: &Files) -> Value {
    let listed = files.iter().map(|(path, content)| {
        let mut file = json!({
            "Name": path.rsplit('/').next(),
            "Path": path,
            "Size": content.len(),
            "Sha256": sha256(content),
            "IsLFS": is_large(path),
            "Type": "blob",
            "Revision": HUB_COMMIT,
        });
        if state
            .has_fault(path, |fault| fault == HubFault::Unsummed)
            .is_some()
        {
            file["Sha256"] = json!("");
        }
        file
    });
    let also = state.also_listed();
    let also = also
        .iter()
        .map(|name| json!({"Name": name, "Path": name, "Size": 1, "Sha256": "0".repeat(64), "Type": "blob"}));
    let folder = json!({"Name": "folder", "Path": "folder", "Size": 0, "Type": "tree"});
    json!({
        "Code": 200,
        "Success": true,
        "Message": "success",
        "Data": { "Files": listed.chain(also).chain([folder]).collect::<Vec<_>>() },
    })
}
