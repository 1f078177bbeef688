//! A scripted hub of models: it speaks as Hugging Face and as `ModelScope`, and plays every fault.
//!
//! The same repositories are there in both dialects. Large files (`.safetensors`, `.gguf`) are
//! redirected to a second server of another address, as hubs do; small ones come from the hub.

mod answer;
mod listing;
mod log;
mod state;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use self::log::{HubRequest, HubServer};
use self::state::State;

/// The commit of every repository.
pub const HUB_COMMIT: &str = "c0ffee0000c0ffee0000c0ffee0000c0ffee0000";

/// What goes wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubFault {
    /// Once: the connection breaks after so many bytes of the answer.
    Cut(usize),
    /// Once: nothing comes after so many bytes of the answer, until [`ModelHub::release`].
    Hold(usize),
    /// So many times: status 429, with the seconds that are to be waited.
    Busy(u32, u64),
    /// So many times: status 503.
    Fail(u32),
    /// A request for a range gets all of the file.
    IgnoreRange,
    /// The last byte is another than the one that is listed.
    Damage,
    /// So many bytes only are there; the list does not know.
    Truncate(usize),
    /// The answer announces no length and ends after so many bytes, as if all was well.
    End(usize),
    /// The body has no end.
    Endless,
    /// The file is listed, and is not there.
    Gone,
    /// The list gives no checksum.
    Unsummed,
}

/// A running hub. Dropping it closes its ports.
#[derive(Debug)]
pub struct ModelHub {
    address: SocketAddr,
    state: Arc<State>,
    _running: DropGuard,
}

impl ModelHub {
    /// Starts a hub without repositories on free ports of this machine.
    ///
    /// # Panics
    /// When there are none.
    #[expect(clippy::expect_used, reason = "a test without its hub has failed")]
    pub async fn start() -> Self {
        let hub = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        // Another address of this machine, so that it is another host.
        let store = TcpListener::bind("127.0.0.2:0").await.expect("a free port");
        let address = hub.local_addr().expect("the port's address");
        let state = Arc::new(State::new(store.local_addr().expect("the port's address")));
        let stop = CancellationToken::new();
        for (listener, server) in [(hub, HubServer::Hub), (store, HubServer::Store)] {
            let router = router(Arc::clone(&state), server);
            let stopped = stop.clone().cancelled_owned();
            TaskTracker::new().spawn(async move {
                tokio::select! {
                    _ = axum::serve(listener, router) => {}
                    () = stopped => {}
                }
            });
        }
        Self {
            address,
            state,
            _running: stop.drop_guard(),
        }
    }

    /// The hub's address for clients that speak as Hugging Face's.
    pub fn hugging_face(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The hub's address, as Silica writes it, for clients that speak as `ModelScope`'s.
    pub fn model_scope(&self) -> String {
        format!("modelscope+http://{}", self.address)
    }

    /// Puts a file into a repository, in the place of one of that name.
    pub fn put(&self, repo: &str, path: &str, content: impl Into<Bytes>) {
        self.state.put(repo, path, content.into());
    }

    /// Puts the files of a folder into a repository, those of the folders in it included.
    ///
    /// # Panics
    /// When they cannot be read.
    pub fn put_folder(&self, repo: &str, folder: &Path) {
        self.put_below(repo, folder, "");
    }

    #[expect(clippy::expect_used, reason = "a test without its model has failed")]
    fn put_below(&self, repo: &str, folder: &Path, before: &str) {
        for entry in fs::read_dir(folder).expect("the folder is read") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
            let name = format!("{before}{name}");
            if path.is_dir() {
                self.put_below(repo, &path, &format!("{name}/"));
            } else {
                self.put(repo, &name, fs::read(&path).expect("the file is read"));
            }
        }
    }

    /// Opens a repository to this token only.
    pub fn gate(&self, repo: &str, token: &str) {
        self.state.gate(repo, token);
    }

    /// Lets something go wrong with a file of any repository, beside what goes wrong already.
    pub fn fault(&self, path: &str, fault: HubFault) {
        self.state.add_fault(path, fault);
    }

    /// Lets nothing go wrong any more.
    pub fn heal(&self) {
        self.state.heal();
    }

    /// Lets answers that are held, and those that would be, go on.
    pub fn release(&self) {
        self.state.released.cancel();
    }

    /// Lists this name too, in every repository.
    pub fn list_also(&self, name: &str) {
        self.state.list_also(name);
    }

    /// Redirects large files to this address instead.
    pub fn redirect_to(&self, address: &str) {
        self.state.redirect_to(address);
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<HubRequest> {
        self.state.log.all()
    }

    /// The requests so far for one file.
    pub fn requests_for(&self, path: &str) -> Vec<HubRequest> {
        let mut requests = self.requests();
        requests.retain(|request| request.path == path);
        requests
    }
}

fn router(state: Arc<State>, server: HubServer) -> Router {
    Router::new().fallback(move |request: axum::extract::Request| {
        let state = Arc::clone(&state);
        async move {
            match server {
                HubServer::Hub => answer::of_hub(&state, &request),
                HubServer::Store => answer::of_store(&state, &request),
            }
        }
    })
}
