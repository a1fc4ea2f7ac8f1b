//! `meu why`

use clap::Args;

use super::{Done, Env, select};
use crate::plan::State;
use crate::run::{Row, Survey};
use crate::show;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The task
    #[arg(add = super::shell::task_ids())]
    task: String,
}

pub(super) fn why(env: &Env, arguments: Arguments) -> Done {
    let workspace = env.load()?;
    let ix = select::one(&workspace, &arguments.task)?;
    let verdicts = Survey::all(&workspace, None);
    workspace.shelf.save();
    let edited = |above: &crate::graph::Ix| {
        verdicts[above.0].as_ref().is_some_and(|verdict| verdict.state == State::Edited)
    };
    let mut edited: Vec<String> = workspace
        .graph
        .ordering(ix)
        .filter(edited)
        .map(|above| format!("task:{}", workspace.graph.node(above).id()))
        .collect();
    edited.sort();
    edited.dedup();
    if let Some(verdict) = &verdicts[ix.0] {
        show::why(&env.shell, &Row::of(&workspace.graph, ix, verdict), &edited);
    }
    Ok(None)
}
