//! The rules for the deployments that answer in another's stead.

use std::collections::{HashMap, HashSet};

use silica_storage::Deployment;

use crate::PlatformError;
use crate::validate::invalid;

/// The longest list. A call that has failed on four more deployments will hardly find a fifth.
const FALLBACKS: usize = 4;

/// Checks that every fallback of the deployment `name` is one of `others`, is named once, and does
/// not lead back to it. What `others` says of `name` itself is about to be replaced and ignored.
pub(super) fn check<'a>(
    name: &str,
    fallbacks: &[String],
    others: impl IntoIterator<Item = &'a Deployment>,
) -> Result<(), PlatformError> {
    if fallbacks.len() > FALLBACKS {
        return Err(invalid("fallbacks", format!("at most {FALLBACKS} deployments")));
    }
    let known: HashMap<&str, &Deployment> = others
        .into_iter()
        .map(|other| (other.name.as_str(), other))
        .collect();
    let mut seen = HashSet::new();
    for (index, fallback) in fallbacks.iter().enumerate() {
        let field = || format!("fallbacks[{index}]");
        if fallback == name {
            return Err(invalid(field(), "is the deployment itself"));
        }
        if !known.contains_key(fallback.as_str()) {
            let shown: String = fallback.chars().take(128).collect();
            return Err(invalid(
                field(),
                format!("there is no deployment {shown:?}; put that one first"),
            ));
        }
        if !seen.insert(fallback) {
            return Err(invalid(field(), format!("{fallback} is named twice")));
        }
        if leads_to(name, fallback, &known) {
            return Err(invalid(
                field(),
                format!("{fallback} falls back to {name}, so calls would go in a circle"),
            ));
        }
    }
    Ok(())
}

/// Checks that no other deployment falls back to this one, which is about to go.
pub(in crate::operations) fn check_unused<'a>(
    name: &str,
    deployments: impl IntoIterator<Item = &'a Deployment>,
) -> Result<(), PlatformError> {
    let users: Vec<&str> = deployments
        .into_iter()
        .filter(|other| other.name != name && other.fallbacks.iter().any(|fallback| fallback == name))
        .map(|other| other.name.as_str())
        .collect();
    if users.is_empty() {
        return Ok(());
    }
    Err(PlatformError::IsFallback {
        deployment: name.to_owned(),
        of: users.join(", "),
    })
}

/// Whether the fallbacks of `from`, or theirs, include `target`.
fn leads_to(target: &str, from: &str, known: &HashMap<&str, &Deployment>) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        // Also ends on circles that are stored already, whoever made them.
        if !seen.insert(name) {
            continue;
        }
        let fallbacks = known.get(name).map_or(&[][..], |found| &found.fallbacks);
        if fallbacks.iter().any(|fallback| fallback == target) {
            return true;
        }
        open.extend(fallbacks.iter().map(String::as_str));
    }
    false
}
