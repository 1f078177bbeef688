//! The choice among the replicas that may be taken. Runs for every call, so it counts and compares
//! where it could sort and collect.

use std::sync::atomic::Ordering;

use silica_platform::RoutingPolicy;

use crate::affinity::{Prefix, bound, score};
use crate::positions::Positions;
use crate::replica::{Loaded, Replica};

impl Loaded {
    /// One of the candidates, of which there is at least one, by the deployment's policy.
    pub(crate) fn choose(&self, candidates: &Positions, prefix: Option<Prefix>) -> usize {
        let chosen = match (self.deployment.policy, prefix) {
            (RoutingPolicy::LeastBusy, _) | (RoutingPolicy::PrefixAffinity, None) => {
                self.least_busy(candidates)
            }
            (RoutingPolicy::PrefixAffinity, Some(prefix)) => self.nearest(candidates, prefix),
            (RoutingPolicy::RoundRobin, _) => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                candidates.iter().nth(turn % candidates.len().max(1))
            }
            (RoutingPolicy::Weighted, _) => self.by_share(candidates),
        };
        // Each of them chooses one of at least one.
        chosen.unwrap_or_default()
    }

    fn among(&self, candidates: &Positions) -> impl Iterator<Item = (usize, &Replica)> {
        candidates
            .iter()
            .filter_map(|position| Some((position, self.replicas.get(position)?.as_ref())))
    }

    /// The replica with the fewest running calls for its weight, this call counted; of equal ones,
    /// the operator's first.
    fn least_busy(&self, candidates: &Positions) -> Option<usize> {
        let mut replicas = self
            .among(candidates)
            .map(|(position, replica)| (position, replica.running().saturating_add(1), replica.weight));
        let first = replicas.next()?;
        let least = replicas.fold(first, |least, other| {
            // Calls by weight, compared without division.
            let is_less = other.1.saturating_mul(least.2) < least.1.saturating_mul(other.2);
            if is_less { other } else { least }
        });
        Some(least.0)
    }

    /// The replica that the conversation belongs to most of those that run no more than a quarter
    /// above their share.
    fn nearest(&self, candidates: &Positions, prefix: Prefix) -> Option<usize> {
        let (running, weights) = self
            .among(candidates)
            .fold((0_u64, 0_u64), |(running, weights), (_, replica)| {
                (running + replica.running(), weights + replica.weight)
            });
        let within = |replica: &Replica| replica.running() < bound(running, replica.weight, weights);
        let nearest = self
            .among(candidates)
            .filter(|(_, replica)| within(replica))
            .map(|(position, replica)| (score(prefix, replica.identity, replica.weight), position))
            // Of equal scores the first, as everywhere.
            .reduce(|best, other| if other.0 > best.0 { other } else { best });
        // Calls that come and go while this counts may leave none within its bound.
        nearest.map_or_else(|| self.least_busy(candidates), |(_, position)| Some(position))
    }

    /// In turn, each as often as its weight: of a sum of weights 2 + 1 the first takes two calls of
    /// three, whatever runs.
    fn by_share(&self, candidates: &Positions) -> Option<usize> {
        let weights: u64 = self.among(candidates).map(|(_, replica)| replica.weight).sum();
        let turn = u64::try_from(self.turn.fetch_add(1, Ordering::Relaxed)).unwrap_or(u64::MAX);
        let mut rest = turn % weights.max(1);
        let chosen = self.among(candidates).find(|(_, replica)| {
            let is_its_turn = rest < replica.weight;
            rest = rest.saturating_sub(replica.weight);
            is_its_turn
        });
        chosen.map(|(position, _)| position)
    }
}
