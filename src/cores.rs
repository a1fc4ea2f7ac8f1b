//! The same work for many things, on all cores.

use std::num::NonZero;
use std::thread::{ScopedJoinHandle, available_parallelism, scope};

/// What becomes of each of many things, in their order. Fewer than `worth` are not worth a thread.
pub fn on_all_cores<T: Sync, R: Send>(things: &[T], worth: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = available_parallelism().map_or(1, NonZero::get);
    let share = things.len().div_ceil(cores).max(worth);
    let mut shares = things.chunks(share);
    let first = shares.next().unwrap_or_default();
    let work = |some: &[T]| some.iter().map(&work).collect::<Vec<R>>();
    scope(|scope| {
        let others: Vec<_> = shares.map(|some| scope.spawn(|| work(some))).collect();
        let mut all = work(first);
        others.into_iter().for_each(|other| all.extend(joined(other)));
        all
    })
}

/// What a thread came to; its panic is this thread's too.
pub fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
