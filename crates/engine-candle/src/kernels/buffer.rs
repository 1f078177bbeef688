//! Memory for weights.

use std::collections::TryReserveError;

/// Zeroed memory in cache lines, of which the system is asked to make huge pages: weights are read
/// from end to end again and again, and every page of 4 KiB would cost a walk of the page tables.
pub(crate) struct Buffer {
    lines: Vec<Line>,
    bytes: usize,
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl Buffer {
    /// # Errors
    /// When the system does not give as much.
    pub(crate) fn zeroed(bytes: usize) -> Result<Self, TryReserveError> {
        let count = bytes.div_ceil(size_of::<Line>());
        let mut lines = Vec::new();
        lines.try_reserve_exact(count)?;
        #[cfg(target_os = "linux")]
        advise_huge_pages(&mut lines);
        lines.resize(count, Line([0; 64]));
        Ok(Self { lines, bytes })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: a line is 64 bytes without padding, and the lines cover `bytes`.
        #[expect(unsafe_code, reason = "lines are bytes")]
        unsafe {
            std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.bytes)
        }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; any bytes are a line, and the lines are borrowed exclusively.
        #[expect(unsafe_code, reason = "lines are bytes")]
        unsafe {
            std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.bytes)
        }
    }
}

/// Has to be asked before the memory is touched.
#[cfg(target_os = "linux")]
fn advise_huge_pages(lines: &mut Vec<Line>) {
    use rustix::mm::{Advice, madvise};

    /// A multiple of every size that pages have on Linux.
    const PAGE: usize = 1 << 16;
    let spare = lines.spare_capacity_mut();
    let bytes = size_of_val(spare);
    let start = spare.as_mut_ptr().cast::<u8>();
    let skipped = start.align_offset(PAGE);
    let Some(whole) = bytes.checked_sub(skipped).map(|rest| rest / PAGE * PAGE) else {
        return;
    };
    if whole == 0 {
        return;
    }
    // SAFETY: the pages lie within memory that we own, and the advice does not change what is in it.
    #[expect(unsafe_code, reason = "advice about our own memory")]
    let advised = unsafe { madvise(start.add(skipped).cast(), whole, Advice::LinuxHugepage) };
    if let Err(error) = advised {
        tracing::debug!(%error, "weights stay in small pages");
    }
}
