//! What the hub has, and what is to go wrong.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::HubFault;
use super::log::Log;

/// Files of one repository, by path.
pub(super) type Files = BTreeMap<String, Bytes>;

#[derive(Debug)]
pub(super) struct State {
    pub(super) log: Log,
    /// Cancelled when answers that are held may go on.
    pub(super) released: CancellationToken,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    repositories: BTreeMap<String, Files>,
    tokens: BTreeMap<String, String>,
    faults: Vec<(String, HubFault)>,
    also_listed: Vec<String>,
    /// Where large files are, without a path.
    store: String,
}

impl State {
    pub(super) fn new(store: SocketAddr) -> Self {
        Self {
            log: Log::default(),
            released: CancellationToken::new(),
            inner: Mutex::new(Inner {
                repositories: BTreeMap::new(),
                tokens: BTreeMap::new(),
                faults: Vec::new(),
                also_listed: Vec::new(),
                store: format!("http://{store}"),
            }),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, repo: &str, path: &str, content: Bytes) {
        let mut inner = self.inner();
        let files = inner.repositories.entry(repo.to_owned()).or_default();
        files.insert(path.to_owned(), content);
    }

    pub(super) fn gate(&self, repo: &str, token: &str) {
        self.inner().tokens.insert(repo.to_owned(), token.to_owned());
    }

    pub(super) fn add_fault(&self, path: &str, fault: HubFault) {
        self.inner().faults.push((path.to_owned(), fault));
    }

    pub(super) fn heal(&self) {
        self.inner().faults.clear();
    }

    pub(super) fn list_also(&self, name: &str) {
        self.inner().also_listed.push(name.to_owned());
    }

    pub(super) fn redirect_to(&self, address: &str) {
        address.clone_into(&mut self.inner().store);
    }

    pub(super) fn store(&self) -> String {
        self.inner().store.clone()
    }

    pub(super) fn files(&self, repo: &str) -> Option<Files> {
        self.inner().repositories.get(repo).cloned()
    }

    pub(super) fn also_listed(&self) -> Vec<String> {
        self.inner().also_listed.clone()
    }

    /// The token that opens a repository; `None` when it is open to all.
    pub(super) fn token(&self, repo: &str) -> Option<String> {
        self.inner().tokens.get(repo).cloned()
    }

    /// Whether something goes wrong with a file for good.
    pub(super) fn has_fault(&self, path: &str, is_meant: impl Fn(HubFault) -> bool) -> Option<HubFault> {
        let inner = self.inner();
        let mut faults = inner.faults.iter();
        faults
            .find(|(of, fault)| of == path && is_meant(*fault))
            .map(|(_, fault)| *fault)
    }

    /// Takes the next fault of a file among those that do not last, if it is one of those meant: they
    /// come in the order in which they were given.
    pub(super) fn take_passing(&self, path: &str, is_meant: impl Fn(HubFault) -> bool) -> Option<HubFault> {
        let mut inner = self.inner();
        let place = inner.faults.iter().position(|(of, fault)| {
            let passes = matches!(
                fault,
                HubFault::Cut(_) | HubFault::Hold(_) | HubFault::Busy(..) | HubFault::Fail(_)
            );
            of == path && passes
        })?;
        let taken = inner.faults[place].1;
        if !is_meant(taken) {
            return None;
        }
        let left = match taken {
            HubFault::Busy(times, pause) if times > 1 => Some(HubFault::Busy(times - 1, pause)),
            HubFault::Fail(times) if times > 1 => Some(HubFault::Fail(times - 1)),
            _ => None,
        };
        match left {
            Some(left) => inner.faults[place].1 = left,
            None => drop(inner.faults.remove(place)),
        }
        Some(taken)
    }
}
