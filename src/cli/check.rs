//! `meu check`

use clap::Args;
use serde_json::json;

use super::{Done, Env};
use crate::seal::Seal;
use crate::show::counted;

#[derive(Debug, Args)]
pub(super) struct Arguments {}

pub(super) fn check(env: &Env, _: Arguments) -> Done {
    // A project with warnings is never sealed.
    let (tasks, warned) = match env.sealed()?.filter(Seal::stands) {
        Some(seal) => (seal.counts().tasks(), Vec::new()),
        None => {
            let workspace = env.load()?;
            workspace.shelf.save();
            (workspace.graph.len(), workspace.warnings)
        }
    };
    let warnings = warned.len();
    if env.shell.json {
        let messages: Vec<&str> = warned.iter().map(|warning| warning.message.as_str()).collect();
        env.shell.json(&json!({"tasks": tasks, "warnings": messages}));
    } else if !env.shell.quiet {
        let warnings =
            if warnings > 0 { format!(", {}", counted(warnings, "warning")) } else { String::new() };
        env.shell.out(&format!("{} fit together{warnings}", counted(tasks, "task")));
    }
    Ok(None)
}
