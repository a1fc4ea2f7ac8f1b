//! `trait` [`Model`]: Request to [`Answer`]. The offline drafter is one; the others are in room
//! `provider`.

mod offline;

use std::fmt;

pub use offline::Offline;

use crate::request::Request;

/// What a model answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// Tokens of the request, where the provider says so.
    pub tokens_in: Option<u64>,
    /// Tokens of the answer, where the provider says so.
    pub tokens_out: Option<u64>,
    /// The model that answered, as the provider names it.
    pub model: String,
    /// Milliseconds from asking to the answer.
    pub ms: u64,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What happened, without any key.
    pub message: String,
    /// The way out.
    pub help: Option<String>,
}

impl Refusal {
    /// A refusal with a way out.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Refusal { message: message.into(), help: Some(help.into()) }
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
    /// Asks. May take minutes; called from several threads at once.
    fn ask(&self, request: &Request) -> Result<Answer, Refusal>;
}
