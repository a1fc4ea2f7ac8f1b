//! `trait` [`Model`]: Request to [`Answer`], or to a [`Refusal`] that says what it may have cost and
//! whether another try could go better. The offline drafter is one; the others are in room `provider`.

mod expect;
mod offline;

use std::fmt;
use std::time::Duration;

pub use expect::{Schema, faults, repair};
pub use offline::Offline;

use crate::request::Request;

/// Tokens of one call, as far as the provider says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens of the request, those out of a cache included.
    pub input: Option<u64>,
    /// Those of them that the provider found in its cache.
    pub cached: u64,
    /// Those of them that the provider put into its cache.
    pub written: u64,
    /// Tokens of the answer, reasoning included.
    pub output: Option<u64>,
    /// Those of them that were spent on reasoning.
    pub reasoning: u64,
}

/// What a model answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// What the provider counted.
    pub tokens: Tokens,
    /// The model that answered, as the provider names it.
    pub model: String,
    /// Why it ended, as the provider says it.
    pub finish: Option<String>,
}

/// What kept an answer from coming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The provider cannot be reached, broke off, or has an error of its own.
    Down,
    /// It wants fewer calls.
    Limited,
    /// The account has nothing left.
    Quota,
    /// The key is wrong or missing.
    Key,
    /// The call is wrong: the same one will be refused again.
    Wrong,
    /// There is an answer, but none that can be an output: refused, filtered, cut, empty.
    Unusable,
    /// It could cost more than may be spent.
    Money,
    /// A person ends the run.
    Interrupted,
}

/// What a call without an answer was charged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// Nothing: it never came to an answer.
    Nothing,
    /// These tokens.
    Known(Tokens),
    /// These tokens as they were counted here; the provider may have counted more.
    Counted(Tokens),
    /// Nobody knows: it counts at its worst.
    Unknown,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What happened, without any key.
    pub message: String,
    /// The way out.
    pub help: Option<String>,
    /// What kind of thing it was.
    pub cause: Cause,
    /// The pause that the provider asks for before the next try.
    pub pause: Option<Duration>,
    /// What it was charged for.
    pub charge: Charge,
    /// Whether the provider says that another try is of no use.
    pub last: bool,
    /// What came of an answer, where that is worth keeping.
    pub text: Option<String>,
    /// Why the answer ended, as the provider says it.
    pub finish: Option<String>,
}

impl Refusal {
    /// A refusal with a way out; it cost nothing.
    pub fn new(cause: Cause, message: impl Into<String>, help: impl Into<String>) -> Self {
        Refusal {
            message: message.into(),
            help: Some(help.into()),
            cause,
            pause: None,
            charge: Charge::Nothing,
            last: false,
            text: None,
            finish: None,
        }
    }

    /// The same, with what it was charged for.
    pub fn charged(self, charge: Charge) -> Self {
        Refusal { charge, ..self }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// Whatever answers requests.
pub trait Model: Send + Sync {
    /// Asks once. May take minutes; called from several threads at once. `heard` is told how many bytes
    /// of the answer are here, as they come.
    fn ask(&self, request: &Request, heard: &dyn Fn(usize)) -> Result<Answer, Refusal>;
}
