//! `meu status`

use clap::Args;

use super::{Done, Env, select};
use crate::diag::ErrorKind;
use crate::run::{Row, Survey, counts, rows};
use crate::seal;
use crate::show;

/// Show the tasks' states with reasons; needs no key and no network
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meu status                   all tasks
  meu status research/** tag:draft
  meu status --check           exit 3 unless all is fresh, for CI")]
pub(super) struct Arguments {
    /// Which tasks (ids, globs, tag:, plan:, state:, path:, changed:; +SEL, SEL+)
    #[arg(add = super::shell::task_ids())]
    selectors: Vec<String>,
    /// Leave these out
    #[arg(long, value_name = "SEL")]
    exclude: Vec<String>,
    /// Exit with 3 if something is not fresh
    #[arg(long)]
    check: bool,
}

pub(super) fn status(env: &Env, arguments: Arguments) -> Done {
    let everything = arguments.selectors.is_empty() && arguments.exclude.is_empty();
    if everything
        && let Some(seal) = env.sealed()?
        && let Some(rows) = seal.rows(show::tells_all(&env.shell, seal.tasks()))
    {
        show::status(&env.shell, seal.counts(), &rows);
        return Ok((arguments.check && !seal.passes_check()).then_some(ErrorKind::NotFresh));
    }
    let workspace = env.load()?;
    let chosen = select::select(&workspace, &arguments.selectors, &arguments.exclude)?;
    let verdicts = Survey::all(&workspace, None);
    workspace.shelf.save();
    let rows = match everything {
        true => {
            let rows = rows(&workspace, &verdicts);
            seal::keep(&workspace, &rows, false);
            rows
        }
        false => chosen
            .iter()
            .filter_map(|ix| Some(Row::of(&workspace.graph, *ix, verdicts[ix.0].as_ref()?)))
            .collect(),
    };
    show::status(&env.shell, &counts(&rows), &rows);
    let passes = rows.iter().all(Row::passes_check);
    // The process ends: the system takes all of it back at once.
    std::mem::forget(workspace);
    Ok((arguments.check && !passes).then_some(ErrorKind::NotFresh))
}
