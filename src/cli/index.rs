//! `meu index`

use clap::Args;
use serde_json::json;

use super::{Done, Env};
use crate::diag::Error;
use crate::disk::{self, Workspace};
use crate::index;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write them into INDEX.md, between its markers
    #[arg(long)]
    write: bool,
}

pub(super) fn index(env: &Env, arguments: Arguments) -> Done {
    if arguments.write {
        let (_hold, workspace) = env.load_held()?;
        let written = write(&workspace)?;
        let path = &workspace.graph.config.index;
        if env.shell.json {
            env.shell.json(&json!({"path": path.as_str(), "written": written}));
        } else if !env.shell.quiet {
            env.shell.out(&if written { format!("wrote {path}") } else { format!("{path} is up to date") });
        }
        return Ok(None);
    }
    let workspace = env.load()?;
    if env.shell.json {
        env.shell.json(&json!({"contents": index::contents(&workspace.graph)}));
    } else {
        env.shell.out(index::contents(&workspace.graph).trim_end());
    }
    Ok(None)
}

/// Brings INDEX.md's region up to date; tells whether that changed the file.
pub fn write(workspace: &Workspace) -> Result<bool, Error> {
    let path = &workspace.graph.config.index;
    let wrong = |what: String| {
        let help = "look at it and mend what is wrong there, then `meu index --write`";
        Error::failed(format!("`{path}` cannot be written: {what}")).help(help)
    };
    let old = disk::read_optional(&workspace.store.full(path)).map_err(wrong)?;
    let text = old.as_deref().unwrap_or_default();
    let updated = index::updated(&workspace.graph, text, &|text| workspace.redactor.clean(text).into_owned())
        .map_err(|line| wrong(format!("line {line} has a marker without its partner")))?;
    let Some(new) = updated else { return Ok(false) };
    workspace.store.edit(path, old.as_deref(), &new).map_err(|error| wrong(error.to_string()))?;
    workspace.shelf.look_again(path);
    Ok(true)
}
