//! `meu search`

use clap::Args;

use super::{Done, Env};
use crate::context::{excerpt, first, look_up, searchable};
use crate::diag::Error;
use crate::show;

/// Search the documents and outputs of the project, as the `retrieved` tier does
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to look for
    #[arg(required = true)]
    query: Vec<String>,
    /// How many passages at most
    #[arg(short, default_value_t = 10, value_parser = at_least_one)]
    k: usize,
    /// By words alone, whatever `retrieve.embed` says
    #[arg(long)]
    lexical: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|k| *k > 0).ok_or_else(|| "write a number of at least 1".to_owned())
}

pub(super) fn search(env: &Env, arguments: Arguments) -> Done {
    let workspace = env.load()?;
    let mut retrieve = workspace.graph.config.policy.retrieve.clone();
    if arguments.lexical {
        retrieve.embed = None;
    }
    let documents = workspace.documents(&retrieve.documents)?;
    let searched = searchable(&workspace.graph, &documents);
    if searched.is_empty() {
        return Err(Error::failed("there is nothing to search")
            .help("`[context] retrieve.documents` of meu.toml names the documents"));
    }
    let query = arguments.query.join(" ");
    let hits = look_up(&searched[..], &query, &retrieve, &workspace.shelf, first(arguments.k))
        .map_err(|trouble| Error::failed(trouble.message).help("say --lexical to search by words alone"))?;
    let hits: Vec<_> = hits.into_iter().map(|(_, hit, text)| (hit, excerpt(&text, &query))).collect();
    workspace.shelf.save();
    show::hits(&env.shell, &hits);
    Ok(None)
}
