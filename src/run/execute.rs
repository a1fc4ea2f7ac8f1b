//! The loop: which task is next, who is asked, when it ends.

use std::collections::{BinaryHeap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::Scope;
use std::time::Duration;

use crate::diag::Error;
use crate::disk::{Cache, Journal, Moment, Recorded, RunLog, Usage, Workspace};
use crate::disk::{interrupted, run_name, write_failures};
use crate::event::{Event, Standing, Sums};
use crate::graph::{Graph, Ix, open_counts};
use crate::plan::{State, Verdict};
use crate::provider::{Limits, Providers, Purse};
use crate::spec::Order;

use super::ask::{Ask, Job, Word, Worker};
use super::person::failed;
use super::queue::{Queued, keys};
use super::settle::Books;
use super::survey::Survey;
use super::task::Paid;

/// How often it is told how far a run is.
const TICK: Duration = Duration::from_millis(100);

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
    /// Tasks that are not up to date after it: failed, blocked, or awaiting approval.
    pub undone: Vec<String>,
    /// What each task came to.
    pub verdicts: Vec<Option<Verdict>>,
    /// What it wrote to the lock.
    pub recorded: Recorded,
    /// What ended it as a whole, or kept it from being recorded.
    pub trouble: Option<Error>,
    /// Whether an output was left as it is, since somebody saved it while it was to be written.
    pub saved_meanwhile: bool,
}

impl Ran {
    /// Whether each task came to what would be found if it were looked at anew: up to date, or edited by a person
    /// before the run.
    pub fn is_final(&self) -> bool {
        let is_final = |verdict: &Verdict| match verdict.state {
            State::Duplicate => true,
            State::Fresh => verdict.unchanged == Some(true) && verdict.reasons.is_empty(),
            // An edit that an answer was merged into has no reasons yet.
            State::Edited => verdict.unchanged == Some(true) && !verdict.reasons.is_empty(),
            _ => false,
        };
        let whole = !self.interrupted && self.trouble.is_none();
        whole && self.not_reached == 0 && self.verdicts.iter().flatten().all(is_final)
    }
}

/// Brings the targets up to date. The caller holds the project. Once `cancel` says so nobody is asked any
/// more; answers under way come and are kept.
pub fn run(
    workspace: &Workspace,
    providers: &Providers,
    options: &Options,
    cancel: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(&Event),
) -> Result<Ran, Error> {
    let graph = &workspace.graph;
    let chosen = graph.closure(options.targets.iter().copied(), |ix| graph.hard(ix));
    let journal = Journal::new(&workspace.store);
    let cache = Cache(&workspace.store);
    workspace.store.sweep();
    let all_cached = AtomicBool::new(workspace.replay.keep(&cache));
    let books = Books {
        workspace,
        journal: &journal,
        lock: workspace.lock.clone(),
        failures: workspace.failures.clone(),
        saved_meanwhile: false,
    };
    let name = run_name();
    let mut log = RunLog::new(&workspace.store, &name, workspace.redactor.clone());
    let mut begun = false;
    // Those outside of a part are up to date.
    let outside = graph.outside();
    let total = chosen.iter().filter(|chosen| **chosen).count() + outside;
    let started = Event::RunStarted { run: name.clone(), tasks: total };
    let mut emit = |event: Event| {
        // A run in which nothing happens leaves no record.
        let worth_keeping = matches!(event, Event::TaskStarted { .. } | Event::TaskFinished(_));
        if worth_keeping && !std::mem::replace(&mut begun, true) {
            log.add(&started);
        }
        if begun && !matches!(event, Event::Progress { .. } | Event::Tick(_)) {
            log.add(&event);
        }
        tell(&event);
    };
    emit(started.clone());

    let (jobs_to, jobs_from) = mpsc::channel::<Job>();
    let (words_to, words_from) = mpsc::channel::<Word>();
    let purse = Purse::new(options.limits);
    let jobs_from = Mutex::new(jobs_from);
    let ran = std::thread::scope(|scope| {
        let mut executor = Executor {
            survey: Survey::new(workspace, Some(chosen.clone())),
            graph,
            workspace,
            providers,
            purse: &purse,
            options,
            cancel,
            books,
            cache,
            chosen: &chosen,
            keys: keys(graph, options, &chosen),
            ready: BinaryHeap::new(),
            waiting: BinaryHeap::new(),
            asking: Vec::new(),
            same: Vec::new(),
            open: Vec::new(),
            dependants: graph.dependants(),
            in_flight: 0,
            answers: HashMap::new(),
            paid: HashMap::new(),
            workers: 0,
            stop: false,
            short: false,
            sums: Sums { fresh: outside, cost: Some(0.0), cost_unknown: Some(0.0), ..Sums::default() },
            reached: outside,
            ended: outside,
            total,
            all_cached: &all_cached,
            undone: Vec::new(),
            refusal: None,
            usage: Usage::load(&workspace.store),
            emit: &mut emit,
        };
        executor.main_loop(scope, &jobs_to, &jobs_from, &words_to, &words_from)?;
        drop(jobs_to);
        let interrupted = interrupted();
        let finished = executor.finish(interrupted);
        Ok::<_, Error>(finished)
    });
    let ran = ran?;
    if ran.recorded == Recorded::BesideOthers {
        let message =
            "somebody changed meu.lock during this run: what came with it is looked at by the next one";
        emit(Event::Notice { message: message.into() });
    }
    let bad = ran.sums.failed + ran.sums.blocked + ran.sums.awaiting > 0 || ran.trouble.is_some();
    let status = match (ran.interrupted, bad) {
        (true, _) => "interrupted",
        (false, true) => "failed",
        (false, false) => "done",
    };
    emit(Event::RunFinished { run: name, status, sums: ran.sums.clone() });
    Ok(ran)
}

/// A run under way. Its steps for one task are in file `task`.
pub(super) struct Executor<'a, 'e> {
    pub(super) survey: Survey<'a>,
    pub(super) graph: &'a Graph,
    pub(super) workspace: &'a Workspace,
    pub(super) providers: &'a Providers,
    pub(super) purse: &'a Purse,
    pub(super) options: &'a Options,
    pub(super) cancel: &'a dyn Fn() -> bool,
    pub(super) books: Books<'a>,
    pub(super) cache: Cache<'a>,
    pub(super) chosen: &'a [bool],
    pub(super) keys: Vec<(usize, usize)>,
    /// Tasks that nothing above holds up.
    pub(super) ready: BinaryHeap<Queued<Ix>>,
    /// Requests that no worker has taken yet.
    pub(super) waiting: BinaryHeap<Queued<Job>>,
    /// Requests that are being asked, and jobs that wait for their answers.
    pub(super) asking: Vec<crate::digest::Digest>,
    pub(super) same: Vec<Queued<Job>>,
    /// For each task how many above it have not ended.
    pub(super) open: Vec<usize>,
    pub(super) dependants: Vec<Vec<Ix>>,
    pub(super) in_flight: usize,
    /// The answers that tasks got, until they are told.
    pub(super) answers: HashMap<Ix, crate::digest::Digest>,
    /// What the calls of a task took so far.
    pub(super) paid: HashMap<Ix, Paid>,
    pub(super) workers: usize,
    pub(super) stop: bool,
    /// Whether a call did not fit into what may be spent; one such is told.
    pub(super) short: bool,
    pub(super) sums: Sums,
    pub(super) reached: usize,
    pub(super) ended: usize,
    /// How many tasks it is about.
    pub(super) total: usize,
    /// Whether every answer of the journal is in the cache too.
    pub(super) all_cached: &'a AtomicBool,
    pub(super) undone: Vec<String>,
    /// What ends the run as a whole.
    pub(super) refusal: Option<Error>,
    pub(super) usage: Usage,
    pub(super) emit: &'e mut dyn FnMut(Event),
}

impl<'a> Executor<'a, '_> {
    fn main_loop<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        jobs_to: &Sender<Job>,
        jobs_from: &'scope Mutex<Receiver<Job>>,
        words_to: &Sender<Word>,
        words_from: &Receiver<Word>,
    ) -> Result<(), Error>
    where
        'a: 'scope,
    {
        self.open = open_counts(&self.dependants, |at| self.chosen[at]);
        for at in (0..self.graph.len()).filter(|at| self.chosen[*at] && self.open[*at] == 0) {
            self.ready.push(Queued { key: self.keys[at], what: Ix(at) });
        }
        let mut ticked = Moment::now();
        loop {
            // What needs no worker is done while workers wait; no request overtakes a task that ranks first.
            while let Some(next) = self.next_ready() {
                self.take(next);
            }
            if self.dispatch(scope, jobs_to, jobs_from, words_to) {
                continue;
            }
            if self.in_flight == 0 {
                if self.stopped() || (self.ready.is_empty() && self.waiting.is_empty()) {
                    return Ok(());
                }
                continue;
            }
            match words_from.recv_timeout(TICK) {
                Ok(word) => self.heard(word),
                // Time to look whether a person wants it to end.
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Error::failed("all workers are gone")),
            }
            // Also while many words come.
            if ticked.ms() >= TICK.as_millis() as u64 {
                self.tick();
                ticked = Moment::now();
            }
        }
    }

    /// Tells how far the run is.
    fn tick(&mut self) {
        let left = self.total - self.ended;
        let standing = Standing { sums: self.sums.clone(), total: self.total, left, ending: interrupted() };
        (self.emit)(Event::Tick(Box::new(standing)));
    }

    fn stopped(&self) -> bool {
        self.stop || interrupted() || (self.cancel)()
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
        words_to: &Sender<Word>,
    ) -> bool
    where
        'a: 'scope,
    {
        if self.in_flight >= self.options.jobs.max(1) || self.stopped() {
            return false;
        }
        let Some(Queued { key, what: job }) = self.waiting.pop() else { return false };
        // The same request is asked once: who comes second takes the answer.
        if self.asking.contains(&job.today.request) {
            self.same.push(Queued { key, what: job });
            return true;
        }
        if let Err(error) = self.books.journal.open() {
            let message = format!("the journal cannot be written, and without it no answer is safe: {error}");
            self.refuse(
                job.ix,
                Error::failed(message)
                    .help("see that .meu/journal is a file and that there is room, then run again"),
                &job.reasons,
            );
            return false;
        }
        if self.workers <= self.in_flight {
            let (ask, store) = (self.asker(), &*self.workspace.store);
            let request_file = store.scratch(&format!("request-{}.json", self.workers));
            let worker = Worker { cache: Cache(store), say: words_to.clone(), request_file };
            self.workers += 1;
            scope.spawn(move || {
                loop {
                    let job = jobs_from.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
                    let Ok(job) = job else { return };
                    let answer = ask.answer(&job, &worker);
                    if worker.say.send(Word::Done(Box::new(job), answer)).is_err() {
                        return;
                    }
                }
            });
        }
        self.in_flight += 1;
        self.asking.push(job.today.request);
        if jobs_to.send(job).is_err() {
            self.stop = true;
        }
        true
    }

    /// What it takes to ask, and to look at what came.
    pub(super) fn asker(&self) -> Ask<'a> {
        let workspace = self.workspace;
        Ask {
            graph: self.graph,
            providers: self.providers,
            purse: self.purse,
            redactor: &workspace.redactor,
            journal: self.books.journal,
            replay: &workspace.replay,
            all_cached: self.all_cached,
            store_root: workspace.store.root(),
        }
    }

    /// A task ended: those below it may be ready now.
    pub(super) fn ended(&mut self, ix: Ix, verdict: Verdict) {
        self.ended += 1;
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

    /// Closes the books: outputs and cache synced, then the lock, then the failures, then the journal's end.
    fn finish(self, interrupted: bool) -> Ran {
        let store = &self.workspace.store;
        let mut recorded = Recorded::Nothing;
        let mut close = || -> Result<(), Error> {
            let speaks_of_more = self.books.journal.speaks_of_more();
            store.sync_written(speaks_of_more).map_err(|error| failed(error, "what was made"))?;
            // The journal's records are laid over the lock that was read: they are changes too.
            if self.books.lock.is_changed() || self.workspace.replay.found {
                let written = self.workspace.lock_file.write(store, &self.books.lock);
                recorded = written.map_err(|error| failed(error, "the lock"))?;
            }
            let written = write_failures(store, &self.books.failures);
            written.map_err(|error| failed(error, "what failed"))?;
            // An answer that nothing else has stays in the journal.
            if self.all_cached.load(Ordering::SeqCst) {
                self.books.journal.end().map_err(|error| failed(error, "the end of the journal"))?;
            }
            Ok(())
        };
        let trouble = close().err().map(|error| {
            error.help("nothing is lost: mend that and run again, the journal in .meu/ has it all")
        });
        // It makes estimates better, and nothing else.
        let _ = self.usage.save(store);
        self.workspace.shelf.save();
        Ran {
            sums: self.sums,
            interrupted,
            not_reached: self.total - (self.reached - self.waiting.len() - self.same.len()),
            undone: self.undone,
            verdicts: self.survey.into_verdicts(),
            recorded,
            trouble: self.refusal.or(trouble),
            saved_meanwhile: self.books.saved_meanwhile,
        }
    }
}
