//! Asking: what a worker is given, what it does, what it brings back.
//!
//! An answer that is not as the task expects is sent back. Each time it is sent back makes a request of
//! its own, with its own digest, and its answer is journaled and cached as any other: whatever a run was
//! cut off at, no answer is paid for twice.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use crate::diag::Error;
use crate::digest::Digest;
use crate::disk::{Cache, Entry, Journal, Replay, Scratch, SentItem, Stored, interrupted};
use crate::event;
use crate::graph::{Graph, Ix};
use crate::model::{Cause, Refusal, Schema, faults, repair};
use crate::plan::Today;
use crate::provider::{Call, Heard, Providers, Purse, Tried, judged_by, run_program};
use crate::request::{Reason, Request};
use crate::spec::{Config, ProviderApi, Runner};
use crate::text::{Redactor, count, output_form};

use super::secrets::secrets_in;

/// A request for a worker.
pub(super) struct Job {
    pub(super) ix: Ix,
    pub(super) today: Today,
    pub(super) request: Request,
    pub(super) items: Vec<SentItem>,
    pub(super) reasons: Vec<Reason>,
    /// Its tokens, as they are counted here.
    pub(super) tokens: u64,
    /// What each provider counts for one of our tokens, where that is known.
    pub(super) factors: HashMap<String, f64>,
    /// A schema that the output must fit.
    pub(super) schema: Option<Arc<Schema>>,
    /// The text that was built for this very request.
    pub(super) built: Option<String>,
    /// Whether stored answers serve.
    pub(super) read: bool,
    /// The texts of its items, by their references: whose secrets they are.
    pub(super) texts: Vec<(String, String)>,
    /// Why nobody may be asked, if so.
    pub(super) refused: Option<Lost>,
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.ix == other.ix
    }
}

impl Eq for Job {}

/// What a worker says.
pub(super) enum Word {
    /// It is about to ask.
    Asking(Ix),
    /// What goes out in a request and perhaps should not, a line each.
    Secrets(Ix, Vec<String>),
    /// How that goes.
    Heard(Ix, Heard),
    /// A provider was asked: the request's digest and our count of its tokens.
    Tried(Ix, Digest, u64, Box<Tried>),
    /// It is done.
    Done(Box<Job>, Result<Got, Lost>),
}

/// An answer, in the journal already.
pub(super) struct Got {
    pub(super) text: String,
    /// Whether somebody was asked for it now.
    pub(super) asked: bool,
}

/// An answer as it is kept.
struct Kept {
    text: String,
    /// The answer as it came, if something was taken out of it.
    raw: Option<String>,
}

/// A reason to ask no further, after tries that were not good enough.
fn after(tries: &[String], lost: Lost) -> Lost {
    match tries {
        [] => lost,
        tries => Lost {
            message: format!(
                "an answer is there, and is not what the task expects: {}; {}",
                tries.join(" "),
                lost.message
            ),
            ..lost
        },
    }
}

/// What was wrong with each answer, once no more are asked for.
fn not_as_expected(id: &str, tries: &[String]) -> Lost {
    let (times, tries) = match tries {
        [one] => (String::new(), one.clone()),
        several => {
            let numbered = several.iter().zip(1..).map(|(faults, nth)| format!("{nth}. {faults}"));
            (format!(", {} times", several.len()), numbered.collect::<Vec<_>>().join(" "))
        }
    };
    Lost::from(format!(
        "the answer is not what the task expects{times}: {tries} (change the prompt or `[expect]`, or ask afresh with `meu run {id} --force {id}`)"
    ))
}

/// Why there is no answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Lost {
    pub(super) message: String,
    /// What ends the run as a whole.
    pub(super) error: Option<Error>,
    /// Whether the next one would be lost as well.
    pub(super) fatal: bool,
    /// Whether this says nothing about the task: the next run tries again as if nothing was.
    pub(super) turned_away: bool,
    /// Whether a person ended the run.
    pub(super) interrupted: bool,
}

impl From<String> for Lost {
    fn from(message: String) -> Lost {
        Lost { message, ..Lost::default() }
    }
}

/// What a worker needs to ask.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) graph: &'a Graph,
    pub(super) providers: &'a Providers,
    pub(super) purse: &'a Purse,
    pub(super) redactor: &'a Redactor,
    pub(super) journal: &'a Journal<'a>,
    pub(super) replay: &'a Replay,
    /// Whether every answer of the journal is in the cache too.
    pub(super) all_cached: &'a AtomicBool,
    pub(super) store_root: &'a Path,
}

/// What a worker has of its own.
pub(super) struct Worker<'a> {
    pub(super) cache: Cache<'a>,
    pub(super) say: Sender<Word>,
    /// Where a program finds its request.
    pub(super) request_file: Scratch,
}

impl Ask<'_> {
    /// An answer that is as it should be: a stored one, or one that is asked for. It is in the journal
    /// before it goes anywhere else.
    pub(super) fn answer(&self, job: &Job, worker: &Worker<'_>) -> Result<Got, Lost> {
        let Worker { cache, say, .. } = worker;
        let task = &self.graph.node(job.ix).task;
        let mut request = Cow::Borrowed(&job.request);
        let mut digest = job.today.request;
        let mut built = job.built.as_ref();
        let mut got = Got { text: String::new(), asked: false };
        let repairs = match (&task.expect, &task.run) {
            (Some(expect), Runner::Model) => expect.repairs,
            _ => 0,
        };
        let mut all = Vec::new();
        let faults_of = |text: &str| self.faults(job.ix, job.schema.as_deref(), text);
        for _ in 0..=repairs {
            let (mut raw, mut redacted) = (None, false);
            let mut stored = self.stored(digest, built.take(), job.read, cache);
            // Of several copies of the project that want one answer at once one asks.
            let mut claim = None;
            if stored.is_none() && job.read && job.refused.is_none() {
                claim = cache.claim(digest);
                stored = self.stored(digest, None, claim.is_some(), cache);
            }
            match stored {
                Some((text, was)) => {
                    got.text = self.redactor.clean(&text).into_owned();
                    redacted = was;
                }
                None => {
                    let secrets = self.may_ask(job, &request).map_err(|lost| after(&all, lost))?;
                    if !got.asked {
                        let _ = say.send(Word::Asking(job.ix));
                    }
                    got.asked = true;
                    if !secrets.is_empty() {
                        let _ = say.send(Word::Secrets(job.ix, secrets));
                    }
                    cache.put_request(digest, &request, &job.items, self.redactor);
                    let kept = self.ask(job, &request, digest, worker)?;
                    got.text = kept.text;
                    raw = kept.raw;
                }
            }
            drop(claim);
            let faults = faults_of(&got.text)?;
            if faults.is_empty() {
                return Ok(got);
            }
            let next = repair(&request, &got.text, &faults);
            let next_digest = next.digest();
            // What it lacks only since something was taken out of it no other answer will have. Of a stored one
            // this is not known any more; but who went on then has the next answer stored as well.
            let spoiled = match raw {
                Some(raw) => !faults_of(&raw).is_ok_and(|of_raw| !of_raw.is_empty()),
                None => redacted && self.stored(next_digest, None, job.read, cache).is_none(),
            };
            if spoiled {
                return Err(Lost::from(format!(
                    "without what `[redact]` takes out of it the answer is not what the task expects: {} (narrow the pattern, or expect what is left)",
                    faults.join("; ")
                )));
            }
            all.push(faults.join("; "));
            (request, digest) = (Cow::Owned(next), next_digest);
        }
        Err(not_as_expected(self.graph.node(job.ix).id(), &all))
    }

    /// Whether a request may go out: what is in it and perhaps should not be, a line each, or why it may not.
    fn may_ask(&self, job: &Job, request: &Request) -> Result<Vec<String>, Lost> {
        if let Some(refused) = &job.refused {
            return Err(refused.clone());
        }
        if interrupted() {
            return Err(Lost { interrupted: true, ..Lost::from("interrupted".to_owned()) });
        }
        let secrets = self.secrets(job, request);
        if !secrets.is_empty() && self.graph.config.redact.refuse {
            let message = format!(
                "{}, and `secrets = \"refuse\"` lets no such request out (take it out of there, or exclude the item)",
                secrets.join(", ")
            );
            return Err(Lost { turned_away: true, ..Lost::from(message) });
        }
        Ok(secrets)
    }

    /// What of a text is not as its task expects. A program is only asked about what is good so far.
    pub(super) fn faults(&self, ix: Ix, schema: Option<&Schema>, text: &str) -> Result<Vec<String>, Lost> {
        let node = self.graph.node(ix);
        let Some(expect) = &node.task.expect else { return Ok(Vec::new()) };
        let mut faults = faults(expect, schema, node.policy.tokenizer, text);
        if !expect.command.is_empty() && faults.is_empty() {
            let lost = |refusal: Refusal| Lost { turned_away: true, ..Lost::from(refusal.to_string()) };
            self.providers.permit(&expect.command).map_err(lost)?;
            let said = judged_by(&expect.command, text, &[("MEU_TASK", node.id())], self.store_root);
            faults.extend(said.map_err(lost)?.map(|said| self.redactor.clean(&said).into_owned()));
        }
        Ok(faults)
    }

    /// What of a request should perhaps not be sent. What stays with the drafter or a program of this
    /// machine is sent nowhere.
    fn secrets(&self, job: &Job, request: &Request) -> Vec<String> {
        let goes_out = request.argv.is_empty()
            && self.graph.providers(job.ix).any(|provider| provider.api != ProviderApi::Offline);
        if goes_out { secrets_in(request, &job.texts, self.redactor) } else { Vec::new() }
    }

    /// An answer that is there already: journaled, built before, or cached; and whether something was taken
    /// out of it when it came.
    fn stored(
        &self,
        digest: Digest,
        built: Option<&String>,
        read: bool,
        cache: &Cache<'_>,
    ) -> Option<(String, bool)> {
        let known = |(stored, text): (Stored, String)| (text, stored.redacted);
        let journaled = self.replay.answers.get(&digest).cloned().map(known);
        let built = || built.map(|text| (text.clone(), false));
        let cached = || if read { cache.answer(digest).map(known) } else { None };
        journaled.or_else(built).or_else(cached)
    }

    /// Asks, and journals.
    fn ask(&self, job: &Job, request: &Request, digest: Digest, worker: &Worker<'_>) -> Result<Kept, Lost> {
        let Worker { cache, say, .. } = worker;
        let node = self.graph.node(job.ix);
        let (id, tokenizer) = (node.id(), node.policy.tokenizer);
        if !request.argv.is_empty() {
            let printed = self.run_program(job, request, &worker.request_file)?;
            return self.keep(id, digest, &printed, "", (0, 0), cache);
        }
        let tokens = match digest == job.today.request {
            true => job.tokens,
            false => request.messages.iter().map(|message| count(tokenizer, &message.content) as u64).sum(),
        };
        let hear = |heard| drop(say.send(Word::Heard(job.ix, heard)));
        let call = Call { request, tokens, factors: &job.factors, tokenizer, purse: self.purse, hear: &hear };
        let all = self.providers.ask(&node.model.provider, &call);
        let outcome = match all.last().map(|last| (&last.answer, last.spent)) {
            Some((Ok(answer), spent)) => {
                self.keep(id, digest, &answer.text, &answer.model, (spent.input, spent.output), cache)
            }
            Some((Err(refusal), _)) => Err(Lost {
                fatal: refusal.cause == Cause::Money,
                turned_away: matches!(refusal.cause, Cause::Money | Cause::Interrupted),
                interrupted: refusal.cause == Cause::Interrupted,
                ..Lost::from(self.redactor.clean(&refusal.to_string()).into_owned())
            }),
            None => Err(Lost::from("nobody was asked".to_owned())),
        };
        for tried in all {
            let _ = say.send(Word::Tried(job.ix, digest, tokens, Box::new(tried)));
        }
        outcome
    }

    fn run_program(&self, job: &Job, request: &Request, file: &Scratch) -> Result<String, Lost> {
        self.providers
            .permit(&request.argv)
            .map_err(|refusal| Lost { turned_away: true, ..Lost::from(refusal.to_string()) })?;
        let id = self.graph.node(job.ix).id();
        let json = serde_json::to_string(request).map_err(|error| error.to_string())?;
        let place = file.path().to_string_lossy();
        file.write(&json).map_err(|error| format!("{place} cannot be written: {error}"))?;
        let environment = [("MEU_TASK", id), ("MEU_REQUEST", &*place)];
        let printed = run_program(&request.argv, &request.text(), &environment, self.store_root, None);
        let printed = printed.map_err(|refusal| self.redactor.clean(&refusal.to_string()).into_owned())?;
        if printed.trim().is_empty() {
            return Err("the program printed nothing".to_owned().into());
        }
        Ok(printed)
    }

    /// Puts an answer into the journal, and into the cache.
    fn keep(
        &self,
        task: &str,
        request: Digest,
        text: &str,
        model: &str,
        (tokens_in, tokens_out): (u64, u64),
        cache: &Cache<'_>,
    ) -> Result<Kept, Lost> {
        let stored =
            Stored { text: Digest::of(""), tokens_in, tokens_out, model: model.to_owned(), redacted: false };
        let filed = file_answer(self.journal, cache, self.redactor, (task, request), text, stored);
        if !filed.cached {
            // Whatever becomes of the task, this answer is in the journal alone.
            self.all_cached.store(false, Ordering::SeqCst);
        }
        match filed.lost() {
            Some(error) => Err(Lost {
                fatal: true,
                ..Lost::from(format!(
                    "the answer came, but neither journal nor cache can be written: {error} (make room, then run again)"
                ))
            }),
            None => Ok(Kept { raw: filed.raw, text: filed.text }),
        }
    }
}

/// An answer, filed.
pub(super) struct Filed {
    /// Its text as it is kept.
    pub(super) text: String,
    /// As it came, if something was taken out of it.
    raw: Option<String>,
    journaled: std::io::Result<()>,
    cached: bool,
}

impl Filed {
    /// Why it is nowhere, if so.
    pub(super) fn lost(&self) -> Option<&std::io::Error> {
        self.journaled.as_ref().err().filter(|_| !self.cached)
    }
}

/// Puts an answer into the journal, before anything else happens to it, and into the cache. `stored` is what is known
/// of it, but for its text.
pub(super) fn file_answer(
    journal: &Journal<'_>,
    cache: &Cache<'_>,
    redactor: &Redactor,
    (task, request): (&str, Digest),
    answer: &str,
    stored: Stored,
) -> Filed {
    let raw = output_form(answer);
    let text = output_form(&redactor.clean(answer));
    let redacted = raw != text;
    let stored = Stored { text: Digest::of(&text), redacted, ..stored };
    let entry = Entry::Answer { task: task.to_owned(), request, stored: stored.clone(), text: text.clone() };
    let journaled = journal.add(&entry, true);
    let cached = cache.put_answer(request, &stored, &text).is_ok();
    Filed { raw: redacted.then_some(raw), text, journaled, cached }
}

/// A provider that was asked, as an event.
pub(super) fn tried_event(config: &Config, task: &str, request: Digest, tried: &Tried) -> event::Tried {
    let refusal = tried.answer.as_ref().err();
    let (model, finish) = match &tried.answer {
        Ok(answer) => (answer.model.clone(), answer.finish.clone()),
        Err(refusal) => (String::new(), refusal.finish.clone()),
    };
    let api = config.providers.get(&tried.provider).map(|provider| provider.api.word());
    let parameter = |name: &str| tried.parameters.iter().find(|(known, _)| *known == name);
    let number = |name: &str| parameter(name).and_then(|(_, text)| serde_json::from_str(text).ok());
    event::Tried {
        task: task.to_owned(),
        request,
        provider: tried.provider.clone(),
        api: api.unwrap_or_default().to_owned(),
        model: tried.model.clone(),
        temperature: number("temperature"),
        max_tokens: number("max_output_tokens"),
        seed: number("seed"),
        answered_by: model,
        finish_reasons: finish.into_iter().collect(),
        tokens_in: tried.spent.input,
        tokens_cached: tried.spent.cached,
        tokens_out: tried.spent.output,
        tokens_reasoning: tried.spent.reasoning,
        error: refusal.map(ToString::to_string),
        text: refusal.and_then(|refusal| refusal.text.clone()),
        cost: tried.spent.cost,
        unknown: tried.unknown,
        cost_unknown: tried.at_worst.cost,
        retries: tried.retries,
        ms: tried.ms,
    }
}
