//! Active health checks: each engine elsewhere is asked from time to time whether it is there.

use std::sync::Arc;
use std::time::Duration;

use silica_engine::{EngineError, HealthProbe};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::affinity::Identity;
use crate::condition::Condition;
use crate::{Health, error_chain};

/// How replicas are asked for their health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthOptions {
    /// The time from one question to the next, give or take a tenth, so that many replicas are not
    /// asked at once. Not zero.
    pub interval: Duration,
    /// The longest wait for an answer.
    pub timeout: Duration,
    /// After this many failures in a row no call goes there while there are others. At least 1; at
    /// the start one failure is enough.
    pub unhealthy_after: u32,
    /// After this many answers in a row calls go there again. At least 1.
    pub healthy_after: u32,
}

impl Default for HealthOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            unhealthy_after: 2,
            healthy_after: 1,
        }
    }
}

/// Asks engines; its tasks end with [`Checks::close`].
pub(crate) struct Checks {
    options: HealthOptions,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// One engine's task asks as long as this lives.
pub(crate) struct Asking(#[expect(dead_code, reason = "its end is its use")] DropGuard);

/// Whom a check asks, and who is told.
pub(crate) struct Patient {
    pub(crate) deployment: String,
    pub(crate) position: usize,
    pub(crate) identity: Identity,
    pub(crate) probe: Arc<dyn HealthProbe>,
    pub(crate) condition: Arc<Condition>,
}

impl Checks {
    pub(crate) fn new(options: HealthOptions) -> Self {
        Self {
            options,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Begins to ask an engine, at once for the first time; does not wait for the answer.
    pub(crate) fn begin(&self, patient: Patient) -> Asking {
        let stop = self.stop.child_token();
        let options = self.options;
        self.tasks
            .spawn(stop.clone().run_until_cancelled_owned(async move {
                ask(&patient, options).await;
            }));
        Asking(stop.drop_guard())
    }

    /// Ends all checks and waits for that.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Asks for ever.
async fn ask(patient: &Patient, options: HealthOptions) {
    let mut verdict = Verdict::default();
    for round in 0_u64.. {
        let answer = match timeout(options.timeout, patient.probe.probe(options.timeout)).await {
            Ok(answer) => answer,
            Err(_) => Err(EngineError::Unavailable),
        };
        let health = verdict.after(answer.is_ok(), options);
        if patient.condition.set_health(health) {
            report(patient, health, answer.err());
        }
        sleep(patient.identity.spread(round, options.interval)).await;
    }
}

/// The answers so far, as far as they count.
#[derive(Debug, Default)]
struct Verdict {
    health: Health,
    /// How many answers in a row speak against `health`.
    against: u32,
}

impl Verdict {
    /// What is to be thought of the engine after one more answer.
    fn after(&mut self, is_good: bool, options: HealthOptions) -> Health {
        let (other, needed) = match (self.health, is_good) {
            (Health::Unknown, true) => (Health::Healthy, 1),
            (Health::Unknown, false) => (Health::Unhealthy, 1),
            (Health::Healthy, false) => (Health::Unhealthy, options.unhealthy_after),
            (Health::Unhealthy, true) => (Health::Healthy, options.healthy_after),
            (Health::Healthy, true) | (Health::Unhealthy, false) => {
                self.against = 0;
                return self.health;
            }
        };
        self.against += 1;
        if self.against >= needed {
            *self = Self {
                health: other,
                against: 0,
            };
        }
        self.health
    }
}

fn report(patient: &Patient, health: Health, error: Option<EngineError>) {
    let Patient {
        deployment, position, ..
    } = patient;
    if let (Health::Unhealthy, Some(error)) = (health, error) {
        tracing::warn!(
            deployment.name = %deployment,
            replica = position,
            error = %error_chain(&error),
            "replica {position} of {deployment} does not answer; calls go to others while there are any"
        );
    } else {
        tracing::info!(
            deployment.name = %deployment,
            replica = position,
            "replica {position} of {deployment} answers"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_is_enough_at_the_start_and_two_later() {
        let (mut verdict, options) = (Verdict::default(), HealthOptions::default());
        let mut play = |answers: &[bool]| answers.iter().map(|good| verdict.after(*good, options)).last();
        assert_eq!(play(&[false]), Some(Health::Unhealthy));
        assert_eq!(play(&[true]), Some(Health::Healthy));
        assert_eq!(play(&[false]), Some(Health::Healthy));
        assert_eq!(play(&[true, false]), Some(Health::Healthy), "not in a row");
        assert_eq!(play(&[false]), Some(Health::Unhealthy));
    }
}
