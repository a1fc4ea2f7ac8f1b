//! `meu context show`

use clap::{Args, Subcommand};

use super::{Done, Env, select};
use crate::diag::Error;
use crate::request::{Scene, build};
use crate::show;
use crate::spec::ItemRef;

/// Look at what a task's request holds
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Show(Show),
}

/// The items of a task's context, in order, with tokens; and what was left out, with the reason
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The task
    task: String,
    /// The very text that would be sent
    #[arg(long)]
    full: bool,
    /// Add an item for this once (`task:ID` or `doc:PATH`)
    #[arg(long, value_name = "ITEM")]
    manual: Vec<String>,
}

pub(super) fn context(env: &Env, command: Command) -> Done {
    let Command::Show(arguments) = command;
    let workspace = env.load()?;
    let ix = workspace.graph.canonical(select::one(&workspace, &arguments.task)?);
    let manual = arguments
        .manual
        .iter()
        .map(|text| ItemRef::parse(text).map_err(Error::invalid))
        .collect::<Result<Vec<_>, _>>()?;
    for item in &manual {
        if let crate::spec::Subject::Task(id) = &item.subject {
            select::one(&workspace, id)?;
        }
    }
    let scene = Scene { graph: &workspace.graph, templates: &workspace.templates };
    let assembled = build(&scene, ix, &manual, &workspace.shelf).map_err(|trouble| {
        let error = Error::failed(trouble.message);
        match trouble.help {
            Some(help) => error.help(help),
            None => error,
        }
    })?;
    workspace.shelf.save();
    show::context(&env.shell, &workspace.graph, ix, &assembled, arguments.full);
    Ok(None)
}
