//! `meu report`

use std::collections::HashSet;

use clap::{Args, ValueEnum};

use super::{Done, Env, select};
use crate::diag::Error;
use crate::disk;
use crate::lock::Lock;
use crate::run::{Happened, Survey, report, rows};
use crate::show::{self, plain};

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
    /// The files that a commit of what was made should hold
    Paths,
}

pub(super) fn make(env: &Env, arguments: Arguments) -> Done {
    let workspace = env.load()?;
    let root = workspace.store.root();
    let text = disk::file_at(root, &arguments.since, "meu.lock")?.unwrap_or_default();
    let committed = disk::committed_at(root, &arguments.since)?;
    let old = Lock::parse(&text).map_err(|newer| {
        Error::invalid(format!(
            "the meu.lock of `{}` has format {}, which is newer",
            arguments.since, newer.0
        ))
        .help("install a newer meu")
    })?;
    for line in &old.broken {
        let task = line.task.as_deref().unwrap_or("a task");
        let place = format!("line {} of the meu.lock of {}", line.line, arguments.since);
        env.shell
            .note(&plain(&format!("warning: {place} cannot be read, so nothing is known of {task} since")));
    }
    let verdicts = Survey::all(&workspace, None);
    workspace.shelf.save();
    let graph = &workspace.graph;
    let rows = rows(&workspace, &verdicts);
    let chosen = match arguments.selectors.is_empty() {
        true => None,
        false => Some(select::select(&workspace, &arguments.selectors, &[])?),
    };
    let chosen: Option<HashSet<&str>> =
        chosen.map(|chosen| chosen.iter().map(|ix| graph.node(*ix).id()).collect());
    let is_chosen = |id: &str| chosen.as_ref().is_none_or(|chosen| chosen.contains(id));
    let report = report(&workspace, &old, &committed, &rows, &is_chosen);
    match arguments.format {
        Format::Paths => {
            let made = report
                .lines
                .iter()
                .filter(|line| !matches!(line.happened, Happened::Nothing | Happened::Removed));
            let own = ["meu.lock".to_owned(), graph.config.index.to_string()];
            let mut paths: Vec<String> =
                own.into_iter().chain(made.map(|line| line.output.clone())).collect();
            let root = workspace.store.root();
            let not_taken = disk::not_taken(root, &paths);
            paths.retain(|path| root.join(path).is_file() && !not_taken.contains(path));
            paths.sort();
            paths.dedup();
            show::report_as_paths(&env.shell, &paths);
        }
        Format::Markdown if !env.shell.json => {
            show::report_as_markdown(&env.shell, &arguments.since, &report)
        }
        _ => show::report_as_json(&env.shell, &arguments.since, &report),
    }
    Ok(None)
}
