//! What happened in a run, as data. Room `show` makes lines and JSON of it.

use serde::Serialize;

use crate::digest::Digest;
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
    pub request: Option<Digest>,
    /// The digest of the answer that it came from, if there is one.
    pub answer: Option<Digest>,
    /// The digest of the text that is there now, if there is one.
    pub digest: Option<Digest>,
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
    /// Texts of a person's whose context has changed since.
    pub stale: usize,
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

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// What happened so far.
    pub sums: Sums,
    /// How many tasks the run is about.
    pub total: usize,
    /// How many of them have not ended.
    pub left: usize,
    /// Whether a person ends it: answers under way are waited for.
    pub ending: bool,
}

/// One provider that was asked for one request, with all retries. Fields are named after OpenTelemetry's
/// semantic conventions for generative AI where those have a name (`gen_ai.*`, version 1.37).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tried {
    /// The task's id.
    pub task: String,
    /// The request that was sent.
    pub request: Digest,
    /// The provider's name.
    pub provider: String,
    /// The protocol that it speaks.
    #[serde(rename = "gen_ai.provider.name")]
    pub api: String,
    /// The model that was asked for.
    #[serde(rename = "gen_ai.request.model")]
    pub model: String,
    /// The sampling temperature that was asked for.
    #[serde(rename = "gen_ai.request.temperature")]
    pub temperature: Option<serde_json::Value>,
    /// The limit of the answer that was asked for.
    #[serde(rename = "gen_ai.request.max_tokens")]
    pub max_tokens: Option<serde_json::Value>,
    /// The seed that was asked for.
    #[serde(rename = "gen_ai.request.seed")]
    pub seed: Option<serde_json::Value>,
    /// The model that answered, as the provider names it; empty if none did.
    #[serde(rename = "gen_ai.response.model")]
    pub answered_by: String,
    /// Why the answer ended, as the provider says it; empty if it does not.
    #[serde(rename = "gen_ai.response.finish_reasons")]
    pub finish_reasons: Vec<String>,
    /// Tokens sent.
    #[serde(rename = "gen_ai.usage.input_tokens")]
    pub tokens_in: u64,
    /// Those of them that came out of the provider's cache.
    #[serde(rename = "gen_ai.usage.cache_read.input_tokens")]
    pub tokens_cached: u64,
    /// Tokens answered.
    #[serde(rename = "gen_ai.usage.output_tokens")]
    pub tokens_out: u64,
    /// Those of them that were spent on reasoning.
    #[serde(rename = "gen_ai.usage.reasoning.output_tokens")]
    pub tokens_reasoning: u64,
    /// Why there is no answer, if there is none.
    pub error: Option<String>,
    /// An answer that could not be taken, where there was one.
    pub text: Option<String>,
    /// What it cost; `None` where the price is not known.
    pub cost: Option<f64>,
    /// How many of its calls have an unknown outcome.
    pub unknown: usize,
    /// What those cost at their worst.
    pub cost_unknown: Option<f64>,
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
        /// Who is asked first: a provider, or the task's own program.
        provider: String,
    },
    /// An answer is coming.
    Progress {
        /// The task's id.
        task: String,
        /// Bytes that are here.
        bytes: usize,
    },
    /// Time went by.
    Tick(Box<Standing>),
    /// A provider was asked.
    TaskTried(Box<Tried>),
    /// A task ended other than fresh.
    TaskFinished(Finished),
    /// The run ended.
    RunFinished {
        /// The run's name.
        run: String,
        /// How it ended: `done`, `failed` or `interrupted`.
        status: &'static str,
        /// The sums.
        #[serde(flatten)]
        sums: Sums,
    },
    /// A person approved an output.
    Approved {
        /// The task's id.
        task: String,
        /// The digest of the text.
        text: Digest,
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
