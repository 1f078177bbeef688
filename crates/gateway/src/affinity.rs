//! Which replica a conversation belongs to, so that it finds the cache of its beginning there.
//!
//! Rendezvous hashing (Thaler and Ravishankar 1998) gives each conversation an order of the
//! replicas; a replica that goes moves only its own conversations, and nothing is remembered. The
//! load of each is bounded as in "Consistent hashing with bounded loads" (Mirrokni, Thorup,
//! Zadimoghaddam 2016): a beginning that everybody shares spills over to the next replica.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::time::Duration;

use silica_engine::{ChatRequest, Continuation, Message, Role};
use silica_platform::{Deployment, ReplicaSpec};

/// The most bytes of a beginning that are hashed.
const CHAT_BYTES: usize = 4096;
/// Of a text without messages, which may grow from call to call, this many.
const TEXT_BYTES: usize = 1024;

/// The hash of a conversation's beginning. The same in every process, so that several gateways
/// before the same replicas agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix(u64);

/// The hash of what a replica is, whatever its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(u64);

impl Prefix {
    /// Hashes the part of a chat that stays the same from turn to turn: all up to the first message
    /// of the user, or the beginning of the text that is continued. Whose chat it is makes no
    /// difference: who shares a system prompt shares its cache.
    pub(crate) fn of(request: &ChatRequest) -> Self {
        let mut hasher = DefaultHasher::new();
        match &request.continuation {
            Continuation::Text(text) | Continuation::FillInMiddle { prefix: text, .. } => {
                hasher.write(beginning(text, TEXT_BYTES));
            }
            Continuation::None | Continuation::Prefix(_) => hash_messages(&mut hasher, &request.messages),
        }
        Self(hasher.finish())
    }
}

fn hash_messages(hasher: &mut DefaultHasher, messages: &[Message]) {
    let mut left = CHAT_BYTES;
    for message in messages {
        let text = beginning(&message.content, left);
        hasher.write(message.role.as_str().as_bytes());
        hasher.write_usize(text.len());
        hasher.write(text);
        left -= text.len();
        if left == 0 || message.role == Role::User {
            break;
        }
    }
}

fn beginning(text: &str, bytes: usize) -> &[u8] {
    let bytes = text.len().min(bytes);
    &text.as_bytes()[..bytes]
}

impl Identity {
    /// Hashes what tells a replica from others of its deployment, where it is and what it runs, and
    /// of equal ones, how many are before it.
    pub(crate) fn within(deployment: &Deployment, position: usize, spec: &ReplicaSpec) -> Self {
        let place = |spec: &ReplicaSpec| {
            let mut hasher = DefaultHasher::new();
            (spec.engine.as_str(), &spec.path, &spec.url, &spec.upstream_model).hash(&mut hasher);
            // Only where there is one, so that the others stay what they are for older gateways.
            if let Some(adapter) = &spec.adapter {
                adapter.hash(&mut hasher);
            }
            hasher.finish()
        };
        let own = place(spec);
        let before = deployment.replicas.iter().take(position);
        let equal = before.filter(|other| place(other) == own).count();
        Self((0..equal).fold(own, |hash, _| mix(hash)))
    }

    /// `time`, give or take up to a tenth of it, another for each replica and round.
    pub(crate) fn spread(self, round: u64, time: Duration) -> Duration {
        let thousandths = u32::try_from(mix(self.0 ^ round) % 201).unwrap_or(100);
        time / 1000 * (900 + thousandths)
    }
}

/// How much a prefix belongs to a replica; the largest score wins. Replicas win as often as their
/// weights say.
pub(crate) fn score(prefix: Prefix, replica: Identity, weight: u64) -> f64 {
    let mixed = mix(prefix.0 ^ mix(replica.0));
    // 52 bits, moved by a half so that the number is neither 0 nor 1.
    #[expect(
        clippy::cast_precision_loss,
        reason = "52 bits fit, and weights need not be exact"
    )]
    let (uniform, weight) = (((mixed >> 12) as f64 + 0.5) / (1_u64 << 52) as f64, weight as f64);
    // Logarithmic method: the smallest of exponentials with these rates, turned round.
    -weight / uniform.ln()
}

/// The most calls that a replica may run when `running` run on all, whose weights add up to
/// `weights`: a quarter more than its share. One replica at least is below that.
pub(crate) fn bound(running: u64, weight: u64, weights: u64) -> u64 {
    let share = running.saturating_add(1).saturating_mul(weight);
    share.saturating_mul(5).div_ceil(weights.saturating_mul(4).max(1))
}

/// Steele, Lea and Flood's mixing function (`SplitMix64`).
const fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
