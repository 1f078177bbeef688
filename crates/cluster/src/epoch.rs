//! Epochs: one life of what is counted.

use std::time::Duration;

use fred::interfaces::KeysInterface as _;
use fred::types::Value;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use rand::RngExt as _;

use crate::script::Script;
use crate::{ClusterError, Link};

/// How long a proposed epoch lasts when nobody that prepares it asks for it any more.
const PROPOSAL_LIFE: Duration = Duration::from_mins(1);
/// Keys that are deleted at once.
const SWEEP: u32 = 500;

/// An epoch of one Redis process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// The server's run id and the epoch's own id, as the opening key has them.
    pub(crate) value: String,
    /// What all its keys begin with.
    pub(crate) prefix: String,
}

impl Link {
    fn epoch_of(&self, value: &str) -> Option<Epoch> {
        let (run, id) = value.split_once(' ')?;
        // Old data of an earlier life counts for nothing.
        (run == self.run()).then(|| Epoch {
            prefix: self.names().prefix(id),
            value: value.to_owned(),
        })
    }

    /// The epoch that is open on this server, if one is.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn open_epoch(&self) -> Result<Option<Epoch>, ClusterError> {
        let value = self.get(self.names().opening()).await?;
        Ok(value.and_then(|value| self.epoch_of(&value)))
    }

    /// The epoch that is being prepared on this server; begins one when there is none. Whoever prepares it asks
    /// again and again, which keeps it.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn propose_epoch(&self) -> Result<Epoch, ClusterError> {
        let id: u64 = rand::rng().random();
        let proposed = format!("{} {id:016x}", self.run());
        let arguments = vec![
            self.run().to_owned(),
            proposed,
            PROPOSAL_LIFE.as_millis().to_string(),
        ];
        let keys = vec![self.names().proposal()];
        let answer = self.call(Script::Propose, keys, arguments).await?;
        let epoch = answer.into_string().and_then(|value| self.epoch_of(&value));
        epoch.ok_or(ClusterError::Answer {
            action: Script::Propose.action(),
        })
    }

    /// Opens an epoch that is prepared; `false` when another was opened or is being prepared.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn open(&self, epoch: &Epoch) -> Result<bool, ClusterError> {
        let keys = vec![self.names().opening(), self.names().proposal()];
        let answer = self.call(Script::Open, keys, vec![epoch.value.clone()]).await?;
        Ok(answer == Value::Integer(1))
    }

    /// Deletes what earlier epochs have left.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn sweep(&self, kept: &Epoch) -> Result<(), ClusterError> {
        let standing = [self.names().opening(), self.names().proposal()];
        let mut found = Vec::new();
        let scan = self
            .client()
            .scan_buffered(self.names().all_epochs(), Some(SWEEP), None);
        let mut scan = scan.boxed();
        while let Some(key) = scan.try_next().await.map_err(ClusterError::command("a sweep"))? {
            let name = key.as_str_lossy().into_owned();
            if !name.starts_with(&kept.prefix) && !standing.contains(&name) {
                found.push(name);
            }
        }
        for names in found.chunks(SWEEP as usize) {
            let deleted = self.client().unlink::<i64, _>(names.to_vec()).boxed().await;
            deleted.map_err(ClusterError::command("a sweep"))?;
        }
        Ok(())
    }
}
