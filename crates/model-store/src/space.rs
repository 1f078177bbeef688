//! Room on the disk, and how sizes are told to people.

use std::io;
use std::path::Path;

use crate::StoreError;

/// What stays free beside a model, in bytes: the journal and the database live on the same disk.
const RESERVE: u64 = 64 << 20;

/// Refuses what the disk of `folder` has no room for.
pub(crate) fn check(folder: &Path, needed: u64) -> Result<(), StoreError> {
    let free = free(folder).map_err(|source| StoreError::read(folder, source))?;
    if needed == 0 || needed.saturating_add(RESERVE) <= free {
        return Ok(());
    }
    Err(StoreError::NoRoom {
        needed,
        free,
        folder: folder.to_owned(),
    })
}

fn free(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// A size in the largest unit of 1024 that leaves a whole number before the point: `1.4 GiB`.
pub(crate) fn told(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    match UNITS.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_units() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (9_421_984, "8.9 MiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(told(bytes), text);
        }
    }

    #[test]
    fn more_than_the_disk_has_is_refused_and_nothing_always_fits() {
        let folder = tempfile::tempdir().unwrap();
        check(folder.path(), 0).unwrap();
        let refused = check(folder.path(), u64::MAX).unwrap_err();
        assert!(matches!(refused, StoreError::NoRoom { .. }), "{refused}");
    }
}
