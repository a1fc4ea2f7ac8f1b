//! One task of a run: what is done with it, from the first look to its line in the report.

use crate::context::Shelf;
use crate::diag::Error;
use crate::digest::{Digest, TextId};
use crate::disk::{Durability, Stored, sent_items};
use crate::event::{Event, Finished, Outcome};
use crate::graph::Ix;
use crate::lock::Record;
use crate::plan::{Failure, State, Today, Verdict};
use crate::request::{Assembled, Reason, build, in_one_line};
use crate::spec::Runner;
use crate::text::{escape_markers, output_form};

use super::ask::{Done, Got, Job, Lost};
use super::execute::Executor;
use super::queue::Queued;
use super::survey::Look;

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
                self.report(ix, Outcome::Cached, reason, &[], None, 0);
                self.ended(ix, again.verdict);
                None
            }
            Err(message) => {
                self.fail(ix, look.today.map(|today| today.request), message, &look.verdict.reasons);
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
                    let built = TextId::of(&text);
                    self.books.failures.remove(self.graph.node(ix).id());
                    let old = look.record.as_ref().filter(|old| old.knows(built.blake3));
                    self.books.lock.put(Record {
                        task: self.graph.node(ix).id().to_owned(),
                        output: output.to_string(),
                        request: today.request,
                        parts: today.parts.clone(),
                        approved: old
                            .and_then(|old| old.approved)
                            .filter(|_| self.graph.node(ix).task.approval),
                        built: Some(built),
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
    fn make(&mut self, ix: Ix, look: Look, forced: bool) {
        let node = self.graph.node(ix);
        let reasons = look.verdict.reasons.clone();
        let Some(today) = look.today else {
            let message = look.verdict.message.unwrap_or_else(|| "no request could be put together".into());
            return self.fail(ix, None, message, &reasons);
        };
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
    pub(super) fn answered(&mut self, done: Done) {
        self.in_flight -= 1;
        let Done { job, answer } = done;
        self.reserved.0 -= job.reserved.0;
        self.reserved.1 -= job.reserved.1;
        match answer {
            Ok(Got { stored, text, ms, counted, kept }) => {
                self.kept &= kept;
                let is_model = self.graph.node(job.ix).task.run == Runner::Model;
                if is_model && counted {
                    self.learn(&job, stored.tokens_in);
                }
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
}
