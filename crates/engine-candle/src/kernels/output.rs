//! Where products are written.

use std::marker::PhantomData;

use super::layout::LANES;

/// Where a product goes: element `n` of row `r` is `data[r * stride + offset + n]`. The parts of one
/// layer write side by side.
pub(crate) struct OutputColumns<'data> {
    pub(crate) data: &'data mut [f32],
    pub(crate) stride: usize,
    pub(crate) offset: usize,
}

impl<'data> OutputColumns<'data> {
    /// Rows of `columns` elements and nothing between them.
    pub(crate) fn whole(data: &'data mut [f32], columns: usize) -> Self {
        Self {
            data,
            stride: columns,
            offset: 0,
        }
    }
}

/// An output that several threads write, each to columns of its own.
pub(super) struct Target<'data> {
    data: *mut f32,
    rows: usize,
    columns: usize,
    stride: usize,
    borrow: PhantomData<&'data mut [f32]>,
}

// SAFETY: `write` asks its callers to keep the threads' columns apart.
#[expect(unsafe_code, reason = "threads write different columns of the same rows")]
unsafe impl Sync for Target<'_> {}

impl<'data> Target<'data> {
    pub(super) fn new(output: OutputColumns<'data>, rows: usize, columns: usize) -> Self {
        let OutputColumns { data, stride, offset } = output;
        assert!(
            offset + columns <= stride && (rows - 1) * stride + offset + columns <= data.len(),
            "the product of {rows} rows and {columns} columns lies inside the output"
        );
        Self {
            data: data[offset..].as_mut_ptr(),
            rows,
            columns,
            stride,
            borrow: PhantomData,
        }
    }

    /// Writes a part of a row, from column `start`; what lies beyond the last column is left out.
    ///
    /// # Safety
    /// No other thread writes these columns of this row.
    #[expect(unsafe_code, reason = "threads write different columns of the same rows")]
    #[inline]
    pub(super) unsafe fn write(&self, row: usize, start: usize, values: &[f32; LANES]) {
        assert!(row < self.rows && start < self.columns, "a part of the product");
        // SAFETY: `new` checked that all rows and columns lie inside the borrowed output, and the
        // assertion that these are among them; the caller sees to it that no one else writes there.
        unsafe {
            let place = self.data.add(row * self.stride + start);
            let count = self.columns - start;
            if count >= LANES {
                // As long as the compiler knows, so that it is no call.
                place.cast::<[f32; LANES]>().write_unaligned(*values);
            } else {
                std::ptr::copy_nonoverlapping(values.as_ptr(), place, count);
            }
        }
    }
}
