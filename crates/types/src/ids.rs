//! Time-ordered ids (UUID version 7, RFC 9562), one newtype per thing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::{NoContext, Uuid};

use crate::Clock;

/// Makes a time-ordered UUID (version 7) at the clock's time.
pub fn new_uuid(clock: &dyn Clock) -> Uuid {
    let now = clock.now();
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    let nanoseconds = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanoseconds))
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a new id, ordered by the clock's time.
            pub fn new(clock: &dyn Clock) -> Self {
                Self(new_uuid(clock))
            }

            /// Wraps an id that already exists, for example one read from storage.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Returns the id as a UUID.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            /// Prints 32 lower-case hexadecimal digits without dashes (contract section 1.1).
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.simple().fmt(formatter)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            /// Parses the id with or without dashes.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

id_type! {
    /// The id of an account: the subject that limits, balances and bills belong to.
    AccountId
}
id_type! {
    /// The public id of an API key; the secret itself is stored only as a hash.
    ApiKeyId
}
impl ApiKeyId {
    /// Stands for the console's playground, which calls without a key (contract platform.md 2.4);
    /// bills show it as `playground`.
    pub const PLAYGROUND: Self = Self(Uuid::nil());
}
id_type! {
    /// The id of one bucket of an account's money: a voucher, the gift or the charge balance.
    BucketId
}
id_type! {
    /// The id of one credit: money that an operator put into a bucket.
    CreditId
}
id_type! {
    /// The id of one level package that an account bought.
    LevelPackageId
}
id_type! {
    /// The id of one inference call; on the wire the `id` of the completion, and the id of the event that settles it.
    RequestId
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ManualClock, SystemClock};

    #[test]
    fn ids_print_as_32_hex_digits_and_parse_back() {
        let id = RequestId::new(&SystemClock);
        let text = id.to_string();
        assert_eq!(text.len(), 32);
        assert!(
            text.chars()
                .all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
        );
        assert_eq!(text.parse::<RequestId>().unwrap(), id);
    }

    #[test]
    fn later_ids_sort_after_earlier_ones() {
        let clock = ManualClock::new("2025-02-13T21:22:26Z".parse().unwrap());
        let earlier = AccountId::new(&clock);
        clock.advance(jiff::SignedDuration::from_millis(1));
        assert!(earlier < AccountId::new(&clock));
    }
}
