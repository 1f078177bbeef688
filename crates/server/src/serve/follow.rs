//! Keeps the engines in step with the catalogue.

use std::time::Duration;

use silica_gateway::{DeployError, Gateway};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Pause before a deployment that could not be loaded is tried again; doubled each time,
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// up to this.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Loads and drops engines as the catalogue changes, also when another process changed it. What
/// cannot be loaded is tried again, since files may arrive later than the change that names them.
/// `behind` says that something could not be loaded before.
pub(super) async fn follow(
    gateway: Gateway,
    changes: watch::Receiver<u64>,
    behind: bool,
    shutdown: CancellationToken,
) {
    let reconcile = || {
        let gateway = gateway.clone();
        async move { gateway.reconcile().await }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = keep(reconcile, changes, behind) => {}
    }
}

/// Calls `reconcile` after each change, and again with growing pauses while it fails. Ends when
/// there can be no more changes.
async fn keep<F>(mut reconcile: impl FnMut() -> F, mut changes: watch::Receiver<u64>, behind: bool)
where
    F: Future<Output = Result<(), DeployError>>,
{
    let mut pause = behind.then_some(FIRST_PAUSE);
    loop {
        let again = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        let changed = tokio::select! {
            changed = changes.changed() => match changed {
                Ok(()) => true,
                Err(_) => return,
            },
            () = again => false,
        };
        pause = match reconcile().await {
            Ok(()) => {
                if pause.is_some() {
                    tracing::info!("every deployment is in force again");
                }
                None
            }
            Err(error) => {
                let next = match pause {
                    Some(pause) if !changed => (pause * 2).min(LONGEST_PAUSE),
                    Some(_) | None => FIRST_PAUSE,
                };
                tracing::error!(
                    retry_ms = next.as_millis(),
                    "a deployment is not in force: {:#}",
                    anyhow::Error::from(error)
                );
                Some(next)
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use silica_gateway::LoadError;
    use silica_platform::EngineKind;
    use tokio::time::Instant;

    use super::*;

    fn failure() -> DeployError {
        DeployError {
            deployment: "broken".to_owned(),
            replica: 0,
            source: LoadError::PathMissing(EngineKind::Candle),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_tried_again_with_growing_pauses_until_it_works() {
        let (changes, receiver) = watch::channel(0);
        let begin = Instant::now();
        let mut tries = Vec::new();
        let reconcile = || {
            tries.push(begin.elapsed().as_secs());
            ready(if tries.len() < 5 { Err(failure()) } else { Ok(()) })
        };
        changes.send_replace(1);
        let kept = tokio::time::timeout(Duration::from_hours(1), keep(reconcile, receiver, false)).await;
        assert!(kept.is_err(), "it goes on");
        assert_eq!(tries, [0, 1, 3, 7, 15]);
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_have_a_limit_and_a_change_is_tried_at_once() {
        let (changes, receiver) = watch::channel(0);
        let begin = Instant::now();
        let mut tries = Vec::new();
        let reconcile = || {
            tries.push(begin.elapsed().as_secs());
            ready(Err(failure()))
        };
        let operator = async {
            tokio::time::sleep(Duration::from_secs(1000)).await;
            changes.send_replace(1);
            tokio::time::sleep(Duration::from_secs(2)).await;
            drop(changes);
        };
        tokio::join!(keep(reconcile, receiver, true), operator);
        assert_eq!(tries, [1, 3, 7, 15, 31, 63, 127, 255, 511, 811, 1000, 1001]);
    }
}
