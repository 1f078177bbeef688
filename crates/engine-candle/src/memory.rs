//! How much memory there is, and memory that may be refused.

use std::alloc::{Layout, alloc_zeroed};
use std::fs;
use std::ptr::slice_from_raw_parts_mut;

/// The system does not give this much memory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemoryError {
    /// It was asked, and refused.
    #[error("the system does not give {bytes} bytes")]
    Refused {
        /// Bytes that were asked for.
        bytes: u64,
    },
    /// It has less. It would promise it nevertheless, and end the process when it is used.
    #[error("there are {memory} bytes of memory")]
    Beyond {
        /// Bytes that this process may have at most.
        memory: u64,
    },
}

/// Makes zeroed values without writing to the memory, so the system hands it out when it is used.
///
/// # Errors
/// When the system refuses; a `Vec`'s own ways would end the process then.
pub(crate) fn zeroed(count: usize) -> Result<Vec<f32>, MemoryError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let refused = || MemoryError::Refused {
        bytes: (count as u64).saturating_mul(size_of::<f32>() as u64),
    };
    let layout = Layout::array::<f32>(count).map_err(|_| refused())?;
    // SAFETY: the layout has a size. The global allocator made the pointer with the layout of a
    // slice of this length, and zeroed bytes are values of f32.
    #[expect(unsafe_code, reason = "no safe way is zeroed lazily and can be refused")]
    #[expect(clippy::cast_ptr_alignment, reason = "the layout has the alignment of f32")]
    unsafe {
        let start = alloc_zeroed(layout).cast::<f32>();
        if start.is_null() {
            return Err(refused());
        }
        Ok(Box::from_raw(slice_from_raw_parts_mut(start, count)).into_vec())
    }
}

/// Values to be overwritten. They are not zeros: an allocator gives pages back to the system to have them
/// cleared when zeros are asked for, and every page is then a fault anew.
pub(crate) fn to_be_overwritten(count: usize) -> Vec<f32> {
    vec![-0.0; count]
}

/// Checks that this process can have so many bytes of the machine's memory at all. Where the
/// system does not tell, that is assumed.
///
/// # Errors
/// When it cannot.
pub(crate) fn check(bytes: u64) -> Result<(), MemoryError> {
    match limit() {
        Some(memory) if memory < bytes => Err(MemoryError::Beyond { memory }),
        _ => Ok(()),
    }
}

/// The least of what the machine has and what a container may take, in bytes.
fn limit() -> Option<u64> {
    let read = |path| fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| total(&text));
    // A container sees its own group as the root, in version 2 and 1.
    let groups = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    // Without a limit the file says `max`.
    let groups = groups.map(|path| read(path).and_then(|text| text.trim().parse::<u64>().ok()));
    groups.into_iter().chain([machine]).flatten().min()
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_no_system_gives_is_refused() {
        for count in [usize::MAX, isize::MAX as usize / 4, 1 << 50] {
            assert!(matches!(zeroed(count), Err(MemoryError::Refused { .. })));
        }
        assert_eq!(zeroed(3).unwrap(), [0.0; 3]);
        assert!(zeroed(0).unwrap().is_empty());
    }

    #[test]
    fn more_than_the_machine_has_is_refused() {
        let meminfo = "MemFree:  1 kB\nMemTotal:       24683520 kB\nSwapTotal: 0 kB\n";
        assert_eq!(total(meminfo), Some(24_683_520 << 10));
        assert_eq!(total("MemTotal: many"), None);
        check(1).unwrap();
        #[cfg(target_os = "linux")]
        assert!(matches!(check(1 << 60), Err(MemoryError::Beyond { .. })));
    }
}
