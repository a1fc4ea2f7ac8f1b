//! The loop: which task is next, who is asked, when it ends.

use std::collections::{BinaryHeap, HashMap};
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::Scope;
use std::time::Duration;

use crate::context::Shelf;
use crate::diag::Error;
use crate::digest::Digest;
use crate::disk::{
    Cache, Durability, Entry, Journal, RunLog, SentItem, Stored, Workspace, interrupted, run_name,
    sent_items, write_failures,
};
use crate::event::{Event, Finished, Outcome, Sums};
use crate::graph::{Graph, Ix};
use crate::plan::{Failure, State, Today, Verdict};
use crate::provider::{Providers, run_program};
use crate::request::{Assembled, Reason, Request, build, in_one_line};
use crate::spec::{Order, Runner};
use crate::text::{escape_markers, output_form};

use super::settle::Books;
use super::survey::{Look, Survey};

/// What may be spent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// In the currency of the prices.
    pub cost: Option<f64>,
    /// Tokens sent and answered.
    pub tokens: Option<u64>,
}

/// How to run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The tasks wanted; what they require comes with them.
    pub targets: Vec<Ix>,
    /// Calls under way at once.
    pub jobs: usize,
    /// Go on with what does not depend on a failed task.
    pub keep_going: bool,
    /// Ask again, whatever is recorded.
    pub force: Vec<Ix>,
    /// Take these as they are.
    pub assume_fresh: Vec<Ix>,
    /// Which of the tasks that may run goes first.
    pub order: Order,
    /// Ask nobody.
    pub frozen: bool,
    /// Do not read the cache.
    pub no_cache: bool,
    /// What may be spent.
    pub limits: Limits,
    /// Tasks that may not be asked for, and why: a program that nobody allowed, a key that is missing.
    pub refused: HashMap<Ix, Error>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The sums.
    pub sums: Sums,
    /// Whether a person interrupted it.
    pub interrupted: bool,
    /// Tasks that were not reached.
    pub not_reached: usize,
}

/// Brings the targets up to date. The caller holds the project.
pub fn run(
    workspace: &Workspace,
    providers: &Providers,
    options: &Options,
    tell: &mut dyn FnMut(&Event),
) -> Result<Ran, Error> {
    let graph = &workspace.graph;
    let chosen = graph.closure(options.targets.iter().copied(), |ix| graph.hard(ix));
    let journal = Journal::new(&workspace.store);
    let cache = Cache(&workspace.store);
    workspace.store.sweep();
    let kept = workspace.replay.keep(&cache);
    let books = Books {
        workspace,
        journal: &journal,
        lock: workspace.lock.clone(),
        failures: workspace.failures.clone(),
    };
    let name = run_name();
    let mut log = RunLog::new(&workspace.store, &name);
    let mut begun = false;
    let total = chosen.iter().filter(|chosen| **chosen).count();
    let started = Event::RunStarted { run: name.clone(), tasks: total };
    let mut emit = |event: Event| {
        // A run in which nothing happens leaves no record.
        let worth_keeping = matches!(event, Event::TaskStarted { .. } | Event::TaskFinished(_));
        if worth_keeping && !std::mem::replace(&mut begun, true) {
            log.add(&started);
        }
        if begun {
            log.add(&event);
        }
        tell(&event);
    };
    emit(started.clone());

    let (jobs_to, jobs_from) = mpsc::channel::<Job>();
    let (done_to, done_from) = mpsc::channel::<Done>();
    let jobs_from = Mutex::new(jobs_from);
    let ran = std::thread::scope(|scope| {
        let mut executor = Executor {
            survey: Survey::new(workspace, Some(chosen.clone())),
            graph,
            workspace,
            providers,
            options,
            books,
            cache,
            chosen: &chosen,
            keys: keys(graph, options, &chosen),
            ready: BinaryHeap::new(),
            waiting: BinaryHeap::new(),
            open: Vec::new(),
            dependants: graph.dependants(),
            in_flight: 0,
            reserved: (0.0, 0),
            workers: 0,
            stop: false,
            sums: Sums { cost: Some(0.0), ..Sums::default() },
            reached: 0,
            kept,
            refusal: None,
            emit: &mut emit,
        };
        executor.main_loop(scope, &jobs_to, &jobs_from, &done_to, &done_from)?;
        drop(jobs_to);
        let interrupted = interrupted();
        let finished = executor.finish(total, interrupted);
        Ok::<_, Error>(finished)
    });
    let ran = ran?;
    emit(Event::RunFinished { run: name, sums: ran.sums.clone() });
    ran.into_result()
}

/// A finished run, and whether its books could be closed.
struct Closed {
    sums: Sums,
    ran: Ran,
    trouble: Option<Error>,
}

impl Closed {
    fn into_result(self) -> Result<Ran, Error> {
        match self.trouble {
            Some(error) => Err(error),
            None => Ok(self.ran),
        }
    }
}

/// A request for a worker.
struct Job {
    ix: Ix,
    today: Today,
    request: Request,
    items: Vec<SentItem>,
    provider: String,
    reasons: Vec<Reason>,
    reserved: (f64, u64),
}

/// What a worker brings back.
struct Done {
    job: Job,
    answer: Result<Got, Lost>,
}

/// An answer, in the journal already.
struct Got {
    stored: Stored,
    text: String,
    ms: u64,
    /// Whether the provider counted the tokens itself.
    counted: bool,
    /// Whether the answer is in the cache too.
    kept: bool,
}

/// Why there is no answer.
struct Lost {
    message: String,
    /// Whether the next one would be lost as well.
    fatal: bool,
}

/// A task in a queue; the smallest key comes first.
#[derive(PartialEq, Eq)]
struct Queued<T> {
    key: (usize, usize),
    what: T,
}

impl<T: Eq> Ord for Queued<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.key.cmp(&self.key)
    }
}

impl<T: Eq> PartialOrd for Queued<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.ix == other.ix
    }
}

impl Eq for Job {}

/// For each task its place among those that may run.
fn keys(graph: &Graph, options: &Options, chosen: &[bool]) -> Vec<(usize, usize)> {
    let mut ranked: Vec<Ix> = (0..graph.len()).map(Ix).collect();
    ranked.sort_by_key(|ix| graph.rank(*ix));
    let mut keys = vec![(0, 0); graph.len()];
    for (rank, ix) in ranked.iter().enumerate() {
        let first = if options.order == Order::Bfs { graph.node(*ix).level } else { 0 };
        keys[ix.0] = (first, rank);
    }
    if options.order == Order::Postorder {
        let mut next = 0;
        let mut seen = vec![false; graph.len()];
        let tops = ranked.iter().filter(|ix| options.targets.contains(ix) && chosen[ix.0]);
        for top in tops {
            let mut stack = vec![(*top, false)];
            while let Some((ix, done)) = stack.pop() {
                if done {
                    keys[ix.0] = (next, 0);
                    next += 1;
                } else if !std::mem::replace(&mut seen[ix.0], true) {
                    stack.push((ix, true));
                    let mut above: Vec<Ix> = graph.ordering(ix).filter(|above| chosen[above.0]).collect();
                    above.sort_by_key(|above| std::cmp::Reverse(graph.rank(*above)));
                    stack.extend(above.into_iter().map(|above| (above, false)));
                }
            }
        }
    }
    keys
}

struct Executor<'a, 'e> {
    survey: Survey<'a>,
    graph: &'a Graph,
    workspace: &'a Workspace,
    providers: &'a Providers,
    options: &'a Options,
    books: Books<'a>,
    cache: Cache<'a>,
    chosen: &'a [bool],
    keys: Vec<(usize, usize)>,
    /// Tasks that nothing above holds up.
    ready: BinaryHeap<Queued<Ix>>,
    /// Requests that no worker has taken yet.
    waiting: BinaryHeap<Queued<Job>>,
    /// For each task how many above it have not ended.
    open: Vec<usize>,
    dependants: Vec<Vec<Ix>>,
    in_flight: usize,
    /// Cost and tokens of calls under way, at their worst.
    reserved: (f64, u64),
    workers: usize,
    stop: bool,
    sums: Sums,
    reached: usize,
    /// Whether every answer of the journal is in the cache too.
    kept: bool,
    /// What ends the run as a whole.
    refusal: Option<Error>,
    emit: &'e mut dyn FnMut(Event),
}

impl<'a> Executor<'a, '_> {
    fn main_loop<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        jobs_to: &Sender<Job>,
        jobs_from: &'scope Mutex<Receiver<Job>>,
        done_to: &Sender<Done>,
        done_from: &Receiver<Done>,
    ) -> Result<(), Error>
    where
        'a: 'scope,
    {
        self.open = (0..self.graph.len())
            .map(|at| {
                let mut above: Vec<Ix> =
                    self.graph.ordering(Ix(at)).filter(|above| self.chosen[above.0]).collect();
                above.sort_unstable();
                above.dedup();
                above.len()
            })
            .collect();
        for dependants in &mut self.dependants {
            dependants.sort_unstable();
            dependants.dedup();
        }
        for at in (0..self.graph.len()).filter(|at| self.chosen[*at] && self.open[*at] == 0) {
            self.ready.push(Queued { key: self.keys[at], what: Ix(at) });
        }
        loop {
            // What needs no worker is done while workers wait; no request overtakes a task that ranks first.
            while let Some(next) = self.next_ready() {
                self.take(next);
            }
            if self.dispatch(scope, jobs_to, jobs_from, done_to) {
                continue;
            }
            if self.in_flight == 0 {
                if self.stopped() || (self.ready.is_empty() && self.waiting.is_empty()) {
                    return Ok(());
                }
                continue;
            }
            match done_from.recv_timeout(Duration::from_millis(100)) {
                Ok(done) => self.answered(done),
                // Time to look whether a person wants it to end.
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Error::failed("all workers are gone")),
            }
        }
    }

    fn stopped(&self) -> bool {
        self.stop || interrupted()
    }

    /// The next task to look at, if it ranks before every request that waits.
    fn next_ready(&mut self) -> Option<Ix> {
        if self.stopped()
            || self.waiting.peek().is_some_and(|job| self.ready.peek().is_some_and(|next| next.key > job.key))
        {
            return None;
        }
        self.ready.pop().map(|next| next.what)
    }

    /// Hands the first request that waits to a worker, if there is room.
    fn dispatch<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        jobs_to: &Sender<Job>,
        jobs_from: &'scope Mutex<Receiver<Job>>,
        done_to: &Sender<Done>,
    ) -> bool
    where
        'a: 'scope,
    {
        if self.in_flight >= self.options.jobs.max(1) || self.stopped() {
            return false;
        }
        {
            let Some(Queued { what: mut job, .. }) = self.waiting.pop() else { return false };
            if let Err(error) = self.books.journal.open() {
                let message =
                    format!("the journal cannot be written, and without it no answer is safe: {error}");
                self.refuse(job.ix, Error::failed(message).help("make room, then run again"), &job.reasons);
                return false;
            }
            match self.reserve(&job) {
                Ok(reserved) => job.reserved = reserved,
                Err(message) => {
                    self.turn_away(job.ix, message, &job.reasons);
                    self.stop = true;
                    return false;
                }
            }
            (self.emit)(Event::TaskStarted { task: self.graph.node(job.ix).id().to_owned() });
            self.cache.put_request(job.today.request, &job.request, &job.items);
            if self.workers <= self.in_flight {
                self.workers += 1;
                let (graph, providers, workspace) = (self.graph, self.providers, self.workspace);
                let journal = self.books.journal;
                let store = &*workspace.store;
                let done_to = done_to.clone();
                scope.spawn(move || {
                    let ask = Ask { graph, providers, journal, store_root: store.root(), meu: store.meu() };
                    loop {
                        let job = jobs_from.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
                        let Ok(job) = job else { return };
                        let answer = ask.answer(&job, &Cache(store));
                        if done_to.send(Done { job, answer }).is_err() {
                            return;
                        }
                    }
                });
            }
            self.in_flight += 1;
            if jobs_to.send(job).is_err() {
                self.stop = true;
            }
            true
        }
    }

    /// Reserves a call's worst case; the error says why it may not be made.
    fn reserve(&mut self, job: &Job) -> Result<(f64, u64), String> {
        let limits = self.options.limits;
        let is_model = self.graph.node(job.ix).task.run == Runner::Model;
        if (limits.cost.is_none() && limits.tokens.is_none()) || !is_model {
            return Ok((0.0, 0));
        }
        let node = self.graph.node(job.ix);
        let tokens_in = self.tokens_of(job.ix, &job.request);
        let tokens = tokens_in + node.model.max_output_tokens as u64;
        let price = self.providers.price(&job.provider).unwrap_or_default();
        let cost =
            (tokens_in as f64 * price.input + node.model.max_output_tokens as f64 * price.output) / 1e6;
        let spent = self.sums.cost.unwrap_or_default();
        if let Some(cap) = limits.cost
            && spent + self.reserved.0 + cost > cap
        {
            return Err(format!(
                "its call could cost {cost:.4} and {spent:.4} of {cap:.4} are spent, {:.4} under way (raise --max-cost; the next run goes on here)",
                self.reserved.0
            ));
        }
        let used = self.sums.tokens_in + self.sums.tokens_out;
        if let Some(cap) = limits.tokens
            && used + self.reserved.1 + tokens > cap
        {
            return Err(format!(
                "its call could take {tokens} tokens and {used} of {cap} are used (raise --max-tokens; the next run goes on here)"
            ));
        }
        self.reserved.0 += cost;
        self.reserved.1 += tokens;
        Ok((cost, tokens))
    }

    fn tokens_of(&self, ix: Ix, request: &Request) -> u64 {
        let tokenizer = self.graph.node(ix).policy.tokenizer;
        let count = |text: &str| self.workspace.shelf.count(tokenizer, text) as u64;
        request.messages.iter().map(|message| count(&message.content)).sum()
    }

    /// A ready task: done with, settled here, or queued for a worker.
    fn take(&mut self, ix: Ix) {
        self.reached += 1;
        let look = self.survey.look(ix, &self.books.lock, &self.books.failures);
        let forced = self.options.force.contains(&ix);
        let verdict = &look.verdict;
        if self.options.assume_fresh.contains(&ix)
            && !matches!(verdict.state, State::Missing | State::Duplicate)
        {
            self.sums.fresh += 1;
            let mut verdict = look.verdict;
            verdict.state = State::Fresh;
            return self.ended(ix, verdict);
        }
        if self.graph.node(ix).task.run == Runner::Manual {
            return self.manual(ix, look);
        }
        match verdict.state {
            State::Duplicate | State::Orphan => self.ended(ix, look.verdict),
            State::Blocked => {
                let above: Vec<&str> = verdict.on.iter().map(|above| self.graph.node(*above).id()).collect();
                let reason = format!("it requires {}", above.join(", "));
                self.sums.blocked += 1;
                self.report(ix, Outcome::Blocked, reason, &look.verdict.reasons.clone(), None, 0);
                self.ended(ix, look.verdict);
            }
            State::Fresh | State::Edited | State::Awaiting if !forced && !verdict.must_run() => {
                self.keep_record(ix, &look);
                if verdict.state == State::Awaiting {
                    self.awaits(ix, "its output awaits approval".into(), &[], None, 0);
                } else {
                    self.sums.fresh += 1;
                }
                self.ended(ix, look.verdict);
            }
            _ => self.make(ix, look, forced),
        }
    }

    /// A task that a person writes: noticed, recorded, never made.
    fn manual(&mut self, ix: Ix, look: Look) {
        let output = self.graph.node(ix).output.clone();
        match look.verdict.state {
            State::Missing => {
                self.sums.blocked += 1;
                self.report(ix, Outcome::Blocked, format!("a person writes {output}"), &[], None, 0);
            }
            State::Stale => {
                let id = self.graph.node(ix).id();
                (self.emit)(Event::Notice {
                    message: format!(
                        "{id}: what {output} was written for has changed ({}); edit it, or `meu adopt {id}`",
                        in_one_line(&look.verdict.reasons)
                    ),
                });
                self.sums.fresh += 1;
            }
            State::Fresh | State::Awaiting => {
                if let (Some(today), Ok(Some(text))) = (&look.today, self.workspace.shelf.text(&output)) {
                    self.cache.put_text(&text);
                    let built = crate::digest::TextId::of(&text);
                    self.books.failures.remove(self.graph.node(ix).id());
                    let old = look.record.as_ref().filter(|old| old.knows(built.blake3));
                    self.books.lock.put(crate::lock::Record {
                        task: self.graph.node(ix).id().to_owned(),
                        output: output.to_string(),
                        request: today.request,
                        parts: today.parts.clone(),
                        approved: old
                            .and_then(|old| old.approved)
                            .filter(|_| self.graph.node(ix).task.approval),
                        built,
                        accepted: None,
                    });
                }
                if look.verdict.state == State::Awaiting {
                    self.awaits(ix, "its text awaits approval".into(), &[], None, 0);
                } else {
                    self.sums.fresh += 1;
                }
            }
            State::Failed if look.today.is_none() => {
                let message = look.verdict.message.clone().unwrap_or_default();
                self.fail(ix, look.today.map(|today| today.request), message, &look.verdict.reasons);
                return;
            }
            State::Blocked => {
                self.sums.blocked += 1;
                self.report(
                    ix,
                    Outcome::Blocked,
                    "something that it requires is not up to date".into(),
                    &[],
                    None,
                    0,
                );
            }
            _ => {}
        }
        self.ended(ix, look.verdict);
    }

    /// A fresh task's record follows what explains it, and a moved output.
    fn keep_record(&mut self, ix: Ix, look: &Look) {
        let (Some(record), Some(today)) = (&look.record, &look.today) else { return };
        let output = self.graph.node(ix).output.as_str();
        let approved = record.approved.filter(|_| self.graph.node(ix).task.approval);
        if record.request == today.request {
            self.books.lock.put(crate::lock::Record {
                parts: today.parts.clone(),
                output: output.to_owned(),
                approved,
                ..record.clone()
            });
        } else {
            // Of several lines that a merge left, this is the one.
            self.books.lock.put(record.clone());
        }
        self.books.failures.remove(self.graph.node(ix).id());
    }

    /// A task whose output must be made: from what is stored, here, or by a worker.
    fn make(&mut self, ix: Ix, look: Look, forced: bool) {
        let node = self.graph.node(ix);
        let reasons = look.verdict.reasons.clone();
        let Some(today) = look.today else {
            let message = look.verdict.message.unwrap_or_else(|| "no request could be put together".into());
            return self.fail(ix, None, message, &reasons);
        };
        // A changed place first: what is at the old one goes along, with all that a person wrote there.
        if let Some(record) = look.record.as_ref().filter(|record| record.output != node.output.as_str())
            && self.workspace.shelf.digest(&node.output).ok().flatten().is_none()
        {
            match self.books.carry_over(ix, record) {
                Ok(false) => {}
                Ok(true) => {
                    let again = self.survey.look(ix, &self.books.lock, &self.books.failures);
                    if !again.verdict.must_run() && !forced {
                        return self.made(ix, Outcome::Cached, again.verdict, &reasons, None, 0);
                    }
                    return self.make(ix, again, forced);
                }
                Err(message) => return self.fail(ix, Some(today.request), message, &reasons),
            }
        }
        let gone = look.verdict.state == State::Missing
            || self.workspace.shelf.digest(&node.output).ok().flatten().is_none();
        let same = look.record.as_ref().is_some_and(|record| record.request == today.request);
        if gone
            && same
            && !forced
            && let Some(record) = &look.record
            && let Some(restored) = self.books.restore(ix, record, &today, !self.options.no_cache)
        {
            return match restored {
                Ok(verdict) => self.made(ix, Outcome::Cached, verdict, &reasons, None, 0),
                Err(message) => self.fail(ix, Some(today.request), message, &reasons),
            };
        }
        let assembled = match look.assembled {
            Some(assembled) => assembled,
            None => match build(self.survey.scene(), ix, &[], &self.workspace.shelf) {
                Ok(assembled) => Box::new(assembled),
                Err(trouble) => return self.fail(ix, Some(today.request), trouble.to_string(), &reasons),
            },
        };
        // The request that is sent, recorded and explained is this one, whatever was looked at before.
        let today = Today { request: assembled.digest, parts: assembled.parts.clone() };
        match &node.task.run {
            Runner::Template | Runner::Assemble => {
                let text = assembled.request.messages.first().map(|message| output_form(&message.content));
                let text = self.as_output(ix, &text.unwrap_or_default());
                let verdict = self.books.settle(ix, &today, &text, Durability::Grouped);
                self.made(ix, Outcome::Built, verdict, &reasons, None, 0);
            }
            _ => self.answer(ix, today, *assembled, reasons, forced),
        }
    }

    fn as_output(&self, ix: Ix, text: &str) -> String {
        if Some(ix) == self.graph.root() { escape_markers(text) } else { text.to_owned() }
    }

    /// A task that somebody answers: the journal first, then the cache, then a worker.
    fn answer(&mut self, ix: Ix, today: Today, assembled: Assembled, reasons: Vec<Reason>, forced: bool) {
        let journaled = self.workspace.replay.answers.get(&today.request).cloned();
        let stored = journaled.or_else(|| {
            let read = !forced && !self.options.no_cache;
            read.then(|| self.cache.answer(today.request)).flatten()
        });
        if let Some((_, text)) = stored {
            let text = self.as_output(ix, &text);
            let verdict = self.books.settle(ix, &today, &text, Durability::Now);
            return self.made(ix, Outcome::Cached, verdict, &reasons, None, 0);
        }
        if self.options.frozen {
            let message =
                "no stored answer for today's request, and --frozen asks nobody (run without --frozen)";
            return self.turn_away(ix, message.into(), &reasons);
        }
        if let Some(error) = self.options.refused.get(&ix) {
            return self.refuse(ix, error.clone(), &reasons);
        }
        self.waiting.push(Queued {
            key: self.keys[ix.0],
            what: Job {
                ix,
                today,
                items: sent_items(&assembled),
                request: assembled.request,
                provider: self.graph.node(ix).model.provider.clone(),
                reasons,
                reserved: (0.0, 0),
            },
        });
    }

    /// A worker is back.
    fn answered(&mut self, done: Done) {
        self.in_flight -= 1;
        let Done { job, answer } = done;
        self.reserved.0 -= job.reserved.0;
        self.reserved.1 -= job.reserved.1;
        match answer {
            Ok(Got { stored, text, ms, counted, kept }) => {
                self.kept &= kept;
                let is_model = self.graph.node(job.ix).task.run == Runner::Model;
                let stored = match (is_model, counted) {
                    (true, false) => {
                        let tokenizer = self.graph.node(job.ix).policy.tokenizer;
                        Stored {
                            tokens_in: self.tokens_of(job.ix, &job.request),
                            tokens_out: self.workspace.shelf.count(tokenizer, &text) as u64,
                            ..stored
                        }
                    }
                    _ => stored,
                };
                let text = self.as_output(job.ix, &text);
                let verdict = self.books.settle(job.ix, &job.today, &text, Durability::Now);
                self.made(job.ix, Outcome::Built, verdict, &job.reasons, Some((&stored, &job)), ms);
            }
            Err(Lost { message, fatal }) => {
                self.stop |= fatal;
                self.fail(job.ix, Some(job.today.request), message, &job.reasons);
            }
        }
    }

    /// An output was made, or could not be put in its place.
    fn made(
        &mut self,
        ix: Ix,
        how: Outcome,
        verdict: Verdict,
        reasons: &[Reason],
        paid: Option<(&Stored, &Job)>,
        ms: u64,
    ) {
        let (outcome, reason) = match verdict.state {
            State::Failed => (Outcome::Failed, verdict.message.clone().unwrap_or_default()),
            State::Awaiting => {
                (Outcome::Awaiting, format!("{}; its output awaits approval", in_one_line(reasons)))
            }
            State::Edited => (how, format!("{}; merged into the edited text", in_one_line(reasons))),
            _ => (how, in_one_line(reasons)),
        };
        match outcome {
            Outcome::Failed => {
                self.sums.failed += 1;
                self.stop |= !self.options.keep_going;
            }
            Outcome::Awaiting => self.sums.awaiting += 1,
            Outcome::Cached => self.sums.cached += 1,
            _ => self.sums.built += 1,
        }
        self.report(ix, outcome, reason, reasons, paid, ms);
        self.ended(ix, verdict);
    }

    fn awaits(&mut self, ix: Ix, reason: String, reasons: &[Reason], paid: Option<(&Stored, &Job)>, ms: u64) {
        self.sums.awaiting += 1;
        self.report(ix, Outcome::Awaiting, reason, reasons, paid, ms);
    }

    /// A task that could not be made, for a reason that will hold the next time too.
    fn fail(&mut self, ix: Ix, request: Option<Digest>, message: String, reasons: &[Reason]) {
        let conflict =
            self.books.failures.get(self.graph.node(ix).id()).and_then(|failure| failure.conflict.clone());
        let failure = Failure { request, message: message.clone(), conflict };
        let verdict = self.books.failed(ix, failure);
        self.end_failed(ix, verdict, message, reasons);
    }

    /// A task that this run may not make; what is recorded of it stays.
    fn turn_away(&mut self, ix: Ix, message: String, reasons: &[Reason]) {
        self.end_failed(ix, Verdict::failed(message.clone()), message, reasons);
    }

    /// A task that nobody may be asked for: the run ends.
    fn refuse(&mut self, ix: Ix, error: Error, reasons: &[Reason]) {
        self.turn_away(ix, error.message.clone(), reasons);
        self.refusal = Some(error);
        self.stop = true;
    }

    fn end_failed(&mut self, ix: Ix, verdict: Verdict, message: String, reasons: &[Reason]) {
        self.sums.failed += 1;
        self.stop |= !self.options.keep_going;
        self.report(ix, Outcome::Failed, message, reasons, None, 0);
        self.ended(ix, verdict);
    }

    fn report(
        &mut self,
        ix: Ix,
        status: Outcome,
        reason: String,
        reasons: &[Reason],
        paid: Option<(&Stored, &Job)>,
        ms: u64,
    ) {
        let node = self.graph.node(ix);
        let (tokens_in, tokens_out, cost) = match paid {
            None => (0, 0, Some(0.0)),
            Some((stored, job)) => {
                let price = self.providers.price(&job.provider);
                let is_model = node.task.run == Runner::Model;
                let cost = match price {
                    _ if !is_model => Some(0.0),
                    Some(price) => Some(
                        (stored.tokens_in as f64 * price.input + stored.tokens_out as f64 * price.output)
                            / 1e6,
                    ),
                    None => None,
                };
                (stored.tokens_in, stored.tokens_out, cost)
            }
        };
        self.sums.tokens_in += tokens_in;
        self.sums.tokens_out += tokens_out;
        self.sums.cost = self.sums.cost.zip(cost).map(|(sum, cost)| sum + cost);
        (self.emit)(Event::TaskFinished(Finished {
            task: node.id().to_owned(),
            status,
            reason,
            reasons: reasons.to_vec(),
            tokens_in,
            tokens_out,
            cost,
            ms,
            output: node.output.to_string(),
            request: self.survey.request(ix),
        }));
    }

    /// A task ended: those below it may be ready now.
    fn ended(&mut self, ix: Ix, verdict: Verdict) {
        self.survey.decided(ix, verdict);
        for at in 0..self.dependants[ix.0].len() {
            let below = self.dependants[ix.0][at];
            if !self.chosen[below.0] {
                continue;
            }
            self.open[below.0] -= 1;
            if self.open[below.0] == 0 {
                self.ready.push(Queued { key: self.keys[below.0], what: below });
            }
        }
    }

    /// Closes the books: outputs synced, then the lock, then the journal's end.
    fn finish(self, total: usize, interrupted: bool) -> Closed {
        let store = &self.workspace.store;
        let close = || -> std::io::Result<()> {
            store.sync_written()?;
            let text = self.books.lock.to_text();
            if text != self.workspace.lock_text {
                let path = crate::path::RelPath::parse("meu.lock")
                    .map_err(|problem| std::io::Error::other(problem.message()))?;
                store.write(&path, &text, Durability::Now)?;
                store.sync_written()?;
            }
            // An answer that nothing else has stays in the journal.
            if self.kept {
                self.books.journal.end()?;
            }
            write_failures(store, &self.books.failures)
        };
        let trouble = close().err().map(|error| {
            Error::failed(format!("the lock cannot be written: {error}"))
                .help("nothing is lost: mend that and run again, the journal in .meu/ has it all")
        });
        let trouble = self.refusal.clone().or(trouble);
        self.workspace.shelf.save();
        Closed {
            sums: self.sums.clone(),
            ran: Ran { sums: self.sums, interrupted, not_reached: total - self.reached },
            trouble,
        }
    }
}

/// What a worker needs to ask.
struct Ask<'a> {
    graph: &'a Graph,
    providers: &'a Providers,
    journal: &'a Journal<'a>,
    store_root: &'a Path,
    meu: &'a Path,
}

impl Ask<'_> {
    /// Asks, and has the answer in the journal before it goes anywhere else.
    fn answer(&self, job: &Job, cache: &Cache<'_>) -> Result<Got, Lost> {
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
