//! Fields of a PATCH, where absent and `null` differ.

use serde::{Deserialize, Deserializer};

/// Reads a field that is given: `null` becomes `Some(None)`. With `default`, an absent one stays `None`.
#[expect(
    clippy::option_option,
    reason = "absent and null mean different things in a PATCH"
)]
pub(crate) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
