//! One task of a run: what is done with it, from the first look to its line in the report.

use std::sync::Arc;

use crate::context::{Shelf, Trouble};
use crate::diag::Error;
use crate::digest::{Digest, TextId};
use crate::disk::{Counted, Durability, sent_items};
use crate::event::{Event, Finished, Outcome};
use crate::graph::Ix;
use crate::lock::Record;
use crate::model::Schema;
use crate::plan::{Failure, State, Today, Verdict};
use crate::provider::{Heard, Spent};
use crate::request::{Assembled, Reason, build, in_one_line};
use crate::spec::Runner;
use crate::text::{escape_markers, output_form};

use super::ask::{Got, Job, Lost, Word, tried_event};
use super::execute::Executor;
use super::queue::Queued;
use super::survey::Look;

/// What the calls of one task took.
#[derive(Clone, Debug)]
pub(super) struct Paid {
    spent: Spent,
    /// Calls of unknown outcome, and what they took at their worst.
    unknown: usize,
    at_worst: Spent,
    ms: u64,
}

impl Paid {
    fn nothing() -> Self {
        Paid { spent: Spent::nothing(), unknown: 0, at_worst: Spent::nothing(), ms: 0 }
    }
}

impl Executor<'_, '_> {
    /// A ready task: done with, settled here, or queued for a worker.
    pub(super) fn take(&mut self, ix: Ix) {
        self.reached += 1;
        let look = self.survey.look(ix, &self.books.lock, &self.books.failures);
        let forced = self.options.force.contains(&ix);
        let Some(look) = self.carried_over(ix, look, forced) else { return };
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
                self.report(ix, Outcome::Blocked, reason, &look.verdict.reasons.clone());
                self.ended(ix, look.verdict);
            }
            State::Fresh | State::Edited | State::Awaiting if !forced && !verdict.must_run() => {
                self.keep_record(ix, &look);
                if verdict.state == State::Awaiting {
                    self.awaits(ix, "its output awaits approval".into(), &[]);
                } else {
                    self.sums.fresh += 1;
                }
                self.ended(ix, look.verdict);
            }
            _ => self.make(ix, look, forced),
        }
    }

    /// A changed place first: what is at the old one goes along, with all that a person wrote there. `None`
    /// if that was all there was to do.
    fn carried_over(&mut self, ix: Ix, look: Look, forced: bool) -> Option<Look> {
        let node = self.graph.node(ix);
        let moved = look.record.as_ref().filter(|record| record.output != node.output.as_str()).cloned();
        let Some(record) = moved.filter(|_| look.verdict.state != State::Failed || look.today.is_some())
        else {
            return Some(look);
        };
        if self.workspace.shelf.digest(&node.output).ok().flatten().is_some() {
            return Some(look);
        }
        match self.books.carry_over(ix, &record) {
            Ok(false) => Some(look),
            Ok(true) => {
                let again = self.survey.look(ix, &self.books.lock, &self.books.failures);
                // Only where that settles it: a blocked or awaiting task is told as any other.
                let settled = matches!(again.verdict.state, State::Fresh | State::Edited);
                if !settled || again.verdict.must_run() || forced || node.task.run == Runner::Manual {
                    return Some(again);
                }
                self.sums.cached += 1;
                let reason = format!("its output moved here from {}", record.output);
                self.report(ix, Outcome::Cached, reason, &[]);
                self.ended(ix, again.verdict);
                None
            }
            Err(message) => {
                self.fail(ix, look.today.as_ref(), message, &look.verdict.reasons);
                None
            }
        }
    }

    /// A task that a person writes: noticed, recorded, never made.
    fn manual(&mut self, ix: Ix, look: Look) {
        let output = self.graph.node(ix).output.clone();
        match look.verdict.state {
            State::Missing => {
                self.sums.blocked += 1;
                self.report(ix, Outcome::Blocked, format!("a person writes {output}"), &[]);
            }
            State::Stale => {
                let id = self.graph.node(ix).id();
                (self.emit)(Event::Notice {
                    message: format!(
                        "{id}: what {output} was written for has changed ({}); edit it, or `meu adopt {id}`",
                        in_one_line(&look.verdict.reasons)
                    ),
                });
                self.sums.stale += 1;
            }
            State::Fresh | State::Awaiting => {
                if let (Some(today), Ok(Some(text))) = (&look.today, self.workspace.shelf.text(&output)) {
                    self.cache.put_text(&text);
                    let built = TextId::of(&text);
                    self.books.failures.remove(self.graph.node(ix).id());
                    let old = look.record.as_ref().filter(|old| old.knows(built.blake3));
                    self.books.lock.put(Record {
                        task: self.graph.node(ix).id().to_owned(),
                        output: output.to_string(),
                        request: today.request,
                        parts: today.parts.clone(),
                        expect: today.expect,
                        approved: old
                            .and_then(|old| old.approved)
                            .filter(|_| self.graph.node(ix).task.approval),
                        built: Some(built),
                        accepted: None,
                    });
                }
                if look.verdict.state == State::Awaiting {
                    self.awaits(ix, "its text awaits approval".into(), &[]);
                } else {
                    self.sums.fresh += 1;
                }
            }
            State::Failed if look.today.is_none() => {
                let message = look.verdict.message.clone().unwrap_or_default();
                self.fail(ix, look.today.as_ref(), message, &look.verdict.reasons);
                return;
            }
            State::Blocked => {
                self.sums.blocked += 1;
                self.report(ix, Outcome::Blocked, "something that it requires is not up to date".into(), &[]);
            }
            _ => {}
        }
        self.ended(ix, look.verdict);
    }

    /// A fresh task's record follows what explains it, and a moved output; of several lines that a merge
    /// left, it is the one.
    fn keep_record(&mut self, ix: Ix, look: &Look) {
        let (Some(record), Some(today)) = (&look.record, &look.today) else { return };
        let node = self.graph.node(ix);
        let approved = record.approved.filter(|_| node.task.approval);
        let explained = record.request != today.request
            || (record.parts == today.parts
                && record.output == node.output.as_str()
                && approved == record.approved);
        let kept = match explained {
            true if self.books.lock.records(node.id()).len() == 1 => None,
            true => Some(record.clone()),
            false => Some(Record {
                parts: today.parts.clone(),
                output: node.output.to_string(),
                approved,
                ..record.clone()
            }),
        };
        if let Some(kept) = kept {
            self.books.lock.put(kept);
        }
        self.books.failures.remove(node.id());
    }

    /// A task whose output must be made: from what is stored, here, or by a worker.
    fn make(&mut self, ix: Ix, mut look: Look, forced: bool) {
        let node = self.graph.node(ix);
        let reasons = look.verdict.reasons.clone();
        let Some(today) = look.today.take() else {
            let message = look.verdict.message.unwrap_or_else(|| "no request could be put together".into());
            return self.fail(ix, None, message, &reasons);
        };
        let gone = look.verdict.state == State::Missing
            || self.workspace.shelf.digest(&node.output).ok().flatten().is_none();
        let same = look.record.as_ref().is_some_and(|record| today.is_of(record));
        if gone
            && same
            && !forced
            && let Some(record) = &look.record
            && let Some(restored) = self.books.restore(ix, record, &today, !self.options.no_cache)
        {
            return match restored {
                Ok(verdict) => self.made(ix, Outcome::Cached, verdict, &reasons),
                Err(message) => self.fail(ix, Some(&today), message, &reasons),
            };
        }
        let assembled = match look.assembled.take() {
            Some(assembled) => assembled,
            None => match build(self.survey.scene(), ix, &[], &self.workspace.shelf) {
                Ok(assembled) => Box::new(assembled),
                Err(trouble) => return self.fail(ix, Some(&today), trouble.to_string(), &reasons),
            },
        };
        // The request that is sent, recorded and explained is this one, whatever was looked at before.
        let today = Today { request: assembled.digest, parts: assembled.parts.clone(), ..today };
        match &node.task.run {
            Runner::Template | Runner::Assemble => {
                let text = assembled.request.messages.first().map(|message| output_form(&message.content));
                let text = self.as_output(ix, &text.unwrap_or_default());
                if let Err(lost) = self.expected(ix, &text) {
                    return self.lost(ix, &today, lost, &reasons);
                }
                let verdict = self.books.settle(ix, &today, &text, Durability::Grouped);
                self.made(ix, Outcome::Built, verdict, &reasons);
            }
            _ => self.answer(ix, &look, today, *assembled, forced),
        }
    }

    /// A text as it is written to a task's place.
    fn as_output(&self, ix: Ix, text: &str) -> String {
        let text = self.workspace.redactor.clean(text);
        if Some(ix) == self.graph.root() { escape_markers(&text) } else { text.into_owned() }
    }

    /// Whether a text that nobody was asked for is what its task expects.
    fn expected(&self, ix: Ix, text: &str) -> Result<(), Lost> {
        let schema = self.schema(ix).map_err(|trouble| Lost::from(trouble.to_string()))?;
        let faults = self.asker().faults(ix, schema.as_deref(), text)?;
        if faults.is_empty() {
            return Ok(());
        }
        Err(Lost::from(format!(
            "the output is not what the task expects: {} (change the prompt or `[expect]`)",
            faults.join("; ")
        )))
    }

    /// The schema that a task's output must fit.
    fn schema(&self, ix: Ix) -> Result<Option<Arc<Schema>>, Trouble> {
        let Some(path) = self.graph.node(ix).schema() else { return Ok(None) };
        let wrong =
            |what: String| Trouble::new(format!("the schema `{path}` cannot be used: {what}"), "mend it");
        let text = self.workspace.shelf.text(path).map_err(|error| wrong(error.to_string()))?;
        let text = text.ok_or_else(|| wrong("it is not there".into()))?;
        Schema::parse(&text).map(|schema| Some(Arc::new(schema))).map_err(wrong)
    }

    /// A task that somebody answers: the journal first, then the cache, then a worker. Where something is
    /// expected of the answer a worker looks at the stored ones too.
    fn answer(&mut self, ix: Ix, look: &Look, today: Today, assembled: Assembled, forced: bool) {
        let node = self.graph.node(ix);
        let reasons = look.verdict.reasons.clone();
        let read = !forced && !self.options.no_cache;
        // What was built for this very request is an answer to it, the last one if there were several.
        let same = look.record.as_ref().filter(|record| {
            // What was accepted by another measure may be an answer to more than this request: one that was sent back.
            read && record.request == today.request
                && (record.expect.is_none() || record.expect == today.expect)
        });
        let built = same.and_then(|record| self.cache.text_anywhere(record.built.as_ref()?));
        if node.task.expect.is_none() {
            let journaled = self.workspace.replay.answers.get(&today.request).map(|(_, text)| text.clone());
            let cached = || if read { self.cache.answer(today.request) } else { None };
            let stored = journaled.or(built.clone()).or_else(|| cached().map(|(_, text)| text));
            if let Some(text) = stored {
                let text = self.as_output(ix, &text);
                self.answers.insert(ix, Digest::of(&text));
                let verdict = self.books.settle(ix, &today, &text, Durability::Now);
                return self.made(ix, Outcome::Cached, verdict, &reasons);
            }
        }
        let schema = match self.schema(ix) {
            Ok(schema) => schema,
            Err(trouble) => return self.fail(ix, Some(&today), trouble.to_string(), &reasons),
        };
        let refused = self.held_back(ix);
        if node.task.expect.is_none()
            && let Some(refused) = refused
        {
            return self.lost(ix, &today, refused, &reasons);
        }
        let factors = self.graph.providers(ix).filter_map(|provider| {
            let factor = self.usage.factor(&provider.name, node.policy.tokenizer)?;
            Some((provider.name.clone(), factor))
        });
        let factors = factors.collect();
        let tokens = |text: &str| self.workspace.shelf.count(node.policy.tokenizer, text) as u64;
        self.waiting.push(Queued {
            key: self.keys[ix.0],
            what: Job {
                ix,
                today,
                items: sent_items(&assembled),
                texts: assembled
                    .bundle
                    .items
                    .iter()
                    .map(|item| (item.item.to_string(), item.text.clone()))
                    .collect(),
                tokens: assembled.request.messages.iter().map(|message| tokens(&message.content)).sum(),
                request: assembled.request,
                reasons,
                factors,
                schema,
                built,
                read,
                refused,
            },
        });
    }

    /// Why nobody may be asked for a task, if so.
    fn held_back(&self, ix: Ix) -> Option<Lost> {
        if self.options.frozen {
            let message =
                "no stored answer for today's request, and --frozen asks nobody (run without --frozen)";
            return Some(Lost { turned_away: true, ..Lost::from(message.to_owned()) });
        }
        let error = Some(self.options.refused.get(&ix)?.clone());
        Some(Lost { error, turned_away: true, ..Lost::default() })
    }

    /// A worker says something.
    pub(super) fn heard(&mut self, word: Word) {
        let id = |ix: Ix| self.graph.node(ix).id().to_owned();
        match word {
            Word::Asking(ix) => {
                let node = self.graph.node(ix);
                let provider = match &node.task.run {
                    Runner::Model => node.model.provider.clone(),
                    other => other.word().to_owned(),
                };
                (self.emit)(Event::TaskStarted { task: id(ix), provider });
            }
            Word::Secrets(ix, secrets) => {
                for line in secrets {
                    let message =
                        format!("warning: the request of {} goes out with a secret: {line}", id(ix));
                    (self.emit)(Event::Notice { message });
                }
            }
            Word::Heard(ix, Heard::Bytes(bytes)) => (self.emit)(Event::Progress { task: id(ix), bytes }),
            Word::Heard(_, Heard::Detail(message)) => (self.emit)(Event::Detail { message }),
            Word::Heard(ix, Heard::Notice(message)) => {
                (self.emit)(Event::Notice { message: format!("{}: {message}", id(ix)) });
            }
            Word::Tried(ix, request, ours, tried) => {
                let node = self.graph.node(ix);
                if let Ok(answer) = &tried.answer
                    && let Some(theirs) = answer.tokens.input
                {
                    let counted = Counted { ours, theirs };
                    self.usage.learn(&tried.provider, node.policy.tokenizer, counted);
                }
                let paid = self.paid.entry(ix).or_insert_with(Paid::nothing);
                paid.spent = paid.spent.and(tried.spent);
                paid.unknown += tried.unknown;
                paid.at_worst = paid.at_worst.and(tried.at_worst);
                paid.ms += tried.ms;
                let tried = tried_event(&self.graph.config, node.id(), request, &tried);
                (self.emit)(Event::TaskTried(Box::new(tried)));
            }
            Word::Done(job, answer) => self.answered(*job, answer),
        }
    }

    /// A worker is back.
    fn answered(&mut self, job: Job, answer: Result<Got, Lost>) {
        self.in_flight -= 1;
        let request = job.today.request;
        self.asking.retain(|asked| *asked != request);
        let (freed, rest) =
            std::mem::take(&mut self.same).into_iter().partition(|job| job.what.today.request == request);
        self.same = rest;
        self.waiting.extend::<Vec<_>>(freed);
        match answer {
            Ok(got) => {
                let text = self.as_output(job.ix, &got.text);
                self.answers.insert(job.ix, Digest::of(&text));
                let verdict = self.books.settle(job.ix, &job.today, &text, Durability::Now);
                let how = if got.asked { Outcome::Built } else { Outcome::Cached };
                self.made(job.ix, how, verdict, &job.reasons);
            }
            Err(lost) => self.lost(job.ix, &job.today, lost, &job.reasons),
        }
    }

    /// There is no answer.
    fn lost(&mut self, ix: Ix, today: &Today, lost: Lost, reasons: &[Reason]) {
        self.stop |= lost.fatal;
        let purse_is_empty = lost.fatal && lost.turned_away;
        if lost.interrupted || (purse_is_empty && std::mem::replace(&mut self.short, true)) {
            // Nothing is said of it: the run just did not get to it. What it took is counted all the same.
            self.add_up(ix);
            self.reached -= 1;
        } else if let Some(error) = lost.error {
            self.refuse(ix, error, reasons);
        } else if lost.turned_away {
            self.turn_away(ix, lost.message, reasons);
        } else {
            self.fail(ix, Some(today), lost.message, reasons);
        }
    }

    /// An output was made, or could not be put in its place.
    fn made(&mut self, ix: Ix, how: Outcome, verdict: Verdict, reasons: &[Reason]) {
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
        self.report(ix, outcome, reason, reasons);
        self.ended(ix, verdict);
    }

    fn awaits(&mut self, ix: Ix, reason: String, reasons: &[Reason]) {
        self.sums.awaiting += 1;
        self.report(ix, Outcome::Awaiting, reason, reasons);
    }

    /// A task that could not be made, for a reason that will hold the next time too.
    fn fail(&mut self, ix: Ix, today: Option<&Today>, message: String, reasons: &[Reason]) {
        let conflict =
            self.books.failures.get(self.graph.node(ix).id()).and_then(|failure| failure.conflict.clone());
        let failure = Failure {
            request: today.map(|today| today.request),
            expect: today.and_then(|today| today.expect),
            message: message.clone(),
            conflict,
        };
        let verdict = self.books.failed(ix, failure);
        self.end_failed(ix, verdict, message, reasons);
    }

    /// A task that this run may not make; what is recorded of it stays.
    pub(super) fn turn_away(&mut self, ix: Ix, message: String, reasons: &[Reason]) {
        self.end_failed(ix, Verdict::failed(message.clone()), message, reasons);
    }

    /// A task that nobody may be asked for: the run ends.
    pub(super) fn refuse(&mut self, ix: Ix, error: Error, reasons: &[Reason]) {
        self.turn_away(ix, error.message.clone(), reasons);
        self.refusal = Some(error);
        self.stop = true;
    }

    fn end_failed(&mut self, ix: Ix, verdict: Verdict, message: String, reasons: &[Reason]) {
        self.sums.failed += 1;
        self.stop |= !self.options.keep_going;
        self.report(ix, Outcome::Failed, message, reasons);
        self.ended(ix, verdict);
    }

    /// Adds what a task's calls took to the sums.
    fn add_up(&mut self, ix: Ix) -> Paid {
        let paid = self.paid.remove(&ix).unwrap_or_else(Paid::nothing);
        let sums = &mut self.sums;
        sums.tokens_in = sums.tokens_in.saturating_add(paid.spent.input);
        sums.tokens_out = sums.tokens_out.saturating_add(paid.spent.output);
        sums.cost = sums.cost.zip(paid.spent.cost).map(|(sum, cost)| sum + cost);
        sums.unknown += paid.unknown;
        sums.cost_unknown = sums.cost_unknown.zip(paid.at_worst.cost).map(|(sum, cost)| sum + cost);
        paid
    }

    fn report(&mut self, ix: Ix, status: Outcome, reason: String, reasons: &[Reason]) {
        let node = self.graph.node(ix);
        if matches!(status, Outcome::Failed | Outcome::Blocked | Outcome::Awaiting) {
            self.undone.push(node.id().to_owned());
        }
        let Paid { spent, ms, .. } = self.add_up(ix);
        (self.emit)(Event::TaskFinished(Finished {
            task: node.id().to_owned(),
            status,
            reason,
            reasons: reasons.to_vec(),
            tokens_in: spent.input,
            tokens_out: spent.output,
            cost: spent.cost,
            ms,
            output: node.output.to_string(),
            request: self.survey.request(ix),
            answer: self.answers.remove(&ix),
            digest: self.workspace.shelf.digest(&node.output).ok().flatten(),
        }));
    }
}
