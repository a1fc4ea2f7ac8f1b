//! `meu status`

use std::path::PathBuf;

use clap::Args;

use super::{Done, Env, select};
use crate::diag::ErrorKind;
use crate::disk::{self, Recorded, variable};
use crate::run::{Counts, Row, Survey, rows};
use crate::seal;
use crate::show;

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
    /// Exit with 3 if something is not fresh; under GitHub Actions with annotations and a job summary
    #[arg(long)]
    check: bool,
}

pub(super) fn status(env: &Env, arguments: Arguments) -> Done {
    let everything = arguments.selectors.is_empty() && arguments.exclude.is_empty();
    if everything && let Some(seal) = env.sealed()? {
        let all = show::tells_all(&env.shell, seal.counts().tasks());
        if !seal.stands() {
            if let Some((part, workspace)) = env.part(seal)?
                && let Some((rows, counts)) = part.rows(&workspace, &Survey::all(&workspace, None), all)
            {
                workspace.shelf.save();
                let passes = rows.iter().all(Row::passes_check);
                return conclude(env, &counts, &rows, arguments.check.then_some(passes));
            }
        } else if let Some(rows) = seal.rows(all) {
            return conclude(env, seal.counts(), &rows, arguments.check.then(|| seal.passes_check()));
        }
    }
    let workspace = env.load()?;
    let chosen = select::select(&workspace, &arguments.selectors, &arguments.exclude)?;
    let verdicts = Survey::all(&workspace, None);
    workspace.shelf.save();
    let rows = match everything {
        true => {
            let rows = rows(&workspace, &verdicts);
            seal::keep(&workspace, &rows, Recorded::Nothing, false);
            rows
        }
        false => chosen
            .iter()
            .filter_map(|ix| Some(Row::of(&workspace.graph, *ix, verdicts[ix.0].as_ref()?)))
            .collect(),
    };
    // The process ends: the system takes all of it back at once.
    std::mem::forget(workspace);
    conclude(env, &Counts::of(&rows), &rows, arguments.check.then(|| rows.iter().all(Row::passes_check)))
}

/// Shows what was found; `passes` says how a check went, where one was wanted.
fn conclude(env: &Env, counts: &Counts, rows: &[Row], passes: Option<bool>) -> Done {
    show::status(&env.shell, counts, rows);
    let in_ci = variable("GITHUB_ACTIONS").is_some_and(|value| value == "true");
    if passes.is_some() && in_ci && !env.shell.json {
        let root = disk::find_project(&env.folder()?)?;
        let workspace =
            variable("GITHUB_WORKSPACE").and_then(|folder| PathBuf::from(folder).canonicalize().ok());
        let folder = workspace.and_then(|above| Some(root.strip_prefix(above).ok()?.to_str()?.to_owned()));
        show::annotations(&env.shell, rows, &folder.unwrap_or_default());
        if let Some(path) = variable("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) {
            // What was found stands, told there or not.
            if let Err(error) = disk::append(&PathBuf::from(path), &show::job_summary(rows, counts.tasks())) {
                env.shell.note(&format!("warning: the job's summary was not written: {}", error.message));
            }
        }
    }
    Ok((passes == Some(false)).then_some(ErrorKind::NotFresh))
}
