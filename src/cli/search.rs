//! `meu search`

use clap::Args;

use super::{Done, Env};
use crate::context::{excerpt, look_up, searchable};
use crate::diag::Error;
use crate::show;

/// Search the documents and outputs of the project, as the `retrieved` tier does
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to look for
    #[arg(required = true)]
    query: Vec<String>,
    /// How many passages at most
    #[arg(short, default_value_t = 10)]
    k: usize,
}

pub(super) fn search(env: &Env, arguments: Arguments) -> Done {
    let workspace = env.load()?;
    let retrieve = &workspace.graph.config.policy.retrieve;
    let documents = workspace.documents(&retrieve.documents)?;
    let searched = searchable(&workspace.graph, &documents);
    if searched.is_empty() {
        return Err(Error::failed("there is nothing to search")
            .help("`[context] retrieve.documents` of meu.toml names the documents"));
    }
    let query = arguments.query.join(" ");
    let hits = look_up(&searched, &query, retrieve.ranking, arguments.k, |_| false, &workspace.shelf);
    let hits: Vec<_> = hits.into_iter().map(|(_, hit, text)| (hit, excerpt(&text, &query))).collect();
    workspace.shelf.save();
    show::hits(&env.shell, &hits);
    Ok(None)
}
