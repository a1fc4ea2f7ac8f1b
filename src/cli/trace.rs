//! `meu trace`

use clap::Args;

use super::{Done, Env};
use crate::run::trace as trace_output;
use crate::show;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meu trace out/report.md      where it comes from, down to the documents
  meu trace out/report.md:12   and which items mention the words of line 12 most")]
pub(super) struct Arguments {
    /// An output's path, from the project's folder, or a task; with `:LINE` one line of it
    path: String,
}

pub(super) fn trace(env: &Env, arguments: Arguments) -> Done {
    let workspace = env.load()?;
    let (name, line) = match arguments.path.rsplit_once(':') {
        Some((name, line)) if line.parse::<usize>().is_ok_and(|line| line > 0) => (name, line.parse().ok()),
        _ => (arguments.path.as_str(), None),
    };
    show::trace(&env.shell, &trace_output(&workspace, name, line)?);
    Ok(None)
}
