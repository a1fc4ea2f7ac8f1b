//! `meu report`

use std::collections::HashSet;

use clap::{Args, ValueEnum};

use super::{Done, Env, select};
use crate::diag::Error;
use crate::disk;
use crate::lock::Lock;
use crate::run::{Survey, report};
use crate::show;

/// Tell what was made since a revision, why, and what it took; for pull requests
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meu report --since origin/main > report.md
  meu report --since HEAD~1 --format json")]
pub(super) struct Arguments {
    /// Which tasks; all if left out
    #[arg(add = super::shell::task_ids())]
    selectors: Vec<String>,
    /// The revision of git to compare with: its meu.lock says what was built then
    #[arg(long, value_name = "GITREF")]
    since: String,
    /// How to write it
    #[arg(long, value_enum, default_value = "markdown")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Markdown,
    Json,
}

pub(super) fn make(env: &Env, arguments: Arguments) -> Done {
    let workspace = env.load()?;
    let text = disk::file_at(workspace.store.root(), &arguments.since, "meu.lock")?.unwrap_or_default();
    let old = Lock::parse(&text).map_err(|newer| {
        Error::invalid(format!(
            "the meu.lock of `{}` has format {}, which is newer",
            arguments.since, newer.0
        ))
        .help("install a newer meu")
    })?;
    let verdicts = Survey::all(&workspace, None);
    workspace.shelf.save();
    let graph = &workspace.graph;
    let lines = match arguments.selectors.is_empty() {
        true => report(&workspace, &old, &verdicts, &|_| true),
        false => {
            let chosen = select::select(&workspace, &arguments.selectors, &[])?;
            let chosen: HashSet<&str> = chosen.iter().map(|ix| graph.node(*ix).id()).collect();
            report(&workspace, &old, &verdicts, &|id| chosen.contains(id))
        }
    };
    match arguments.format {
        Format::Markdown if !env.shell.json => show::report_as_markdown(&env.shell, &arguments.since, &lines),
        _ => show::report_as_json(&env.shell, &arguments.since, &lines),
    }
    Ok(None)
}
