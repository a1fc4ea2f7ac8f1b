//! Asking a provider for a plan: with its trust, its key, its price and its record, as for any other call.
//!
//! An answer is journaled before it is read, and kept in the cache by its request: the same question is paid
//! for once. One that is no plan, or none that fits the project, is sent back with what is wrong.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::author::{Part, Place, Question, Sketch, apart_from, question, read_answer, task_files};
use crate::diag::{Diagnostic, Error};
use crate::digest::Digest;
use crate::disk::{Cache, Journal, Overlay, RunLog, Stored, Trust, Workspace, load_over, run_name};
use crate::event::{Event, Sums};
use crate::graph::no_model;
use crate::model::{Cause, repair};
use crate::provider::{Call, Heard, Limits, Providers, Purse};
use crate::request::Request;
use crate::spec::{Provider, ProviderApi};
use crate::text::count;

use super::ask::{file_answer, tried_event};
use super::prepare::no_price;
use super::secrets::secrets_in;

/// How often an answer that is no plan is sent back.
const REPAIRS: usize = 2;

/// How far a plan may go.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// How deep tasks are taken apart.
    pub depth: usize,
    /// The most tasks side by side.
    pub breadth: usize,
    /// What may be spent.
    pub limits: Limits,
    /// Whether an answer that is kept serves.
    pub read: bool,
}

/// Somebody to ask for plans.
pub struct Planner<'a> {
    workspace: &'a Workspace,
    providers: &'a Providers,
    provider: &'a Provider,
    reach: Reach,
    purse: Purse,
    name: String,
    log: RefCell<(RunLog<'a>, Sums, bool)>,
    tell: &'a dyn Fn(&str),
}

impl<'a> Planner<'a> {
    /// Whoever the project's model is, once it may be asked. `tell` gets a line for the person now and then.
    pub fn new(
        workspace: &'a Workspace,
        providers: &'a Providers,
        provider: &'a Provider,
        reach: Reach,
        tell: &'a dyn Fn(&str),
    ) -> Result<Self, Error> {
        let known = &workspace.graph.config.providers;
        let stand_ins = provider.fallback.iter().filter_map(|name| known.get(&name.value));
        let asked: Vec<&Provider> = std::iter::once(provider).chain(stand_ins).collect();
        if provider.api.is_http() && provider.model_for(&workspace.graph.config.model.name).is_empty() {
            return Err(no_model(&provider.name));
        }
        let trust = Trust::of_providers(asked.iter().copied(), &workspace.store);
        let untrusted = trust.missing();
        if !untrusted.is_empty() {
            return Err(untrusted.refused());
        }
        providers.allow(trust.permits());
        if let Some(one) = asked.iter().find(|one| reach.limits.cost.is_some() && one.price.is_none()) {
            return Err(no_price(&one.name));
        }
        providers.check(&provider.name, true)?;
        let name = run_name();
        let log = RunLog::new(&workspace.store, &name, workspace.redactor.clone());
        let sums = Sums { cost: Some(0.0), cost_unknown: Some(0.0), ..Sums::default() };
        let purse = Purse::new(reach.limits);
        Ok(Planner {
            workspace,
            providers,
            provider,
            reach,
            purse,
            name,
            log: RefCell::new((log, sums, false)),
            tell,
        })
    }

    /// A plan that answers a question and fits the project, with what should be taken apart further taken apart.
    /// `misfits` says what keeps it from standing there.
    pub fn plan(&self, asked: &Question, misfits: &dyn Fn(&Sketch) -> Vec<String>) -> Result<Sketch, Error> {
        let planned = self.answer(asked, misfits, self.reach.depth).and_then(|mut sketch| {
            let depth = self.reach.depth;
            self.go_on(&mut sketch.parts, asked, depth.saturating_sub(1))?;
            Ok(sketch)
        });
        let (log, sums, begun) = &mut *self.log.borrow_mut();
        if *begun {
            let status = if planned.is_ok() { "done" } else { "failed" };
            log.add(&Event::RunFinished { run: self.name.clone(), status, sums: sums.clone() });
        }
        planned
    }

    /// Takes apart what the model says is too large.
    fn go_on(&self, parts: &mut [Part], asked: &Question, depth: usize) -> Result<(), Error> {
        for part in parts {
            if part.parts.is_empty() && part.further && depth > 0 {
                (self.tell)(&format!("taking apart: {}", part.title));
                let asked = Question {
                    goal: part.prompt.clone(),
                    task: Some(part.title.clone()),
                    known: Vec::new(),
                    ..asked.clone()
                };
                // Where it will go is not there yet; it must hold together by itself.
                let alone = Place { into: "parts".into(), head: true, ..Place::default() };
                let inner = self.answer(&asked, &|inner| self.misfits(inner, &alone), depth)?;
                part.parts = apart_from(inner.parts, &format!("{}/", part.key));
                self.go_on(&mut part.parts, &asked, depth - 1)?;
            } else {
                let depth = if part.parts.is_empty() { 0 } else { depth };
                self.go_on(&mut part.parts, asked, depth)?;
            }
        }
        Ok(())
    }

    /// What keeps a sketch from standing in the project at a place where nothing of it is yet, a line each.
    pub fn misfits(&self, sketch: &Sketch, place: &Place) -> Vec<String> {
        let (files, left) = task_files(sketch, place);
        if !left.is_empty() {
            return left;
        }
        let graph = &self.workspace.graph;
        let new = files.into_iter().filter(|file| graph.find(&file.id).is_none());
        let overlay: Overlay =
            new.map(|file| (format!("{}/{}.toml", graph.config.tasks, file.id), Some(file.text))).collect();
        match load_over(self.workspace.store.root(), &overlay) {
            Ok(_) => Vec::new(),
            Err(error) => told(&error),
        }
    }

    /// An answer that is a plan without faults.
    fn answer(
        &self,
        asked: &Question,
        faults: &dyn Fn(&Sketch) -> Vec<String>,
        depth: usize,
    ) -> Result<Sketch, Error> {
        let config = &self.workspace.graph.config;
        let mut request = question(asked, &config.model, self.provider).map_err(Error::failed)?;
        for nth in 0..=REPAIRS {
            let text = self.text_for(&request, asked)?;
            let wrong = match read_answer(&text, self.reach.breadth, depth) {
                Ok(sketch) => match faults(&sketch) {
                    none if none.is_empty() => return Ok(sketch),
                    some => some,
                },
                Err(wrong) => wrong,
            };
            if nth == REPAIRS {
                return Err(Error::failed(format!("the answer is no plan that fits: {}", wrong.join("; ")))
                    .help("say more of what is wanted, or ask another model with --provider"));
            }
            (self.tell)(&format!("the answer is sent back: {}", wrong.join("; ")));
            request = repair(&request, &text, &wrong);
        }
        Err(Error::failed("no plan was answered"))
    }

    /// The answer to a request: one that is kept, or one that is asked for now.
    fn text_for(&self, request: &Request, asked: &Question) -> Result<String, Error> {
        let (digest, cache) = (request.digest(), Cache(&self.workspace.store));
        let journaled = || self.workspace.replay.answers.get(&digest).cloned();
        let kept = self.reach.read.then(|| journaled().or_else(|| cache.answer(digest))).flatten();
        if let Some((_, text)) = kept {
            (self.tell)("this was asked before; the answer is kept, and nobody is asked");
            return Ok(text);
        }
        let redactor = &self.workspace.redactor;
        if self.provider.api != ProviderApi::Offline {
            let secrets = secrets_in(request, &asked.documents, redactor);
            if !secrets.is_empty() && self.workspace.graph.config.redact.refuse {
                let message =
                    format!("{}, and `secrets = \"refuse\"` lets no such request out", secrets.join(", "));
                return Err(Error::failed(message).help("take it out of there"));
            }
            secrets.iter().for_each(|line| {
                (self.tell)(&format!("warning: the request goes out with a secret: {line}"))
            });
        }
        cache.put_request(digest, request, &[], redactor);
        let config = &self.workspace.graph.config;
        let tokenizer = config.policy.tokenizer;
        let tokens = request.messages.iter().map(|message| count(tokenizer, &message.content) as u64).sum();
        let hear = |heard: Heard| {
            if let Heard::Notice(message) = heard {
                (self.tell)(&message);
            }
        };
        let factors = HashMap::new();
        let call = Call { request, tokens, factors: &factors, tokenizer, purse: &self.purse, hear: &hear };
        let journal = Journal::new(&self.workspace.store);
        let unwritable = |error: &std::io::Error| {
            Error::failed(format!("the journal cannot be written: {error}")).help("make room, then try again")
        };
        journal.open().map_err(|error| unwritable(&error))?;
        let all = self.providers.ask(&self.provider.name, &call);
        let task = "plan".to_owned();
        let outcome = match all.last() {
            Some(tried) => match &tried.answer {
                Ok(answer) => {
                    let stored = Stored {
                        text: Digest::of(""),
                        tokens_in: tried.spent.input,
                        tokens_out: tried.spent.output,
                        model: answer.model.clone(),
                        redacted: false,
                    };
                    let filed =
                        file_answer(&journal, &cache, redactor, (&task, digest), &answer.text, stored);
                    match filed.lost() {
                        Some(error) => Err(unwritable(error)),
                        None => Ok(filed.text),
                    }
                }
                Err(refusal) => {
                    let kind = match refusal.cause {
                        Cause::Interrupted => crate::diag::ErrorKind::Interrupted,
                        _ => crate::diag::ErrorKind::Failed,
                    };
                    let message = redactor.clean(&refusal.message).into_owned();
                    Err(Error::new(kind, message).maybe_help(refusal.help.clone()))
                }
            },
            None => Err(Error::failed("nobody was asked")),
        };
        let (log, sums, begun) = &mut *self.log.borrow_mut();
        if !std::mem::replace(begun, true) {
            log.add(&Event::RunStarted { run: self.name.clone(), tasks: 0 });
        }
        for tried in all {
            sums.tokens_in += tried.spent.input;
            sums.tokens_out += tried.spent.output;
            sums.cost = sums.cost.zip(tried.spent.cost).map(|(one, two)| one + two);
            sums.unknown += tried.unknown;
            sums.cost_unknown = sums.cost_unknown.zip(tried.at_worst.cost).map(|(one, two)| one + two);
            log.add(&Event::TaskTried(Box::new(tried_event(config, &task, digest, &tried))));
        }
        outcome
    }

    /// What was spent so far.
    pub fn sums(&self) -> Sums {
        self.log.borrow().1.clone()
    }
}

/// An error's problems, a line each, as a model is told them.
pub fn told(error: &Error) -> Vec<String> {
    let line = |problem: &Diagnostic| match &problem.place {
        Some(place) => format!("{}: {}", place.file, problem.message),
        None => problem.message.clone(),
    };
    match error.diagnostics.as_slice() {
        [] => vec![error.message.clone()],
        problems => problems.iter().map(line).collect(),
    }
}
