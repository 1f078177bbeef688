//! Whether the node is a member, and what it has to tell.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use silica_billing::Bucket;
use silica_cluster::Member;
use silica_types::BucketId;

use super::{KeyTab, Told};

/// The state, behind one lock: whoever writes down a claim must see the node's own books and what was told
/// fit together. It is held for a few additions.
#[derive(Debug, Default)]
pub(super) struct State(Mutex<Standing>);

/// Where the node stands.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) stage: Stage,
    /// Grows with each claim: what began before the last one is claimed.
    pub(super) generation: u64,
    /// Spending of keys with caps.
    pub(super) keys: KeyTab,
    /// Buckets that have changed since balances were last installed, outside of a membership.
    changed: HashMap<BucketId, Bucket>,
}

/// The way into an epoch.
#[derive(Debug, Default)]
pub(super) enum Stage {
    /// Not in one. What ends is in the node's own books alone.
    #[default]
    Away,
    /// A claim is written down; what ends is told when it is taken.
    Joining(Vec<Told>),
    /// In one.
    Ready(Arc<Member>),
}

impl State {
    pub(super) fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn member(&self) -> Option<Arc<Member>> {
        match &self.lock().stage {
            Stage::Ready(member) => Some(Arc::clone(member)),
            Stage::Away | Stage::Joining(_) => None,
        }
    }

    /// Ends the membership; `false` when another has begun or none is left.
    pub(super) fn leave(&self, member: &Member) -> bool {
        let mut state = self.lock();
        let is_it = matches!(&state.stage, Stage::Ready(current) if current.id() == member.id());
        if is_it {
            state.stage = Stage::Away;
            state.changed.clear();
        }
        is_it
    }
}

impl Standing {
    /// Begins to note what changes; what is read from the database after this is as new.
    pub(super) fn begin_noting(&mut self) {
        self.stage = Stage::Away;
        self.changed.clear();
    }

    pub(super) fn note_changed(&mut self, buckets: &[Bucket]) {
        if matches!(self.stage, Stage::Away) {
            for bucket in buckets {
                let known = self.changed.entry(bucket.id).or_insert_with(|| bucket.clone());
                if known.version <= bucket.version {
                    *known = bucket.clone();
                }
            }
        }
    }

    pub(super) fn take_changed(&mut self) -> Vec<Bucket> {
        std::mem::take(&mut self.changed).into_values().collect()
    }
}
