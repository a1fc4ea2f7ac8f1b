//! `meu graph`

use std::collections::HashSet;

use clap::{Args, ValueEnum};

use super::{Done, Env, select};
use crate::graph::{Graph, Ix};
use crate::plan::Verdict;
use crate::run::Survey;
use crate::show::{self, Drawing};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meu graph > plan.mmd
  meu graph --format dot --select +report | dot -Tsvg > report.svg
  meu graph --select state:stale+ --exclude tag:draft")]
pub(super) struct Arguments {
    /// How to write it
    #[arg(long, value_enum, default_value = "mermaid")]
    format: Format,
    /// Only these tasks, and the links between them (ids, globs, tag:, plan:, state:, path:, changed:; +SEL, SEL+)
    #[arg(long, value_name = "SEL", add = super::shell::task_ids())]
    select: Vec<String>,
    /// Leave these out
    #[arg(long, value_name = "SEL")]
    exclude: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Mermaid,
    Dot,
    Json,
}

pub(super) fn graph(env: &Env, arguments: Arguments) -> Done {
    let workspace = env.load()?;
    let chosen = select::select(&workspace, &arguments.select, &arguments.exclude)?;
    let verdicts = Survey::all(&workspace, None);
    workspace.shelf.save();
    draw(env, &workspace.graph, &chosen, &verdicts, arguments.format);
    Ok(None)
}

/// Prints some tasks and the links between them.
pub(super) fn draw(env: &Env, graph: &Graph, tasks: &[Ix], verdicts: &[Option<Verdict>], format: Format) {
    let mut links = super::link::links(graph);
    let drawn: HashSet<Ix> = tasks.iter().copied().collect();
    links.retain(|(from, _, to)| drawn.contains(from) && drawn.contains(to));
    let drawing = Drawing { graph, tasks, links: &links, verdicts };
    match if env.shell.json { Format::Json } else { format } {
        Format::Json => show::graph_as_json(&env.shell, &drawing),
        Format::Mermaid => show::mermaid(&env.shell, &drawing),
        Format::Dot => show::dot(&env.shell, &drawing),
    }
}
