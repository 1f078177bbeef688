//! The engine's threads.
//!
//! Each engine has its own rayon pool and runs its loop inside it, so that every parallel
//! operation below stays within the pool's threads. All of them run at a lower priority than the
//! server's: a busy model must not delay authentication, streams of other models or the console.
//!
//! None of them spins for long. A thread of a rayon pool that finds nothing to do looks around 33
//! times and gives its core away each time (`sched_yield`), before it sleeps until it is woken
//! (rayon-core 1.13, `sleep/mod.rs`); that takes 21 microseconds on a core that nobody else wants.
//! The engine's loop itself sleeps while it has no sequence (`WaitingQueue::wait`).

use std::error::Error;
use std::thread::{self, JoinHandle};

/// The nice value of compute threads: clearly behind the server's, clearly before idle work.
const NICE: i32 = 10;

/// Starts a thread that runs `work` inside a pool of `threads` threads of its own. Joining the
/// thread waits for `work`.
pub(crate) fn spawn(
    name: String,
    threads: usize,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, Box<dyn Error + Send + Sync>> {
    let owner = thread::Builder::new().name(format!("engine-{name}"));
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(move |index| format!("{name}-{index}"))
        .start_handler(|_| lower_priority())
        .build()?;
    // The pool's own threads cannot be joined, so one more, which only waits, owns the pool.
    Ok(owner.spawn(move || pool.install(work))?)
}

/// Lowers the calling thread's priority, where the system has such a thing per thread.
fn lower_priority() {
    // Linux keeps a nice value per thread; elsewhere the call would slow the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "compute threads keep the normal priority");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::mpsc;
    use std::time::Duration;
    use std::{fs, iter};

    use super::*;

    /// Rayon may change how long it looks around; the limit is 50 microseconds of spinning,
    /// to which waking up and falling asleep are added here. It is CPU time, and the median of many
    /// episodes, so that a busy machine does not matter.
    #[test]
    fn threads_without_work_sleep_soon() {
        const EPISODES: usize = 31;
        const LIMIT: Duration = Duration::from_micros(100);
        let (sender, receiver) = mpsc::channel();
        let thread = spawn("idle".to_owned(), 2, move || {
            let own = folder_of_thread();
            let both = rayon::broadcast(|_| folder_of_thread());
            let other = both.into_iter().find(|folder| *folder != own).unwrap();
            let episode = || {
                rayon::broadcast(|_| ());
                let stat = || fs::read_to_string(other.join("stat")).unwrap();
                while !stat().rsplit_once(") ").unwrap().1.starts_with('S') {
                    thread::yield_now();
                }
                // The CPU time that it has taken so far, in nanoseconds.
                let schedstat = fs::read_to_string(other.join("schedstat")).unwrap();
                let taken: u64 = schedstat.split_whitespace().next().unwrap().parse().unwrap();
                taken
            };
            let times: Vec<_> = iter::repeat_with(episode).take(EPISODES + 1).collect();
            let mut spent: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
            spent.sort_unstable();
            sender.send(spent[EPISODES / 2]).unwrap();
        });
        thread.unwrap().join().unwrap();
        let spent = Duration::from_nanos(receiver.recv().unwrap());
        assert!(spent > Duration::ZERO, "the thread has worked");
        assert!(spent <= LIMIT, "{spent:?} for a moment of work");
    }

    /// The calling thread's folder in `/proc`.
    fn folder_of_thread() -> PathBuf {
        let link = fs::read_link("/proc/thread-self").unwrap_or_default();
        Path::new("/proc").join(link)
    }

    #[test]
    fn work_runs_at_lower_priority_within_the_asked_number_of_threads() {
        let (sender, receiver) = mpsc::channel();
        let before = rustix::process::getpriority_process(None).unwrap();
        let thread = spawn("priority".to_owned(), 3, move || {
            let inside = rustix::process::getpriority_process(None).unwrap();
            sender.send((inside, rayon::current_num_threads())).unwrap();
        });
        thread.unwrap().join().unwrap();
        assert_eq!(receiver.recv().unwrap(), (NICE.max(before), 3));
        assert_eq!(
            rustix::process::getpriority_process(None).unwrap(),
            before,
            "only the pool's threads are lowered"
        );
    }
}
