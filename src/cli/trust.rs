//! `meu trust`

use clap::Args;
use serde_json::json;

use super::{Done, Env};
use crate::disk::Trust;
use crate::show::plain;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only show what the project wants
    #[arg(long)]
    show: bool,
}

pub(super) fn trust(env: &Env, arguments: Arguments) -> Done {
    let workspace = env.load()?;
    let whole = Trust::whole(&workspace.graph, &workspace.store);
    let missing = whole.missing();
    let wants: Vec<&str> = whole.lines().collect();
    if env.shell.json {
        env.shell.json(&json!({"wants": wants, "missing": missing.lines().collect::<Vec<_>>()}));
    } else {
        for want in &wants {
            env.shell.out(&plain(want));
        }
        if wants.is_empty() {
            env.shell.out("nothing to allow: no programs, no foreign addresses");
        }
    }
    if !arguments.show && !missing.is_empty() {
        let file = missing.give()?;
        env.shell.note(&format!("allowed, as it is now; kept in {}", file.display()));
    }
    Ok(None)
}
