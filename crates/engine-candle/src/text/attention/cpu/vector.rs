//! Sixteen floats side by side, in the registers that a processor has for them.

#![expect(unsafe_code, reason = "vector instructions read through pointers")]

/// Sixteen floats.
pub(super) trait Vector: Copy {
    /// Whether products are added without rounding in between.
    const FUSED: bool;
    /// Whether four of them for each of four queries fit the registers.
    const WIDE: bool;

    /// # Safety
    /// The processor has the instructions.
    unsafe fn splat(value: f32) -> Self;

    /// # Safety
    /// The processor has the instructions, and sixteen values are at `place`.
    unsafe fn load(place: *const f32) -> Self;

    /// # Safety
    /// The processor has the instructions, and there is room for sixteen values at `place`.
    unsafe fn store(self, place: *mut f32);

    /// The sum of this and of a product.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn plus_product(self, left: Self, right: Self) -> Self;
}

/// Whatever the compiler makes of sixteen floats.
#[derive(Clone, Copy)]
pub(super) struct Portable<const FUSED: bool>([f32; 16]);

impl<const FUSED: bool> Vector for Portable<FUSED> {
    const FUSED: bool = FUSED;
    const WIDE: bool = false;

    #[inline]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 16])
    }

    #[inline]
    unsafe fn load(place: *const f32) -> Self {
        // SAFETY: as the caller promises.
        Self(unsafe { place.cast::<[f32; 16]>().read() })
    }

    #[inline]
    unsafe fn store(self, place: *mut f32) {
        // SAFETY: as the caller promises.
        unsafe { place.cast::<[f32; 16]>().write(self.0) };
    }

    #[inline]
    unsafe fn plus_product(mut self, left: Self, right: Self) -> Self {
        for ((sum, left), right) in self.0.iter_mut().zip(left.0).zip(right.0) {
            *sum = super::numbers::multiply_add::<FUSED>(left, right, *sum);
        }
        self
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use self::x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, __m512, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm512_fmadd_ps,
        _mm512_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps,
    };

    use super::Vector;

    /// Two registers of AVX2, with FMA.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2([__m256; 2]);

    impl Vector for Avx2 {
        const FUSED: bool = true;
        const WIDE: bool = false;

        #[inline]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn splat(value: f32) -> Self {
            Self([_mm256_set1_ps(value); 2])
        }

        #[inline]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn load(place: *const f32) -> Self {
            // SAFETY: as the caller promises.
            unsafe { Self([_mm256_loadu_ps(place), _mm256_loadu_ps(place.add(8))]) }
        }

        #[inline]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn store(self, place: *mut f32) {
            // SAFETY: as the caller promises.
            unsafe {
                _mm256_storeu_ps(place, self.0[0]);
                _mm256_storeu_ps(place.add(8), self.0[1]);
            }
        }

        #[inline]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn plus_product(self, left: Self, right: Self) -> Self {
            Self([
                _mm256_fmadd_ps(left.0[0], right.0[0], self.0[0]),
                _mm256_fmadd_ps(left.0[1], right.0[1], self.0[1]),
            ])
        }
    }

    /// A register of AVX-512.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512(__m512);

    impl Vector for Avx512 {
        const FUSED: bool = true;
        const WIDE: bool = true;

        #[inline]
        #[target_feature(enable = "avx512f")]
        unsafe fn splat(value: f32) -> Self {
            Self(_mm512_set1_ps(value))
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        unsafe fn load(place: *const f32) -> Self {
            // SAFETY: as the caller promises.
            Self(unsafe { _mm512_loadu_ps(place) })
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        unsafe fn store(self, place: *mut f32) {
            // SAFETY: as the caller promises.
            unsafe { _mm512_storeu_ps(place, self.0) };
        }

        #[inline]
        #[target_feature(enable = "avx512f")]
        unsafe fn plus_product(self, left: Self, right: Self) -> Self {
            Self(_mm512_fmadd_ps(left.0, right.0, self.0))
        }
    }
}
