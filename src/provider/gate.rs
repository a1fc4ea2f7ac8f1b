//! The gate before a provider: how many calls at once, how many a minute, and when none at all.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::LONG;
use crate::disk::interrupted;
use crate::model::{Cause, Refusal};

/// What limits per minute are counted over.
const MINUTE: Duration = Duration::from_secs(60);

/// How often those who wait look whether a person wants the run to end.
const LOOK: Duration = Duration::from_millis(200);

/// The limits of one provider, for all threads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Width {
    /// Calls under way at once, at most.
    pub(super) concurrency: usize,
    /// Requests a minute.
    pub(super) requests: Option<usize>,
    /// Tokens a minute.
    pub(super) tokens: Option<usize>,
}

#[derive(Debug)]
struct State {
    under_way: usize,
    /// How many may be under way now; between 1 and the width's concurrency.
    allowed: f64,
    /// How often in a row the provider wanted fewer calls.
    limited: u32,
    /// Calls before this number went out before the width was halved last.
    halved: u64,
    /// The calls of the last minute, and the tokens that each is taken to need.
    minute: VecDeque<(Instant, u64, u64)>,
    /// The number of the next call.
    next: u64,
    /// No call before this.
    not_before: Option<Instant>,
    /// When a long wait was told last.
    told: Option<Instant>,
    /// Why no call will be made any more.
    closed: Option<Refusal>,
}

/// A gate.
#[derive(Debug)]
pub(super) struct Gate {
    width: Width,
    state: Mutex<State>,
    changed: Condvar,
}

/// The right to have one call under way.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    gate: &'a Gate,
    number: u64,
}

impl Gate {
    pub(super) fn new(width: Width) -> Self {
        let state = State {
            under_way: 0,
            allowed: width.concurrency.max(1) as f64,
            limited: 0,
            halved: 0,
            minute: VecDeque::new(),
            next: 0,
            not_before: None,
            told: None,
            closed: None,
        };
        Gate { width, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room for a call that may need so many tokens.
    pub(super) fn enter(&self, tokens: u64, tell: &dyn Fn(String)) -> Result<Pass<'_>, Refusal> {
        let mut state = self.state();
        loop {
            if let Some(closed) = &state.closed {
                return Err(closed.clone());
            }
            if interrupted() {
                return Err(Refusal::new(Cause::Interrupted, "the run was interrupted", "run it again"));
            }
            let wait = self.wait(&mut state, Instant::now(), tokens);
            if wait.is_zero() && state.under_way < (state.allowed as usize).max(1) {
                let number = state.next;
                state.next += 1;
                state.under_way += 1;
                if self.width.requests.is_some() || self.width.tokens.is_some() {
                    state.minute.push_back((Instant::now(), number, tokens));
                }
                return Ok(Pass { gate: self, number });
            }
            // By one for all who wait.
            if wait > LONG && state.told.is_none_or(|told| told.elapsed() > MINUTE) {
                state.told = Some(Instant::now());
                tell(format!("its limits leave no room for {} s", wait.as_secs()));
            }
            let wait = if wait.is_zero() { LOOK } else { wait.min(LOOK) };
            state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How long a call of so many tokens must wait at least.
    fn wait(&self, state: &mut State, now: Instant, tokens: u64) -> Duration {
        while state.minute.front().is_some_and(|(at, ..)| now.duration_since(*at) >= MINUTE) {
            state.minute.pop_front();
        }
        let until = |at: Instant| (at + MINUTE).saturating_duration_since(now);
        let mut wait = state.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        if let Some(most) = self.width.requests
            && let Some(first_of) = state.minute.len().checked_sub(most)
        {
            wait = wait.max(until(state.minute[first_of].0));
        }
        if let Some(most) = self.width.tokens {
            // What is over the limit by itself goes alone.
            let mut used: u64 =
                state.minute.iter().fold(0, |used, (_, _, tokens)| used.saturating_add(*tokens));
            for (at, _, freed) in &state.minute {
                if used.saturating_add(tokens) <= most as u64 {
                    break;
                }
                wait = wait.max(until(*at));
                used = used.saturating_sub(*freed);
            }
        }
        wait
    }

    /// The provider said when it has room again.
    pub(super) fn not_before(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut state = self.state();
        state.not_before = Some(state.not_before.map_or(until, |known| known.max(until)));
    }

    /// The provider wanted fewer calls, and said so to the call of this number. From the second time in a
    /// row on the width is halved; then the old and the new one are told. Calls that were under way at that
    /// time say nothing new.
    pub(super) fn limited(&self, number: u64) -> Option<(usize, usize)> {
        let mut state = self.state();
        if number < state.halved {
            return None;
        }
        state.limited += 1;
        if state.limited < 2 {
            return None;
        }
        state.limited = 0;
        state.halved = state.next;
        let before = state.allowed as usize;
        state.allowed = (state.allowed / 2.0).max(1.0);
        let after = state.allowed as usize;
        (after < before).then_some((before, after))
    }

    /// A call went well: as many of these as are under way make room for one more.
    pub(super) fn went_well(&self) -> Option<(usize, usize)> {
        let mut state = self.state();
        state.limited = 0;
        let before = state.allowed;
        state.allowed = (before + 1.0 / before.max(1.0)).min(self.width.concurrency.max(1) as f64);
        let (before, after) = (before as usize, state.allowed as usize);
        drop(state);
        self.changed.notify_all();
        (after > before).then_some((before, after))
    }

    /// No call will be made any more.
    pub(super) fn close(&self, why: &Refusal) {
        self.state().closed.get_or_insert_with(|| why.clone());
        self.changed.notify_all();
    }
}

impl Pass<'_> {
    /// The call's number; later calls have greater ones.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// No call is made.
    pub(super) fn give_back(self) {
        self.gate.state().minute.retain(|(_, number, _)| *number != self.number);
    }

    /// The call is over and took so many tokens.
    pub(super) fn used(self, tokens: u64) {
        let mut state = self.gate.state();
        if let Some(call) = state.minute.iter_mut().find(|(_, number, _)| *number == self.number) {
            call.2 = tokens;
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.gate.state().under_way -= 1;
        self.gate.changed.notify_all();
    }
}

/// The pause before a try: exponential, with full jitter.
/// (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.)
pub(super) fn backoff(tries: usize) -> Duration {
    const FIRST: u64 = 1000;
    const LONGEST: u64 = 60_000;
    let most = FIRST.saturating_mul(1 << tries.min(16)).min(LONGEST);
    // Every hasher of the standard library has random keys.
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    Duration::from_millis(random % (most + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(concurrency: usize, requests: Option<usize>, tokens: Option<usize>) -> Gate {
        Gate::new(Width { concurrency, requests, tokens })
    }

    #[test]
    fn repeated_limits_halve_the_width_and_success_brings_it_back() {
        let gate = gate(8, None, None);
        let call = || gate.enter(0, &|_| ()).map(|pass| pass.number()).expect("room");
        let (one, two, three) = (call(), call(), call());
        assert_eq!(gate.limited(one), None);
        assert_eq!(gate.limited(two), Some((8, 4)));
        // It went out before that.
        assert_eq!(gate.limited(three), None);
        assert_eq!(gate.limited(call()), None);
        assert_eq!(gate.limited(call()), Some((4, 2)));
        // Two calls of two, then three of three: 2 + 1/2 + 1/2.5 + 1/2.9 = 3.24…
        let steps: Vec<_> = (0..3).map(|_| gate.went_well()).collect();
        assert_eq!(steps, [None, None, Some((2, 3))]);
        for _ in 0..100 {
            gate.went_well();
        }
        assert_eq!(gate.state().allowed as usize, 8);
        // One limit between successes halves nothing.
        assert_eq!((gate.limited(call()), gate.went_well(), gate.limited(call())), (None, None, None));
    }

    #[test]
    fn a_minute_has_room_for_so_many_requests_and_tokens() {
        let gate = gate(8, Some(2), Some(100));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut state = gate.state();
        for (now, tokens) in [(0, 60), (10, 40)] {
            assert_eq!(gate.wait(&mut state, at(now), tokens), Duration::ZERO);
            state.minute.push_back((at(now), 0, tokens));
        }
        // Two requests are of this minute; the first leaves it at 60 s.
        assert_eq!(gate.wait(&mut state, at(20), 1).as_secs(), 40);
        // At 60 s there is room for a request, and for 60 tokens.
        assert_eq!(gate.wait(&mut state, at(60), 60).as_secs(), 0);
        assert_eq!(gate.wait(&mut state, at(60), 61).as_secs(), 10);
        // More than a minute's tokens wait for an empty minute, and then go.
        assert_eq!(gate.wait(&mut state, at(60), 5000).as_secs(), 10);
        assert_eq!(gate.wait(&mut state, at(70), 5000).as_secs(), 0);
    }

    #[test]
    fn a_closed_gate_lets_nobody_in() {
        let gate = gate(1, None, None);
        let pass = gate.enter(1, &|_| ()).expect("room");
        pass.used(1);
        let why = Refusal::new(Cause::Quota, "nothing left", "pay");
        gate.close(&why);
        assert_eq!(gate.enter(1, &|_| ()).err(), Some(why));
    }

    #[test]
    fn pauses_grow_and_have_an_end() {
        for (tries, most) in [(0, 1000), (1, 2000), (3, 8000), (40, 60_000)] {
            assert!((0..50).all(|_| backoff(tries) <= Duration::from_millis(most)));
        }
    }
}
