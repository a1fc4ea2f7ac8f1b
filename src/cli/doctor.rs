//! `meu doctor`

use clap::Args;
use serde_json::json;

use super::{Done, Env};
use crate::disk::{Trust, Usage, variable};
use crate::show;
use crate::spec::TokenizerName;

/// Say what this meu and this project are, and what they lack. No network
#[derive(Debug, Args)]
pub(super) struct Arguments {}

pub(super) fn doctor(env: &Env, _: Arguments) -> Done {
    let workspace = env.load()?;
    let graph = &workspace.graph;
    let usage = Usage::load(&workspace.store);
    let untrusted = Trust::whole(graph, &workspace.store).missing();
    let git = workspace.store.root().ancestors().any(|folder| folder.join(".git").exists());
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
            let used = graph.nodes().filter(|(_, node)| node.model.provider == provider.name).count();
            json!({
                "name": provider.name, "api": provider.api.word(), "tasks": used, "key_variable": key.is_some().then_some(&provider.api_key_env),
                "key_set": key, "priced": provider.price.is_some(), "tokens_factor": factors,
            })
        })
        .collect();
    let untrusted: Vec<&str> = untrusted.lines().collect();
    show::doctor(
        &env.shell,
        &json!({
            "version": env!("CARGO_PKG_VERSION"), "project": graph.config.name, "root": workspace.store.root(),
            "tasks": graph.len(), "git": git, "providers": providers, "not_trusted": untrusted,
        }),
    );
    Ok(None)
}
