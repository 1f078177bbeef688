//! The rewrite rules of a normalizer: a trie over bytes (a double array, as darts-clone writes it) whose
//! values say where the replacements begin. The library that follows them believes them, so they are
//! checked here.

use crate::PiecesError;

/// The longest replacement of a letter, in bytes; those of NFKC have 33.
const MAX_REPLACEMENT: usize = 256;

/// Checks that no text can lead out of the trie or of the replacements.
///
/// # Errors
/// Says what is wrong.
pub(crate) fn check(charsmap: &[u8]) -> Result<(), PiecesError> {
    let invalid = |problem: &str| PiecesError::malformed("normalizer_spec.precompiled_charsmap", problem);
    let (size, rest) = charsmap
        .split_first_chunk::<4>()
        .ok_or_else(|| invalid("has no size of its trie"))?;
    let size = usize::try_from(u32::from_le_bytes(*size)).unwrap_or(usize::MAX);
    if size > rest.len() || size == 0 || !size.is_multiple_of(4) {
        return Err(invalid("has a trie of a size that cannot be"));
    }
    let (trie, replacements) = rest.split_at(size);
    let replacements =
        str::from_utf8(replacements).map_err(|_| invalid("has replacements that are not valid UTF-8"))?;
    let units: Vec<Unit> = trie
        .as_chunks()
        .0
        .iter()
        .map(|unit| Unit(u32::from_le_bytes(*unit)))
        .collect();
    if units.first().is_none_or(|root| root.is_value()) {
        return Err(invalid("has a trie without a root"));
    }
    for (place, unit) in units.iter().enumerate().filter(|(_, unit)| !unit.is_value()) {
        let base = place ^ unit.offset();
        // A step is to any of the 256 units that differ from the base in the lowest byte.
        if base | 0xff >= units.len() {
            return Err(invalid("has a trie that leads out of itself"));
        }
        if unit.has_leaf() && !is_replacement(replacements, units[base].value()) {
            return Err(invalid("has a trie that leads out of the replacements"));
        }
    }
    Ok(())
}

/// Whether a replacement of a sensible length begins there.
fn is_replacement(replacements: &str, start: usize) -> bool {
    let text = replacements.get(start..);
    text.is_some_and(|text| {
        text.bytes()
            .take(MAX_REPLACEMENT + 1)
            .take_while(|byte| *byte != 0)
            .count()
            <= MAX_REPLACEMENT
    })
}

/// A unit of the trie (`DoubleArrayUnit` in darts.h).
#[derive(Clone, Copy)]
struct Unit(u32);

impl Unit {
    /// Whether it is a value, and no node.
    fn is_value(self) -> bool {
        self.0 >> 31 == 1
    }

    fn has_leaf(self) -> bool {
        self.0 >> 8 & 1 == 1
    }

    fn value(self) -> usize {
        (self.0 & !(1 << 31)) as usize
    }

    fn offset(self) -> usize {
        (self.0 >> 10) as usize * if self.0 >> 9 & 1 == 1 { 256 } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trie of one key, `a`, whose replacement is `b`.
    fn map() -> Vec<u8> {
        let mut units = vec![0_u32; 256];
        // From the root to the units around 128, where `a` has its leaf.
        units[0] = 128 << 10;
        let place = 128 ^ usize::from(b'a');
        units[place] = u32::from(b'a') | 1 << 8 | 1 << 10;
        units[place ^ 1] = 1 << 31 | 2;
        with(&units, b"x\0b\0")
    }

    fn with(units: &[u32], replacements: &[u8]) -> Vec<u8> {
        let size = u32::try_from(units.len() * 4).unwrap();
        let words = [size].into_iter().chain(units.iter().copied());
        words
            .flat_map(u32::to_le_bytes)
            .chain(replacements.iter().copied())
            .collect()
    }

    #[test]
    fn a_whole_map_passes() {
        check(&map()).unwrap();
    }

    #[test]
    fn what_leads_astray_is_refused() {
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut map = map();
            change(&mut map);
            check(&map).unwrap_err().to_string()
        };
        let unit = |map: &mut Vec<u8>, place: usize, value: u32| {
            map[4 + place * 4..][..4].copy_from_slice(&value.to_le_bytes());
        };
        let leaf = 128 ^ usize::from(b'a') ^ 1;
        for (refused, told) in [
            (changed(&|map| map.truncate(3)), "no size"),
            (
                changed(&|map| map[..4].copy_from_slice(&u32::MAX.to_le_bytes())),
                "cannot be",
            ),
            (changed(&|map| map[..4].fill(0)), "cannot be"),
            (changed(&|map| map[0] = 1), "cannot be"),
            (changed(&|map| map.truncate(1000)), "cannot be"),
            (changed(&|map| *map.last_mut().unwrap() = 0xff), "UTF-8"),
            (changed(&|map| unit(map, 0, 256 << 10)), "out of itself"),
            (changed(&|map| unit(map, 0, u32::MAX >> 1)), "out of itself"),
            (
                changed(&|map| unit(map, leaf, 1 << 31 | 5)),
                "out of the replacements",
            ),
            (
                changed(&|map| unit(map, leaf, u32::MAX)),
                "out of the replacements",
            ),
            (
                changed(&|map| {
                    let end = map.len() - 1;
                    map.splice(end.., [b'y'; 300]);
                }),
                "out of the replacements",
            ),
        ] {
            assert!(refused.contains(told), "{refused} lacks {told}");
        }
    }
}
