//! `meu doctor`

use clap::Args;
use serde_json::json;

use super::{Done, Env};
use crate::disk::{Trust, Usage, size_of_meu, variable, version_of_git};
use crate::provider::reaches;
use crate::show;
use crate::spec::{Runner, TokenizerName};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meu doctor                   asks nobody
  meu doctor --net             asks the servers of used providers whether they are there; no key goes out")]
pub(super) struct Arguments {
    /// Ask the servers of used providers whether they are there; no key goes out
    #[arg(long)]
    net: bool,
}

pub(super) fn doctor(env: &Env, arguments: Arguments) -> Done {
    let workspace = env.load()?;
    let graph = &workspace.graph;
    let usage = Usage::load(&workspace.store);
    let untrusted = Trust::whole(graph, &workspace.store).missing();
    let git = crate::disk::repository(workspace.store.root()).is_some();
    let providers: Vec<_> = graph
        .config
        .providers
        .values()
        .map(|provider| {
            let key = (provider.api.is_http() && provider.key_command.is_empty())
                .then(|| variable(&provider.api_key_env).is_some_and(|key| !key.is_empty()));
            let factors: serde_json::Map<String, serde_json::Value> = TokenizerName::ALL
                .into_iter()
                .filter_map(|name| Some((name.word().to_owned(), json!(usage.factor(&provider.name, name)?))))
                .collect();
            let is_used = |ix| {
                let asked = (graph.node(ix).task.run == Runner::Model).then(|| graph.providers(ix));
                let embedder = graph.embedder(ix);
                asked.into_iter().flatten().chain(embedder).any(|used| used.name == provider.name)
            };
            let used = graph.nodes().filter(|(ix, _)| is_used(*ix)).count();
            let asked = arguments.net && used > 0 && provider.api.is_http();
            let allowed = Trust::of_provider(provider, &workspace.store).missing().is_empty();
            let reached = asked.then(|| match allowed {
                true => reaches(provider),
                false => Err("not asked: it is not allowed yet, `meu trust`".to_owned()),
            });
            json!({
                "reached": reached.as_ref().filter(|_| allowed).map(Result::is_ok), "reach_error": reached.and_then(Result::err),
                "name": provider.name, "api": provider.api.word(), "tasks": used, "key_variable": key.is_some().then_some(&provider.api_key_env),
                "key_set": key, "priced": provider.price.is_some(), "tokens_factor": factors,
            })
        })
        .collect();
    let (files, bytes) = size_of_meu(&workspace.store);
    let untrusted: Vec<&str> = untrusted.lines().collect();
    show::doctor(
        &env.shell,
        &json!({
            "version": env!("CARGO_PKG_VERSION"), "project": graph.config.name, "root": workspace.store.root(),
            "tasks": graph.len(), "git": git, "git_version": version_of_git(&workspace.store),
            "cache": {"files": files, "bytes": bytes}, "providers": providers, "not_trusted": untrusted,
        }),
    );
    Ok(None)
}
