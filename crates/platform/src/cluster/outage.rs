//! Without Redis: what a node does alone.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use silica_billing::{LimitSet, Metric, Scope};
use silica_types::{AccountId, Money};

/// What a node does while Redis is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutagePolicy {
    /// It refuses calls (503).
    Refuse,
    /// It goes on: every account may spend so much on this node until Redis is back, and limits are divided
    /// by the number of nodes that were last alive.
    Allow {
        /// In nano-CNY; zero allows free models only.
        allowance: Money,
    },
}

/// What was spent alone.
pub(crate) struct Outage {
    policy: OutagePolicy,
    nodes: AtomicU64,
    spent: Arc<Mutex<Spent>>,
}

/// What accounts have spent in one outage.
#[derive(Debug, Default)]
struct Spent {
    /// The number of the outage.
    period: u64,
    accounts: HashMap<AccountId, Money>,
}

/// A part of an account's allowance. Dropped, it is given back.
#[derive(Debug)]
pub(crate) struct AllowanceHold {
    spent: Arc<Mutex<Spent>>,
    period: u64,
    account: AccountId,
    amount: Money,
}

impl Outage {
    pub(super) fn new(policy: OutagePolicy) -> Self {
        Self {
            policy,
            nodes: AtomicU64::new(1),
            spent: Arc::default(),
        }
    }

    /// Whether calls run at all.
    pub(crate) fn refuses(&self) -> bool {
        self.policy == OutagePolicy::Refuse
    }

    /// Notes how many processes count together.
    pub(super) fn set_nodes(&self, nodes: u64) {
        self.nodes.store(nodes.max(1), Ordering::Relaxed);
    }

    /// Begins anew: Redis is back.
    pub(super) fn end(&self) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.period += 1;
        spent.accounts.clear();
    }

    /// This node's share of limits: at least one of everything that is not forbidden.
    pub(crate) fn share(&self, scopes: &[Scope]) -> Vec<Scope> {
        let nodes = self.nodes.load(Ordering::Relaxed);
        let share = |limits: &LimitSet| {
            Metric::ALL.iter().fold(*limits, |limits, metric| {
                let limit = limits.get(*metric);
                limits.with(*metric, limit.map(|limit| (limit / nodes).max(limit.min(1))))
            })
        };
        let shared = scopes.iter().map(|scope| Scope {
            subject: scope.subject.clone(),
            limits: share(&scope.limits),
        });
        shared.collect()
    }

    /// Holds a part of the account's allowance; `None` when there is not enough left of it.
    pub(crate) fn hold(&self, account: AccountId, amount: Money) -> Option<AllowanceHold> {
        let OutagePolicy::Allow { allowance } = self.policy else {
            return None;
        };
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let known = spent.accounts.get(&account).copied().unwrap_or_default();
        let wanted = known.saturating_add(amount);
        if !amount.is_zero() {
            if wanted > allowance {
                return None;
            }
            spent.accounts.insert(account, wanted);
        }
        Some(AllowanceHold {
            spent: Arc::clone(&self.spent),
            period: spent.period,
            account,
            amount,
        })
    }
}

impl AllowanceHold {
    /// Keeps what was paid and gives the rest back.
    pub(crate) fn settle(mut self, paid: Money) {
        let rest = self.amount.saturating_sub(paid);
        self.amount = rest.max(Money::ZERO);
    }
}

impl Drop for AllowanceHold {
    fn drop(&mut self) {
        if self.amount.is_zero() {
            return;
        }
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        // Redis may have come back meanwhile, and gone again.
        let is_its = spent.period == self.period;
        if let Some(known) = spent.accounts.get_mut(&self.account).filter(|_| is_its) {
            *known = known.saturating_sub(self.amount).max(Money::ZERO);
        }
    }
}

impl fmt::Debug for Outage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Outage")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use silica_billing::Subject;
    use silica_types::SystemClock;

    use super::*;

    fn allowing(nano: i64) -> Outage {
        Outage::new(OutagePolicy::Allow {
            allowance: Money::from_nano(nano),
        })
    }

    #[test]
    fn an_allowance_is_for_each_account_and_comes_back_when_it_is_not_spent() {
        let outage = allowing(10);
        let (one, other) = (AccountId::new(&SystemClock), AccountId::new(&SystemClock));
        let held = outage.hold(one, Money::from_nano(8)).unwrap();
        assert!(outage.hold(one, Money::from_nano(3)).is_none());
        assert!(outage.hold(other, Money::from_nano(10)).is_some());
        held.settle(Money::from_nano(5));
        assert!(outage.hold(one, Money::from_nano(6)).is_none());
        drop(outage.hold(one, Money::from_nano(5)).unwrap());
        assert!(outage.hold(one, Money::from_nano(5)).is_some());
        outage.end();
        assert!(outage.hold(one, Money::from_nano(10)).is_some());
    }

    #[test]
    fn free_calls_need_no_allowance_and_a_node_that_refuses_has_none() {
        let account = AccountId::new(&SystemClock);
        assert!(allowing(0).hold(account, Money::ZERO).is_some());
        assert!(allowing(0).hold(account, Money::from_nano(1)).is_none());
        let refusing = Outage::new(OutagePolicy::Refuse);
        assert!(refusing.refuses() && refusing.hold(account, Money::ZERO).is_none());
    }

    #[test]
    fn limits_are_divided_and_leave_at_least_one_of_what_is_allowed() {
        let outage = allowing(0);
        outage.set_nodes(3);
        let limits = LimitSet::NONE
            .with(Metric::Rpm, Some(10))
            .with(Metric::Tpm, Some(2))
            .with(Metric::Ipd, Some(0));
        let scope = Scope {
            subject: Subject::Key(silica_types::ApiKeyId::PLAYGROUND),
            limits,
        };
        let expected = LimitSet::NONE
            .with(Metric::Rpm, Some(3))
            .with(Metric::Tpm, Some(1))
            .with(Metric::Ipd, Some(0));
        assert_eq!(outage.share(&[scope])[0].limits, expected);
    }
}
