//! `meu trust`

use clap::Args;

use super::{Done, Env};
use crate::disk::Trust;
use crate::show::plain;

/// Allow this project's programs and addresses, as they are now
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only show what the project wants
    #[arg(long)]
    show: bool,
}

pub(super) fn trust(env: &Env, arguments: Arguments) -> Done {
    let workspace = env.load()?;
    let graph = &workspace.graph;
    let trust = Trust::wanted(graph, graph.nodes().map(|(ix, _)| ix), &workspace.store);
    for want in &trust.wants {
        env.shell.out(&plain(want));
    }
    if trust.wants.is_empty() {
        env.shell.out("nothing to allow: no programs, no foreign addresses");
    } else if !arguments.show {
        let file = trust.give(&workspace.store)?;
        env.shell.note(&format!("allowed, as it is now; kept in {}", file.display()));
    }
    Ok(None)
}
