//! Before the first step: what may not be asked for and why, and who makes vectors.

use std::collections::HashMap;
use std::sync::Arc;

use crate::context::Trouble;
use crate::diag::Error;
use crate::disk::{Trust, Workspace};
use crate::graph::Ix;
use crate::model::Refusal;
use crate::plan::Verdict;
use crate::provider::Providers;
use crate::request::Scene;
use crate::spec::{ProviderApi, Runner};

use super::execute::Options;
use super::foresee::is_kept;
use super::survey::Survey;

/// Finds out what forbids a run, and lets vectors be asked for in it. `warn` is told what a person should
/// know.
pub fn prepare(
    workspace: &Workspace,
    providers: &Arc<Providers>,
    options: &mut Options,
    chosen: &[bool],
    warn: impl Fn(&str) + 'static,
) -> Result<(), Error> {
    options.refused = refuse_early(workspace, providers, options, chosen)?;
    if !options.frozen {
        allow_vectors(workspace, providers, options, warn);
    }
    Ok(())
}

/// Lets the search ask for vectors that are missing.
fn allow_vectors(
    workspace: &Workspace,
    providers: &Arc<Providers>,
    options: &Options,
    warn: impl Fn(&str) + 'static,
) {
    let graph = &workspace.graph;
    let embedders = providers.clone();
    let capped = options.limits.any();
    let redactor = workspace.redactor.clone();
    let refuse = graph.config.redact.refuse;
    let (config, store) = (graph.config.clone(), workspace.store.clone());
    workspace.shelf.embed_with(move |embed, texts| {
        // The same yes as for any other call, and before anything is sent.
        if let Some(provider) = config.providers.get(&embed.provider) {
            let untrusted = Trust::of_provider(provider, &store).missing();
            if !untrusted.is_empty() {
                let error = untrusted.refused();
                let lines: Vec<&str> = untrusted.lines().collect();
                let message = format!("{}: {}", error.message, lines.join(", "));
                return Err(Trouble::new(message, "look at it, then say `meu trust`; in CI set MEU_TRUST=1"));
            }
        }
        // A cap must never be passed, and what a call for vectors takes is not reserved.
        if capped {
            return Err(Trouble::new(
                format!("vectors by `{}` are missing, and under a cap none are asked for", embed.model),
                "run once without --max-cost and --max-tokens; vectors are kept",
            ));
        }
        if let Some(secret) = texts.iter().find_map(|text| redactor.secrets(text).pop()) {
            let what =
                format!("a passage that `{}` is to make vectors of holds {}", embed.model, secret.looks_like);
            if refuse {
                let help = "take it out of there, or out of `retrieve.documents`";
                return Err(Trouble::new(format!("{what}, and `secrets = \"refuse\"` lets none out"), help));
            }
            warn(&format!("warning: {what}"));
        }
        let refused = |refusal: Refusal| Trouble { message: refusal.message, help: refusal.help };
        embedders.embed(&embed.provider, &embed.model, texts).map_err(refused)
    });
}

/// A cap on cost cannot be kept.
pub(super) fn no_price(name: &str) -> Error {
    Error::invalid(format!("--max-cost needs a price, and the provider `{name}` has none"))
        .help(format!("add `price = {{ input = …, output = … }}` (per million tokens) to [providers.{name}]"))
}

/// What forbids a run before its first step: trust, keys, prices. Returns what may not be asked for,
/// should it come to that.
fn refuse_early(
    workspace: &Workspace,
    providers: &Providers,
    options: &Options,
    chosen: &[bool],
) -> Result<HashMap<Ix, Error>, Error> {
    let graph = &workspace.graph;
    let asks = |ix: Ix| match &graph.node(ix).task.run {
        Runner::Program(_) => true,
        Runner::Model => graph.provider(ix).is_some_and(|provider| provider.api != ProviderApi::Offline),
        _ => false,
    };
    let asks = |ix: Ix| asks(ix) || graph.embedder(ix).is_some();
    let is_model = |ix: Ix| graph.node(ix).task.run == Runner::Model;
    let could: Vec<Ix> = graph.nodes().map(|(ix, _)| ix).filter(|ix| chosen[ix.0] && asks(*ix)).collect();
    for ix in could.iter().copied().filter(|ix| options.limits.cost.is_some() && is_model(*ix)) {
        if let Some(name) =
            graph.providers(ix).find(|provider| provider.price.is_none()).map(|provider| &provider.name)
        {
            return Err(no_price(name));
        }
    }
    // Who judges outputs judges stored answers too, and what nobody is asked for.
    let judged: Vec<Ix> = graph
        .nodes()
        .filter(|(ix, node)| {
            chosen[ix.0] && node.task.expect.as_ref().is_some_and(|expect| !expect.command.is_empty())
        })
        .map(|(ix, _)| ix)
        .collect();
    let store = &workspace.store;
    let judges = Trust::judges(graph, judged.iter().copied(), store);
    if options.frozen {
        providers.allow(judges.permits());
        let untrusted = judges.missing();
        return if untrusted.is_empty() { Ok(HashMap::new()) } else { Err(untrusted.refused()) };
    }
    let could: Vec<Ix> = {
        let mut all = could;
        all.extend(judged);
        all.sort_unstable();
        all.dedup();
        all
    };
    if could.is_empty() {
        return Ok(HashMap::new());
    }
    providers.allow(Trust::wanted(graph, could.iter().copied(), store).permits());
    let missing = |tasks: &[Ix]| Trust::wanted(graph, tasks.iter().copied(), store).missing();
    let keyless = |ix: Ix, will: bool| {
        let model = is_model(ix).then_some(graph.node(ix).model.provider.as_str());
        let embedder = graph.embedder(ix).map(|provider| provider.name.as_str());
        model.into_iter().chain(embedder).find_map(|name| providers.check(name, will).err())
    };
    // All that will be asked for is refused at once; what only may be, when it comes to it.
    let verdicts = Survey::with_options(workspace, chosen.to_vec(), &options.force, &options.assume_fresh);
    let will: Vec<Ix> =
        could.iter().copied().filter(|ix| verdicts[ix.0].as_ref().is_none_or(Verdict::must_run)).collect();
    let untrusted = missing(&will);
    if !untrusted.is_empty() {
        return Err(untrusted.refused());
    }
    // A program that prints a key is not started for what comes out of the cache.
    let scene = Scene { graph, templates: &workspace.templates };
    let prints_key = |ix: Ix| graph.provider(ix).is_some_and(|provider| !provider.key_command.is_empty());
    let asked = |ix: Ix| !(is_model(ix) && prints_key(ix) && is_kept(workspace, &scene, ix, options));
    if let Some(error) = will.iter().find_map(|ix| keyless(*ix, asked(*ix))) {
        return Err(error);
    }
    let refused = |ix: Ix| {
        let untrusted = missing(&[ix]);
        if untrusted.is_empty() { keyless(ix, false) } else { Some(untrusted.refused()) }
    };
    Ok(could.into_iter().filter_map(|ix| Some((ix, refused(ix)?))).collect())
}
