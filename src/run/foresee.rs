//! What a run would do and cost, without doing it.

use std::borrow::Cow;

use crate::context::Shelf;
use crate::disk::{Cache, Usage, Workspace};
use crate::graph::{Graph, Ix};
use crate::model::{Schema, faults, repair};
use crate::plan::State;
use crate::provider::{Spent, worst};
use crate::request::{Assembled, Reason, Scene, build};
use crate::spec::Runner;

use super::execute::Options;
use super::survey::Survey;

/// One task of `run -n`: id, reasons, tokens, worst cost.
pub type Would = (String, Vec<Reason>, u64, Option<f64>);

/// What a run would do.
#[derive(Clone, Debug, PartialEq)]
pub struct WouldRun {
    /// The tasks that would run now.
    pub tasks: Vec<Would>,
    /// The tasks of which this shows only when those above have run.
    pub waiting: Vec<String>,
}

impl WouldRun {
    /// Tokens sent, and the worst cost if it is known.
    pub fn sums(&self) -> (u64, Option<f64>) {
        let tokens = self.tasks.iter().map(|(_, _, tokens, _)| tokens).sum();
        let worst = self.tasks.iter().try_fold(0.0, |sum, (_, _, _, cost)| cost.map(|cost| sum + cost));
        (tokens, worst)
    }
}

/// Whether a text that was built for this very request serves, or comes back where the output is gone.
fn is_recorded(workspace: &Workspace, scene: &Scene<'_>, ix: Ix, built: &Assembled) -> bool {
    let (node, shelf, cache) = (workspace.graph.node(ix), &workspace.shelf, Cache(&workspace.store));
    let Ok(expect) = scene.expected(ix, shelf) else { return false };
    let on_disk = shelf.digest(&node.output).ok().flatten();
    let record = workspace.lock.pick(node.id(), on_disk, Some((built.digest, expect)));
    let Some(record) = record.filter(|record| record.request == built.digest) else { return false };
    let same = record.expect == expect;
    let accepted = record.accepted.as_ref().filter(|_| same && on_disk.is_none());
    let texts = accepted.into_iter().chain(record.built.as_ref().filter(|_| same || record.expect.is_none()));
    texts.into_iter().any(|id| cache.text_anywhere(id).is_some())
}

/// Whether nobody would be asked: the answer is stored, and as often as it would be sent back the next one is too. What a
/// program would say of it nobody knows.
fn is_stored(workspace: &Workspace, ix: Ix, built: &Assembled) -> bool {
    let node = workspace.graph.node(ix);
    let cache = Cache(&workspace.store);
    let (mut request, mut digest) = (Cow::Borrowed(&built.request), built.digest);
    let Some(expect) = &node.task.expect else { return cache.answer(digest).is_some() };
    let schema = node.schema().and_then(|path| workspace.shelf.text(path).ok().flatten());
    let schema = schema.and_then(|text| Schema::parse(&text).ok());
    for _ in 0..=expect.repairs {
        let Some((_, text)) = cache.answer(digest) else { return false };
        let text = workspace.redactor.clean(&text);
        let faults = faults(expect, schema.as_ref(), node.policy.tokenizer, &text);
        if faults.is_empty() {
            return expect.command.is_empty();
        }
        request = Cow::Owned(repair(&request, &text, &faults));
        digest = request.digest();
    }
    true
}

/// Whether what is kept serves for a request.
fn serves(workspace: &Workspace, scene: &Scene<'_>, ix: Ix, built: &Assembled) -> bool {
    is_recorded(workspace, scene, ix, built) || is_stored(workspace, ix, built)
}

/// Whether the run that these options describe asks nobody for a task.
pub(super) fn is_kept(workspace: &Workspace, scene: &Scene<'_>, ix: Ix, options: &Options) -> bool {
    let reads = !options.force.contains(&ix) && !options.no_cache;
    let built = reads.then(|| build(scene, ix, &[], &workspace.shelf).ok()).flatten();
    built.is_some_and(|built| serves(workspace, scene, ix, &built))
}

/// The most that a task can cost: the dearest of its providers, every answer sent back as often as may
/// be, each time with the answer in the request.
fn worst_cost(graph: &Graph, ix: Ix, usage: &Usage, tokens: u64, messages: usize) -> Option<f64> {
    let node = graph.node(ix);
    let most = node.model.max_output_tokens as u64;
    let repairs = node.task.expect.as_ref().map_or(0, |expect| expect.repairs as u64);
    let mut all: Option<f64> = Some(0.0);
    for provider in graph.providers(ix) {
        let factor = usage.factor(&provider.name, node.policy.tokenizer).unwrap_or(1.0);
        let calls = (0..=repairs).map(|nth| {
            worst(provider, tokens + nth * (most + REPAIR), factor, messages + 2 * nth as usize, most)
        });
        let cost = calls.fold(Spent::nothing(), Spent::and).cost;
        all = all.zip(cost).map(|(all, one)| all.max(one));
    }
    all
}

/// Tokens of the words around what is wrong with an answer, about.
const REPAIR: u64 = 300;

/// What a run would do, in order.
pub fn would_run(workspace: &Workspace, options: &Options, chosen: Vec<bool>) -> WouldRun {
    let graph = &workspace.graph;
    let verdicts = Survey::with_options(workspace, chosen, &options.force, &options.assume_fresh);
    let scene = Scene { graph, templates: &workspace.templates };
    let usage = Usage::load(&workspace.store);
    let (mut tasks, mut waiting) = (Vec::new(), Vec::new());
    for ix in graph.order() {
        let Some(verdict) = &verdicts[ix.0] else { continue };
        let node = graph.node(*ix);
        let forced = options.force.contains(ix) && verdict.state != State::Duplicate;
        let waits =
            verdict.state == State::Waiting || (verdict.state == State::Missing && !verdict.on.is_empty());
        if options.assume_fresh.contains(ix) || node.task.run == Runner::Manual {
            continue;
        } else if waits {
            waiting.push(node.id().to_owned());
        } else if verdict.must_run() || forced {
            let is_model = node.task.run == Runner::Model;
            let request = is_model.then(|| build(&scene, *ix, &[], &workspace.shelf).ok()).flatten();
            let count = |text: &str| Shelf::count(&workspace.shelf, node.policy.tokenizer, text) as u64;
            let reads = !forced && !options.no_cache;
            let cached =
                |built| is_recorded(workspace, &scene, *ix, built) || is_stored(workspace, *ix, built);
            let cached = reads && request.as_ref().is_some_and(cached);
            let request = request.filter(|_| !cached);
            let tokens_in: u64 = request
                .iter()
                .flat_map(|built| &built.request.messages)
                .map(|message| count(&message.content))
                .sum();
            let cost = match &request {
                // It cannot be put together yet: what it will cost nobody knows.
                None if is_model && !cached => None,
                None => Some(0.0),
                Some(built) => worst_cost(graph, *ix, &usage, tokens_in, built.request.messages.len()),
            };
            let tokens_in = usage.worst(&node.model.provider, node.policy.tokenizer, tokens_in);
            tasks.push((node.id().to_owned(), verdict.reasons.clone(), tokens_in, cost));
        }
    }
    workspace.shelf.save();
    WouldRun { tasks, waiting }
}
