//! Looking again: an unknown key may be one that another process made a moment ago.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

/// The least time between two looks: guessed keys ask the database twenty times a second at most,
/// however many there are.
const PAUSE: Duration = Duration::from_millis(50);
/// The pause after a look that failed or took too long.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How long an unknown key waits for its answer at most.
const PATIENCE: Duration = Duration::from_millis(500);

/// Lets many callers share few looks at the database.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    /// Looks begun so far; the number of the last one.
    begun: AtomicU64,
    turn: Mutex<Turn>,
}

#[derive(Debug, Default)]
struct Turn {
    /// The number of the last look that ended well.
    ended: u64,
    /// When the next look may begin.
    next: Option<Instant>,
}

impl Lookups {
    /// Runs `look`, or waits for one that begins after this call and belongs to another caller.
    /// Says whether one ended well; not so when looks failed a moment ago or take too long.
    ///
    /// Cancel-safe: a look that is dropped counts as failed.
    pub(crate) async fn look<E>(&self, look: impl AsyncFnOnce() -> Result<(), E>) -> bool {
        timeout(PATIENCE, self.look_in_turn(look)).await.unwrap_or(false)
    }

    async fn look_in_turn<E>(&self, look: impl AsyncFnOnce() -> Result<(), E>) -> bool {
        let asked = self.begun.load(Ordering::Acquire);
        let mut turn = self.turn.lock().await;
        if turn.ended > asked {
            return true;
        }
        if let Some(next) = turn.next {
            // After a failure nobody waits for the next look.
            if next > Instant::now() + PAUSE {
                return false;
            }
            sleep_until(next).await;
        }
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        // Holds unless the look ends well: it may be dropped at any point.
        turn.next = Some(Instant::now() + PAUSE_AFTER_FAILURE);
        let done = look().await.is_ok();
        if done {
            turn.ended = number;
            turn.next = Some(Instant::now() + PAUSE);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;
    use std::sync::atomic::AtomicU32;

    use futures::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_callers_share_few_looks() {
        let (lookups, looks) = (Lookups::default(), AtomicU32::new(0));
        let count = async || {
            looks.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok::<_, Infallible>(())
        };
        let callers = (0..1000).map(|_| lookups.look(&count));
        assert!(join_all(callers).await.iter().all(|done| *done));
        // The first look, and one for those who asked after it had begun.
        assert!(looks.load(Ordering::Relaxed) <= 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_caller_after_the_other_gets_twenty_looks_a_second_at_most() {
        let (lookups, looks) = (Lookups::default(), AtomicU32::new(0));
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(2) {
            let look = async || {
                looks.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(())
            };
            assert!(lookups.look(look).await);
        }
        assert!((38..=42).contains(&looks.load(Ordering::Relaxed)), "{looks:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_hangs_delays_one_caller_a_little_and_the_others_not_at_all() {
        let lookups = Lookups::default();
        let begin = Instant::now();
        assert!(
            !lookups
                .look(async || pending::<Result<(), Infallible>>().await)
                .await
        );
        assert_eq!(begin.elapsed(), PATIENCE);
        for _ in 0..100 {
            assert!(!lookups.look(async || Ok::<_, Infallible>(())).await);
        }
        assert_eq!(begin.elapsed(), PATIENCE);
        tokio::time::advance(PAUSE_AFTER_FAILURE).await;
        assert!(lookups.look(async || Ok::<_, Infallible>(())).await);
    }
}
