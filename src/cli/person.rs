//! `meu adopt`, `restore`, `approve`, `cat`: a person's control of outputs.

use clap::Args;

use super::{Done, Env, select};
use crate::diag::Error;
use crate::digest::Digest;
use crate::disk::{self, Cache, Workspace};
use crate::graph::Ix;
use crate::run;
use crate::show::plain;

/// Take what is on disk as the output for today's request
///
/// After an edit, after a conflict, or to wave through a change that does not matter.
#[derive(Debug, Args)]
pub(super) struct Adopt {
    /// Which tasks
    #[arg(required = true)]
    selectors: Vec<String>,
}

/// Go back to the text that was built; what is on disk is kept in the cache
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// Which tasks
    #[arg(required = true)]
    selectors: Vec<String>,
}

/// Approve outputs as they are on disk
#[derive(Debug, Args)]
pub(super) struct Approve {
    /// Which tasks
    #[arg(required = true)]
    selectors: Vec<String>,
}

/// Print a kept text by its digest
#[derive(Debug, Args)]
pub(super) struct Cat {
    /// The digest, as `restore` tells it
    digest: String,
}

type Decision = fn(&Workspace, &[Ix]) -> Result<Vec<String>, Error>;

fn decide(env: &Env, selectors: &[String], decision: Decision) -> Done {
    let workspace = env.load()?;
    let tasks = select::select(&workspace, selectors, &[])?;
    let _hold = disk::hold(&workspace.store)?;
    let lines = decision(&workspace, &tasks)?;
    if env.shell.json {
        env.shell.json(&serde_json::json!({"done": lines}));
    } else if !env.shell.quiet {
        for line in lines {
            env.shell.out(&plain(&line));
        }
    }
    Ok(None)
}

pub(super) fn adopt(env: &Env, arguments: Adopt) -> Done {
    decide(env, &arguments.selectors, run::adopt)
}

pub(super) fn restore(env: &Env, arguments: Restore) -> Done {
    decide(env, &arguments.selectors, run::restore)
}

pub(super) fn approve(env: &Env, arguments: Approve) -> Done {
    decide(env, &arguments.selectors, run::approve)
}

pub(super) fn cat(env: &Env, arguments: Cat) -> Done {
    let workspace = env.load()?;
    let digest: Digest = arguments.digest.parse().map_err(Error::invalid)?;
    match Cache(&workspace.store).text(digest) {
        Some(text) if env.shell.json => env.shell.json(&serde_json::json!({"digest": digest, "text": text})),
        Some(text) => env.shell.raw(&text),
        None => return Err(Error::failed(format!("no text {} is kept here", digest.short()))),
    }
    Ok(None)
}
