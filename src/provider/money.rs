//! Money: what a call may cost at its worst, what it did cost, and the purse that no call may empty.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::disk::interrupted;
use crate::model::{Cause, Refusal, Tokens};
use crate::spec::{Price, Provider, ProviderApi};

/// What may be spent in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// In the currency of the prices.
    pub cost: Option<f64>,
    /// Tokens sent and answered.
    pub tokens: Option<u64>,
}

impl Limits {
    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.cost.is_some() || self.tokens.is_some()
    }
}

/// What calls took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Tokens sent.
    pub input: u64,
    /// Those of them that came out of the provider's cache.
    pub cached: u64,
    /// Tokens answered.
    pub output: u64,
    /// Those of them that were spent on reasoning.
    pub reasoning: u64,
    /// The cost; `None` once a call without a known price was made.
    pub cost: Option<f64>,
}

impl Spent {
    /// Nothing, which costs nothing.
    pub fn nothing() -> Self {
        Spent { cost: Some(0.0), ..Spent::default() }
    }

    /// Both together.
    pub fn and(self, other: Spent) -> Spent {
        Spent {
            input: self.input.saturating_add(other.input),
            cached: self.cached.saturating_add(other.cached),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            cost: self.cost.zip(other.cost).map(|(one, two)| one + two),
        }
    }

    /// All tokens.
    pub fn tokens(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

/// The cost of tokens at a price.
pub fn cost(price: Option<Price>, tokens: Tokens) -> Option<f64> {
    let price = price?;
    let input = tokens.input.unwrap_or_default();
    let written = tokens.written.min(input);
    let cached = tokens.cached.min(input - written);
    let plain = input - cached - written;
    let output = tokens.output.unwrap_or_default();
    let sum = plain as f64 * price.input
        + cached as f64 * price.cached_input
        + written as f64 * price.cache_write
        + output as f64 * price.output;
    Some(sum / 1e6)
}

/// The most that one call to a provider can take, where we count `input` tokens in `messages` messages, and
/// the provider counted up to `factor` for one of them so far.
///
/// A server counts a few tokens more for each message. One with a vocabulary of its own counts more for some
/// texts than for others; half as much again is reckoned with in any case.
pub fn worst(provider: &Provider, input: u64, factor: f64, messages: usize, max_output: u64) -> Spent {
    let own = provider.api.is_http() && !(provider.api == ProviderApi::OpenAi && provider.is_public());
    let factor = factor.max(if own { 1.5 } else { 1.0 });
    let words = if provider.api.is_http() { 8 + 4 * messages as u64 } else { 0 };
    let input = ((input as f64 * factor).ceil() as u64).saturating_add(words);
    let dearest = provider
        .price
        .map(|price| Price { input: price.input.max(price.cache_write).max(price.cached_input), ..price });
    let tokens = Tokens { input: Some(input), output: Some(max_output), ..Tokens::default() };
    Spent { input, output: max_output, cost: cost(dearest, tokens), ..Spent::default() }
}

/// Rounding of sums of many small costs.
const DUST: f64 = 1e-9;

/// The worst case of a call, by all that is known by now: a provider may count more than was thought.
pub(super) type Worst = Arc<dyn Fn() -> Spent + Send + Sync>;

struct State {
    spent: Spent,
    /// The worst cases of calls under way, by their numbers.
    under_way: BTreeMap<u64, Worst>,
    next: u64,
}

impl State {
    /// What is spent, and may be spent by calls under way.
    fn taken(&self) -> Spent {
        self.under_way.values().fold(self.spent, |taken, worst| taken.and(worst()))
    }
}

/// What a run may spend, has spent and may be spending.
pub struct Purse {
    limits: Limits,
    state: Mutex<State>,
    settled: Condvar,
}

/// The worst case of one call, set aside. Dropped without a word it counts as spent.
pub(super) struct Reserved<'a> {
    purse: &'a Purse,
    number: u64,
    worst: Worst,
    open: bool,
}

impl Purse {
    /// A full purse.
    pub fn new(limits: Limits) -> Self {
        let state = State { spent: Spent::nothing(), under_way: BTreeMap::new(), next: 0 };
        Purse { limits, state: Mutex::new(state), settled: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets a call's worst case aside; waits while calls under way may leave enough. The error says why
    /// the call may not be made.
    pub(super) fn reserve(&self, worst: &Worst) -> Result<Reserved<'_>, Refusal> {
        let mut state = self.state();
        loop {
            if let Some(short) = self.short(state.spent, worst()) {
                return Err(short);
            }
            if self.short(state.taken(), worst()).is_none() {
                let number = state.next;
                state.next += 1;
                state.under_way.insert(number, worst.clone());
                return Ok(Reserved { purse: self, number, worst: worst.clone(), open: true });
            }
            if interrupted() {
                return Err(Refusal::new(Cause::Interrupted, "the run was interrupted", "run it again"));
            }
            let waited = self.settled.wait_timeout(state, Duration::from_millis(200));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Why a call does not fit beside what is spent.
    fn short(&self, spent: Spent, worst: Spent) -> Option<Refusal> {
        // A provider without a price is refused before a run under --max-cost begins.
        let (used, more) = (spent.cost.unwrap_or(f64::INFINITY), worst.cost.unwrap_or(f64::INFINITY));
        if let Some(cap) = self.limits.cost.filter(|cap| used + more > cap + DUST) {
            return Some(Refusal::new(
                Cause::Money,
                format!("its call could cost {more:.4}, and {used:.4} of {cap:.4} are spent"),
                "raise --max-cost; the next run goes on here",
            ));
        }
        let (used, more) = (spent.tokens(), worst.tokens());
        let cap = self.limits.tokens.filter(|cap| used.saturating_add(more) > *cap)?;
        Some(Refusal::new(
            Cause::Money,
            format!("its call could take {more} tokens, and {used} of {cap} are used"),
            "raise --max-tokens; the next run goes on here",
        ))
    }
}

impl Reserved<'_> {
    /// Whether there is room for it still: what others took meanwhile may have told that all take more.
    pub(super) fn still_fits(&self) -> bool {
        self.purse.short(self.purse.state().taken(), Spent::nothing()).is_none()
    }

    /// The call is over, and this is what it took.
    pub(super) fn settle(mut self, spent: Spent) {
        self.close(spent);
    }

    fn close(&mut self, spent: Spent) {
        self.open = false;
        let mut state = self.purse.state();
        state.under_way.remove(&self.number);
        state.spent = state.spent.and(spent);
        drop(state);
        self.purse.settled.notify_all();
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.open {
            self.close((self.worst)());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cost: f64, tokens: u64) -> Spent {
        Spent { input: tokens, cost: Some(cost), ..Spent::default() }
    }

    fn at_worst(cost: f64, tokens: u64) -> Worst {
        Arc::new(move || of(cost, tokens))
    }

    #[test]
    fn a_purse_gives_no_more_than_it_holds() {
        let purse = Purse::new(Limits { cost: Some(0.3), tokens: None });
        let one = purse.reserve(&at_worst(0.1, 0)).expect("room");
        let two = purse.reserve(&at_worst(0.2, 0)).expect("0.1 + 0.2 is 0.3 here");
        one.settle(of(0.05, 0));
        two.settle(of(0.2, 0));
        let short = purse.reserve(&at_worst(0.06, 0)).err().expect("0.31 in all");
        assert_eq!(short.message, "its call could cost 0.0600, and 0.2500 of 0.3000 are spent");
        assert!(purse.reserve(&at_worst(0.05, 0)).is_ok());
    }

    #[test]
    fn a_call_of_unknown_outcome_counts_at_its_worst() {
        let purse = Purse::new(Limits { cost: None, tokens: Some(100) });
        drop(purse.reserve(&at_worst(0.0, 60)).expect("room"));
        let short = purse.reserve(&at_worst(0.0, 50)).err().expect("110 in all");
        assert_eq!(short.message, "its call could take 50 tokens, and 60 of 100 are used");
    }

    #[test]
    fn a_call_waits_for_what_others_may_leave() {
        let purse = Purse::new(Limits { cost: Some(1.0), tokens: None });
        let first = purse.reserve(&at_worst(0.9, 0)).expect("room");
        std::thread::scope(|scope| {
            let second = scope.spawn(|| purse.reserve(&at_worst(0.9, 0)).map(drop));
            first.settle(of(0.1, 0));
            assert_eq!(second.join().expect("no panic"), Ok(()));
        });
    }

    #[test]
    fn what_a_provider_counts_holds_for_calls_under_way() {
        let purse = Purse::new(Limits { cost: None, tokens: Some(100) });
        let factor = Arc::new(Mutex::new(1));
        let known = factor.clone();
        let worst: Worst = Arc::new(move || of(0.0, 30 * *known.lock().expect("no panic")));
        let (one, two) = (purse.reserve(&worst).expect("room"), purse.reserve(&worst).expect("room"));
        assert!(two.still_fits());
        *factor.lock().expect("no panic") = 2;
        assert!(!two.still_fits());
        two.settle(of(0.0, 0));
        assert!(one.still_fits());
        one.settle(of(0.0, 60));
        let short = purse.reserve(&worst).err().expect("120 in all");
        assert_eq!(short.message, "its call could take 60 tokens, and 60 of 100 are used");
    }

    #[test]
    fn cached_and_written_tokens_have_their_own_price() {
        let price = Price { input: 4.0, output: 20.0, cached_input: 1.0, cache_write: 5.0 };
        let tokens = Tokens {
            input: Some(1_000_000),
            cached: 500_000,
            written: 100_000,
            output: Some(50_000),
            reasoning: 7,
        };
        // 400,000 at 4, 500,000 at 1, 100,000 at 5, 50,000 at 20 a million.
        assert_eq!(cost(Some(price), tokens), Some(1.6 + 0.5 + 0.5 + 1.0));
        assert_eq!(cost(None, tokens), None);
    }

    #[test]
    fn the_worst_case_is_no_less_than_any_server_counts() {
        let mut provider = Provider::built_in(ProviderApi::OpenAi);
        provider.price = Some(Price { input: 1.0, output: 2.0, cached_input: 0.5, cache_write: 1.0 });
        let spent = worst(&provider, 1000, 1.0, 2, 500);
        assert_eq!((spent.input, spent.output, spent.cost), (1016, 500, Some((1016.0 + 1000.0) / 1e6)));
        provider.base_url = "http://127.0.0.1:1/v1".into();
        assert_eq!(worst(&provider, 1001, 0.9, 2, 500).input, 1502 + 16);
        assert_eq!(worst(&provider, 1001, 2.0, 2, 500).input, 2002 + 16);
        provider.api = ProviderApi::Command;
        assert_eq!(worst(&provider, 1001, 1.0, 2, 500).input, 1001);
    }
}
