//! Asking: what a worker is given, what it does, what it brings back.

use std::path::Path;

use crate::digest::Digest;
use crate::disk::{Cache, Entry, Journal, SentItem, Stored};
use crate::graph::{Graph, Ix};
use crate::plan::Today;
use crate::provider::{Providers, run_program};
use crate::request::{Reason, Request};
use crate::text::output_form;

/// A request for a worker.
pub(super) struct Job {
    pub(super) ix: Ix,
    pub(super) today: Today,
    pub(super) request: Request,
    pub(super) items: Vec<SentItem>,
    pub(super) provider: String,
    pub(super) reasons: Vec<Reason>,
    pub(super) reserved: (f64, u64),
}

/// What a worker brings back.
pub(super) struct Done {
    pub(super) job: Job,
    pub(super) answer: Result<Got, Lost>,
}

/// An answer, in the journal already.
pub(super) struct Got {
    pub(super) stored: Stored,
    pub(super) text: String,
    pub(super) ms: u64,
    /// Whether the provider counted the tokens itself.
    pub(super) counted: bool,
    /// Whether the answer is in the cache too.
    pub(super) kept: bool,
}

/// Why there is no answer.
pub(super) struct Lost {
    pub(super) message: String,
    /// Whether the next one would be lost as well.
    pub(super) fatal: bool,
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.ix == other.ix
    }
}

impl Eq for Job {}

/// What a worker needs to ask.
pub(super) struct Ask<'a> {
    pub(super) graph: &'a Graph,
    pub(super) providers: &'a Providers,
    pub(super) journal: &'a Journal<'a>,
    pub(super) store_root: &'a Path,
    pub(super) meu: &'a Path,
}

impl Ask<'_> {
    /// Asks, and has the answer in the journal before it goes anywhere else.
    pub(super) fn answer(&self, job: &Job, cache: &Cache<'_>) -> Result<Got, Lost> {
        let lost = |message: String| Lost { message, fatal: false };
        let id = self.graph.node(job.ix).id();
        let answer = if job.request.argv.is_empty() {
            self.providers.ask(&job.provider, &job.request, self.store_root)
        } else {
            let file = self.meu.join("tmp").join(format!("request-{}.json", job.today.request.short()));
            let json = serde_json::to_string(&job.request).map_err(|error| lost(error.to_string()))?;
            crate::disk::write_scratch(&file, &json)
                .map_err(|error| lost(format!("{} cannot be written: {error}", file.display())))?;
            let environment = [("MEU_TASK", id), ("MEU_REQUEST", &*file.to_string_lossy())];
            run_program(&job.request.argv, &job.request.text(), &environment, self.store_root, None)
        };
        let answer = answer.map_err(|refusal| lost(refusal.to_string()))?;
        let text = output_form(&answer.text);
        if text.is_empty() {
            return Err(lost("the program printed nothing".into()));
        }
        let counted = answer.tokens_in.is_some() && answer.tokens_out.is_some();
        let stored = Stored {
            text: Digest::of(&text),
            tokens_in: answer.tokens_in.unwrap_or_default(),
            tokens_out: answer.tokens_out.unwrap_or_default(),
            model: answer.model,
        };
        let entry = Entry::Answer {
            task: id.to_owned(),
            request: job.today.request,
            stored: stored.clone(),
            text: text.clone(),
        };
        let journaled = self.journal.add(&entry, true);
        let kept = cache.put_answer(job.today.request, &stored, &text).is_ok();
        match journaled {
            Err(error) if !kept => Err(Lost {
                message: format!(
                    "the answer came, but neither journal nor cache can be written: {error} (make room, then run again)"
                ),
                fatal: true,
            }),
            _ => Ok(Got { stored, text, ms: answer.ms, counted, kept }),
        }
    }
}
