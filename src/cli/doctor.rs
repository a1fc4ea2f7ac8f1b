//! `meu doctor`

use clap::Args;
use serde_json::json;

use super::{Done, Env};
use crate::disk::{Trust, Usage, variable};
use crate::show::plain;
use crate::spec::{ProviderApi, TokenizerName};

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
            let key = (provider.api == ProviderApi::OpenAi)
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
    if env.shell.json {
        env.shell.json(&json!({
            "version": env!("CARGO_PKG_VERSION"), "project": graph.config.name, "root": workspace.store.root(),
            "tasks": graph.len(), "git": git, "providers": providers, "not_trusted": untrusted,
        }));
        return Ok(None);
    }
    let shell = &env.shell;
    shell.out(&format!("meu       {}", env!("CARGO_PKG_VERSION")));
    let root = workspace.store.root().display().to_string();
    shell.out(&format!(
        "project   {}, {} tasks, in {}",
        plain(&graph.config.name),
        graph.len(),
        plain(&root)
    ));
    shell.out(&format!("git       {}", if git { "yes" } else { "no: old texts come from .meu/cache alone" }));
    for provider in &providers {
        let word = |key: &str| plain(provider[key].as_str().unwrap_or_default());
        let mut line = format!("provider  {} ({}), {} tasks", word("name"), word("api"), provider["tasks"]);
        match provider["key_set"].as_bool() {
            Some(true) => line.push_str(&format!(", key in {}", word("key_variable"))),
            Some(false) => line.push_str(&format!(", {} is not set", word("key_variable"))),
            None => {}
        }
        if provider["priced"] == false {
            line.push_str(", unpriced");
        }
        for (tokenizer, factor) in provider["tokens_factor"].as_object().into_iter().flatten() {
            line.push_str(&format!(
                ", counts {:.3} tokens for one of {tokenizer}",
                factor.as_f64().unwrap_or(1.0)
            ));
        }
        shell.out(&line);
    }
    for want in &untrusted {
        shell.out(&format!("trust     not yet: {}", plain(want)));
    }
    if untrusted.is_empty() {
        shell.out("trust     nothing waits for a yes");
    }
    Ok(None)
}
