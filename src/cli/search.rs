//! `meu search`

use clap::Args;

use super::{Done, Env};
use crate::context::{Hit, Searched, Shelf, excerpt, first, look_up, searchable};
use crate::diag::{Error, Sink};
use crate::disk::{DiskShelf, load_config};
use crate::seal::{SearchList, keep_list};
use crate::show;
use crate::spec::Retrieve;

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
    let hits = match in_list(env, &arguments)? {
        Some(hits) => hits,
        None => in_project(env, &arguments)?,
    };
    show::hits(&env.shell, &hits);
    Ok(None)
}

/// Searches what the last search looked through, if that is what there is to look through.
fn in_list(env: &Env, arguments: &Arguments) -> Result<Option<Vec<(Hit, String)>>, Error> {
    let Some(store) = env.store()? else { return Ok(None) };
    let Some(config) = load_config(&store, &Sink::default()) else { return Ok(None) };
    let shelf = DiskShelf::apart(store.clone(), config.index);
    shelf.tell_of_index(show::indexing(&env.shell));
    let retrieve = settings(&config.policy.retrieve, arguments);
    // Vectors are made of all texts.
    if retrieve.embed.is_some() {
        return Ok(None);
    }
    let Some(list) = SearchList::read(&store, &shelf) else { return Ok(None) };
    let hits = hits(&list, &retrieve, &shelf, arguments)?;
    shelf.tidy_corpus();
    shelf.save();
    Ok(Some(hits))
}

fn in_project(env: &Env, arguments: &Arguments) -> Result<Vec<(Hit, String)>, Error> {
    let mut workspace = env.load()?;
    let retrieve = settings(&workspace.graph.config.policy.retrieve, arguments);
    let told = workspace.warnings.len();
    let documents = workspace.documents(&retrieve.documents)?;
    env.warn(&workspace.warnings[told..]);
    let searched = searchable(&workspace.graph, &documents);
    if searched.is_empty() {
        return Err(Error::failed("there is nothing to search")
            .help("`[context] retrieve.documents` of meu.toml names the documents"));
    }
    let hits = hits(&searched[..], &retrieve, &workspace.shelf, arguments)?;
    workspace.shelf.tidy_corpus();
    workspace.shelf.save();
    keep_list(&workspace, &searched);
    Ok(hits)
}

fn settings(retrieve: &Retrieve, arguments: &Arguments) -> Retrieve {
    let mut retrieve = retrieve.clone();
    if arguments.lexical {
        retrieve.embed = None;
    }
    retrieve
}

fn hits<S: Searched + ?Sized>(
    searched: &S,
    retrieve: &Retrieve,
    shelf: &dyn Shelf,
    arguments: &Arguments,
) -> Result<Vec<(Hit, String)>, Error> {
    let query = arguments.query.join(" ");
    let hits = look_up(searched, &query, retrieve, shelf, first(arguments.k))
        .map_err(|trouble| Error::failed(trouble.message).help("say --lexical to search by words alone"))?;
    Ok(hits.into_iter().map(|(_, hit, text)| (hit, excerpt(&text, &query))).collect())
}
