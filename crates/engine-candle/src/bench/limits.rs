//! What the machine can do at most: how fast memory is read, and values are multiplied in registers.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rayon::prelude::*;

/// Time for each figure; the best of the runs in it counts.
const TIME: Duration = Duration::from_secs(1);
/// Bytes that are read: far more than caches hold.
const MEMORY: usize = 1 << 30;
/// Chains of additions that run side by side: more than the latency of one, times the units that add.
const CHAINS: usize = 16;
/// Instructions of each chain in a run.
const LENGTH: usize = 1 << 20;

/// The limits of the threads of a rayon pool together.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Memory that is read, in bytes per second.
    pub bytes: f64,
    /// Multiplications and additions of f32, per second.
    pub floats: f64,
    /// Multiplications and additions of bytes, per second; `None` where no path has an instruction of
    /// its own for them.
    pub integers: Option<f64>,
}

impl Limits {
    /// Measures for about three seconds on the threads of the calling thread's pool.
    pub fn measure() -> Self {
        Self {
            bytes: bandwidth(),
            floats: floats(),
            integers: integers(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures of three digits")]
fn bandwidth() -> f64 {
    let mut memory = vec![1_u64; MEMORY / size_of::<u64>()];
    memory.par_chunks_mut(1 << 17).for_each(|part| part.fill(2));
    let sum = |part: &[u64]| {
        let mut sums = [0_u64; 64];
        for chunk in part.as_chunks::<64>().0 {
            for (sum, value) in sums.iter_mut().zip(chunk) {
                *sum ^= value;
            }
        }
        sums.iter().fold(0, |all, sum| all ^ sum)
    };
    let time = best(|| {
        let part = memory.len().div_ceil(rayon::current_num_threads());
        black_box(
            memory
                .par_chunks(part)
                .map(sum)
                .reduce(|| 0, |left, right| left ^ right),
        );
    });
    MEMORY as f64 / time.as_secs_f64()
}

/// The rate of `work`, which does so many operations, on all threads at once.
#[expect(clippy::cast_precision_loss, reason = "figures of three digits")]
fn rate(operations: usize, work: impl Fn() + Sync) -> f64 {
    let time = best(|| {
        rayon::broadcast(|_| work());
    });
    (operations * rayon::current_num_threads()) as f64 / time.as_secs_f64()
}

fn floats() -> f64 {
    #[cfg(target_arch = "x86_64")]
    {
        if is_avx512() {
            // SAFETY: the processor has the instructions.
            #[expect(unsafe_code, reason = "the instructions were checked for in the line above")]
            return rate(2 * 16 * CHAINS * LENGTH, || unsafe { x86::floats_512() });
        }
        if std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: as above.
            #[expect(unsafe_code, reason = "the instructions were checked for in the line above")]
            return rate(2 * 8 * CHAINS * LENGTH, || unsafe { x86::floats_256() });
        }
    }
    rate(2 * 4 * CHAINS * LENGTH, plain)
}

fn integers() -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    {
        if is_avx512() {
            // SAFETY: the processor has the instructions.
            #[expect(unsafe_code, reason = "the instructions were checked for in the line above")]
            return Some(rate(2 * 64 * CHAINS * LENGTH, || unsafe { x86::bytes_512() }));
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            #[expect(unsafe_code, reason = "the instructions were checked for in the line above")]
            return Some(rate(2 * 32 * CHAINS * LENGTH, || unsafe { x86::bytes_256() }));
        }
    }
    None
}

#[cfg(target_arch = "x86_64")]
fn is_avx512() -> bool {
    std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512vnni")
}

/// Chains in what the compiler makes of plain code.
fn plain() {
    let (factor, mut sums) = (black_box([0.5_f32; 4]), [[1.0_f32; 4]; CHAINS]);
    for _ in 0..LENGTH {
        for sum in &mut sums {
            for (sum, factor) in sum.iter_mut().zip(factor) {
                *sum = *sum * factor + factor;
            }
        }
    }
    black_box(sums);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm256_add_epi16, _mm256_fmadd_ps, _mm256_maddubs_epi16, _mm256_set1_epi8, _mm256_set1_ps,
        _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_set1_epi8, _mm512_set1_ps,
    };
    use std::hint::black_box;

    use super::{CHAINS, LENGTH};

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn bytes_512() {
        let (left, right) = (black_box(_mm512_set1_epi8(3)), black_box(_mm512_set1_epi8(-5)));
        let mut sums = [_mm512_set1_epi8(0); CHAINS];
        for _ in 0..LENGTH {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, left, right);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn floats_512() {
        let (left, right) = (black_box(_mm512_set1_ps(0.5)), black_box(_mm512_set1_ps(0.25)));
        let mut sums = [_mm512_set1_ps(1.0); CHAINS];
        for _ in 0..LENGTH {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, left, right);
            }
        }
        black_box(sums);
    }

    /// Products of bytes and their sums in pairs, added up in i16: what the kernels do between widenings.
    #[target_feature(enable = "avx2")]
    pub(super) fn bytes_256() {
        let right = black_box(_mm256_set1_epi8(-5));
        let mut sums = [_mm256_set1_epi8(1); CHAINS];
        for _ in 0..LENGTH {
            for sum in &mut sums {
                *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(*sum, right));
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "fma")]
    pub(super) fn floats_256() {
        let (left, right) = (black_box(_mm256_set1_ps(0.5)), black_box(_mm256_set1_ps(0.25)));
        let mut sums = [_mm256_set1_ps(1.0); CHAINS];
        for _ in 0..LENGTH {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, left, right);
            }
        }
        black_box(sums);
    }
}

/// The shortest run within [`TIME`].
fn best(work: impl Fn()) -> Duration {
    work();
    let begin = Instant::now();
    let mut best = Duration::MAX;
    while begin.elapsed() < TIME {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed());
    }
    best
}
