//! `meu mv`

use clap::Args;

use super::{Done, Env, select, write_index};
use crate::graph;
use crate::run;
use crate::show::plain;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The task
    old: String,
    /// Its new id
    new: String,
}

pub(super) fn mv(env: &Env, arguments: Arguments) -> Done {
    let (_hold, workspace) = env.load_held()?;
    let old = select::one(&workspace, &arguments.old)?;
    let new = arguments.new.trim_end_matches(".toml");
    let renamed = graph::rename(&workspace.graph, old, new)?;
    let (after, notes) = run::carry_out(&workspace, &renamed)?;
    notes.iter().for_each(|note| env.shell.note(&plain(note)));
    write_index(&after)?;
    if env.shell.json {
        env.shell.json(
            &serde_json::json!({"renamed": renamed.ids, "files": renamed.files.keys().collect::<Vec<_>>()}),
        );
    } else if !env.shell.quiet {
        for (old, new) in &renamed.ids {
            env.shell.out(&format!("{old} is {new} now"));
        }
    }
    Ok(None)
}
