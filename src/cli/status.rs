//! `meu status`

use clap::Args;

use super::{Done, Env, select};
use crate::diag::ErrorKind;
use crate::run::Survey;
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
    let workspace = env.load()?;
    let chosen = select::select(&workspace, &arguments.selectors, &arguments.exclude)?;
    let verdicts = Survey::all(&workspace, None);
    workspace.shelf.save();
    let rows: Vec<_> = chosen.iter().filter_map(|ix| Some((*ix, verdicts[ix.0].clone()?))).collect();
    let known = |id: &&str| workspace.graph.find(id).is_none();
    let orphans = match arguments.selectors.is_empty() {
        true => {
            workspace.lock.tasks().filter(known).filter_map(|id| workspace.lock.records(id).first()).collect()
        }
        false => Vec::new(),
    };
    show::status(&env.shell, &workspace.graph, &rows, &orphans);
    let passes = rows.iter().all(|(_, verdict)| verdict.passes_check());
    Ok((arguments.check && !passes).then_some(ErrorKind::NotFresh))
}
