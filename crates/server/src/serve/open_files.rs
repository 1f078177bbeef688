//! How many connections the system lets this process hold.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that connections may not take: database, models, log, and what libraries open.
const RESERVE: u64 = 128;
/// The operator's listener gets one place in this many, so that busy clients never lock it out.
const ADMIN_PART: u64 = 16;

/// The most connections open at once on each listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connections {
    pub(super) public: u32,
    pub(super) admin: u32,
}

/// Lets the process open as many files as the system allows it, and returns the places for
/// connections: `wanted` for each listener, or fewer when the system allows less.
pub(super) fn connections(wanted: u32) -> Connections {
    let files = raise();
    let connections = share(wanted, files);
    if connections.public < wanted {
        tracing::warn!(
            max_connections = wanted,
            open_files = files,
            "the limit on open files (RLIMIT_NOFILE) allows {} connections, not the {wanted} of server.max_connections",
            connections.public
        );
    }
    connections
}

/// Raises the soft limit on open files to the hard one; `None` means that there is no limit.
fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit on open files");
            limit.current
        }
    }
}

fn share(wanted: u32, files: Option<u64>) -> Connections {
    let Some(files) = files else {
        return Connections {
            public: wanted,
            admin: wanted,
        };
    };
    let places = files.saturating_sub(RESERVE);
    let at_most = |places: u64| u32::try_from(places).unwrap_or(u32::MAX).clamp(1, wanted);
    let admin = at_most(places / ADMIN_PART);
    Connections {
        public: at_most(places.saturating_sub(admin.into())),
        admin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_files_give_everyone_what_was_asked_for() {
        let all = Connections {
            public: 8192,
            admin: 8192,
        };
        assert_eq!(share(8192, None), all);
        assert_eq!(share(8192, Some(1 << 20)), all);
    }

    #[test]
    fn few_files_leave_a_reserve_and_a_share_for_the_operator() {
        assert_eq!(
            share(8192, Some(1024)),
            Connections {
                public: 840,
                admin: 56
            }
        );
        assert_eq!(
            share(10, Some(1024)),
            Connections {
                public: 10,
                admin: 10
            }
        );
        assert_eq!(share(8192, Some(64)), Connections { public: 1, admin: 1 });
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(raise(), limit.maximum);
        assert_eq!(getrlimit(Resource::Nofile).current, limit.maximum);
    }
}
