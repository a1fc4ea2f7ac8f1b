//! What happened in a run, as data. Room `show` makes lines and JSON of it.

use serde::Serialize;

use crate::request::Reason;

/// How a task of a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A provider, a program or a template made it.
    Built,
    /// It came from stored texts or answers; nobody was asked.
    Cached,
    /// It could not be made.
    Failed,
    /// Something that it requires is not up to date.
    Blocked,
    /// A person must approve it first.
    Awaiting,
}

/// What one task's end says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finished {
    /// The task's id.
    pub task: String,
    /// How it ended.
    pub status: Outcome,
    /// One line: why it ran, or why it could not.
    pub reason: String,
    /// All reasons, as data.
    pub reasons: Vec<Reason>,
    /// Tokens sent, as the provider reports them or as they were counted.
    pub tokens_in: u64,
    /// Tokens answered.
    pub tokens_out: u64,
    /// What it cost; `None` where the price is not known.
    pub cost: Option<f64>,
    /// Milliseconds from asking to the answer.
    pub ms: u64,
    /// Where the output is.
    pub output: String,
    /// The request that it answers, if one was put together.
    pub request: Option<crate::digest::Digest>,
}

/// The sums of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sums {
    /// Tasks built.
    pub built: usize,
    /// Tasks that came from stored texts or answers.
    pub cached: usize,
    /// Tasks that were up to date.
    pub fresh: usize,
    /// Tasks that failed.
    pub failed: usize,
    /// Tasks that were blocked.
    pub blocked: usize,
    /// Tasks that await approval.
    pub awaiting: usize,
    /// Tokens sent.
    pub tokens_in: u64,
    /// Tokens answered.
    pub tokens_out: u64,
    /// The cost; `None` once a call without a known price was made.
    pub cost: Option<f64>,
    /// Calls of unknown outcome: sent, and broken off before a whole answer came.
    pub unknown: usize,
    /// What those cost at their worst.
    pub cost_unknown: Option<f64>,
}

/// One provider that was asked for one request, with all retries.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// The task's id.
    pub task: String,
    /// The request that was sent.
    pub request: crate::digest::Digest,
    /// The provider's name.
    pub provider: String,
    /// The model that was asked for.
    pub model: String,
    /// The model that answered, as the provider names it; empty if none did.
    pub answered_by: String,
    /// Why the answer ended, as the provider says it.
    pub finish_reason: Option<String>,
    /// Why there is no answer, if there is none.
    pub error: Option<String>,
    /// An answer that could not be taken, where there was one.
    pub text: Option<String>,
    /// Tokens sent.
    pub tokens_in: u64,
    /// Those of them that came out of the provider's cache.
    pub tokens_cached: u64,
    /// Tokens answered.
    pub tokens_out: u64,
    /// Those of them that were spent on reasoning.
    pub tokens_reasoning: u64,
    /// What it cost; `None` where the price is not known.
    pub cost: Option<f64>,
    /// How many of its calls have an unknown outcome.
    pub unknown: usize,
    /// Calls after the first.
    pub retries: usize,
    /// Milliseconds, pauses included.
    pub ms: u64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A run begins.
    RunStarted {
        /// The run's name.
        run: String,
        /// How many tasks it is about.
        tasks: usize,
    },
    /// A task is asked for.
    TaskStarted {
        /// The task's id.
        task: String,
    },
    /// An answer is coming.
    Progress {
        /// The task's id.
        task: String,
        /// Bytes that are here.
        bytes: usize,
    },
    /// Time went by.
    Tick,
    /// A provider was asked.
    TaskTried(Tried),
    /// A task ended other than fresh.
    TaskFinished(Finished),
    /// The run ended.
    RunFinished {
        /// The run's name.
        run: String,
        /// The sums.
        #[serde(flatten)]
        sums: Sums,
    },
    /// A person approved an output.
    Approved {
        /// The task's id.
        task: String,
        /// The digest of the text.
        text: crate::digest::Digest,
        /// Who, as git or the system knows them.
        by: String,
    },
    /// Something for a person who wants to know more.
    Detail {
        /// One line.
        message: String,
    },
    /// Something that a person should know.
    Notice {
        /// One line.
        message: String,
    },
}
