//! The shared-memory primitives of wallets, caps and windows, in one place so that the loom tests
//! can put their own there (`tests/loom.rs`).

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(crate) use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Locks a mutex. A thread that panicked while it held the lock left whole numbers behind (every
/// change below is a few additions without a call that can panic), so the poison is ignored.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
