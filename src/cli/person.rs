//! `meu adopt`, `restore`, `approve`, `reject`, `diff`, `cat`: a person's control of outputs.

use clap::Args;

use super::{Done, Env, edit, select};
use crate::diag::Error;
use crate::digest::Digest;
use crate::disk::{self, Cache, Workspace};
use crate::graph::Ix;
use crate::plan::State;
use crate::run::{self, Survey};
use crate::show::{self, plain};
use crate::spec::Runner;

#[derive(Debug, Args)]
pub(super) struct Adopt {
    /// Which tasks
    #[arg(required = true)]
    #[arg(add = super::shell::task_ids())]
    selectors: Vec<String>,
    /// Remove `NAME.new.md` even if its words are not in what is adopted
    #[arg(long)]
    discard: bool,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// Which tasks
    #[arg(required = true)]
    #[arg(add = super::shell::task_ids())]
    selectors: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Approve {
    /// Which tasks
    #[arg(add = super::shell::task_ids())]
    selectors: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Reject {
    /// The task
    #[arg(add = super::shell::task_ids())]
    task: String,
    /// What to change
    #[arg(short, long, value_name = "TEXT")]
    message: String,
}

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The task
    #[arg(add = super::shell::task_ids())]
    task: String,
    /// Open the two texts with git's difftool
    #[arg(long)]
    tool: bool,
}

#[derive(Debug, Args)]
pub(super) struct Cat {
    /// The digest, as `restore` tells it, or the beginning of it
    digest: String,
}

type Decision = fn(&Workspace, &[Ix]) -> Result<Vec<String>, Error>;

fn decide(env: &Env, selectors: &[String], decision: Decision) -> Done {
    let (_hold, workspace) = env.load_held()?;
    let tasks = select::select(&workspace, selectors, &[])?;
    let lines = decision(&workspace, &tasks)?;
    if env.shell.json {
        env.shell.json(&serde_json::json!({"done": lines}));
    } else if !env.shell.quiet {
        for line in lines {
            env.shell.own(&plain(&line));
        }
    }
    Ok(None)
}

pub(super) fn adopt(env: &Env, arguments: Adopt) -> Done {
    let decision: Decision = if arguments.discard { run::adopt_discarding } else { run::adopt };
    decide(env, &arguments.selectors, decision)
}

pub(super) fn reject(env: &Env, arguments: Reject) -> Done {
    let (_hold, workspace) = env.load_held()?;
    let ix = select::one(&workspace, &arguments.task)?;
    if arguments.message.trim().is_empty() {
        return Err(Error::invalid("say with -m what to change"));
    }
    let node = workspace.graph.node(ix);
    if matches!(node.task.run, Runner::Template | Runner::Assemble | Runner::Manual)
        || node.duplicate_of.is_some()
    {
        return Err(Error::failed(format!(
            "nobody is asked for `{}`, so there is nobody to revise it",
            node.id()
        ))
        .help(format!("edit {}", node.task.id.source.path)));
    }
    if !edit::edit(&workspace, ix, |text| text.add("revisions", arguments.message.trim()))? {
        return Err(Error::failed(format!("`{}` is asked for that already", node.id()))
            .help("say it in other words, or `meu run --force` asks again"));
    }
    let id = workspace.graph.node(ix).id();
    if env.shell.json {
        env.shell.json(&serde_json::json!({"task": id, "revision": arguments.message.trim()}));
    } else if !env.shell.quiet {
        env.shell.out(&format!("{} is asked for it with the next run", plain(id)));
    }
    Ok(None)
}

pub(super) fn diff(env: &Env, arguments: Diff) -> Done {
    let workspace = env.load()?;
    let ix = workspace.graph.canonical(select::one(&workspace, &arguments.task)?);
    let texts = run::texts_of(&workspace, ix)?;
    if arguments.tool {
        let built = texts.built.unwrap_or_default();
        disk::difftool(&workspace.store, &built, &workspace.graph.node(ix).output)?;
        return Ok(None);
    }
    show::diff(&env.shell, workspace.graph.node(ix).output.as_str(), &texts);
    Ok(None)
}

/// Walks through all that awaits approval, at a plain prompt.
fn walk(env: &Env) -> Done {
    let (_hold, workspace) = env.load_held()?;
    let verdicts = Survey::all(&workspace, None);
    let mut approved = Vec::new();
    for ix in workspace.graph.order().iter().copied() {
        if verdicts[ix.0].as_ref().is_none_or(|verdict| verdict.state != State::Awaiting) {
            continue;
        }
        let node = workspace.graph.node(ix);
        let texts = run::texts_of(&workspace, ix)?;
        show::approval(&env.shell, node.id(), node.output.as_str(), &texts);
        while let Some(word) = env.shell.ask("approve? [y]es, [n]o, [q]uit: ") {
            match word.as_str() {
                "y" | "yes" => approved.push(ix),
                "n" | "no" | "" => {}
                "q" | "quit" => return finish(env, &workspace, &approved),
                _ => continue,
            }
            break;
        }
    }
    finish(env, &workspace, &approved)
}

fn finish(env: &Env, workspace: &Workspace, approved: &[Ix]) -> Done {
    let lines = if approved.is_empty() { Vec::new() } else { run::approve(workspace, approved)? };
    for line in &lines {
        env.shell.out(&plain(line));
    }
    if lines.is_empty() {
        env.shell.out("nothing was approved");
    }
    Ok(None)
}

pub(super) fn restore(env: &Env, arguments: Restore) -> Done {
    decide(env, &arguments.selectors, run::restore)
}

pub(super) fn approve(env: &Env, arguments: Approve) -> Done {
    if arguments.selectors.is_empty() {
        if env.shell.json {
            return Err(Error::invalid("with --json, name the tasks to approve")
                .help("`meu status --json state:awaiting`"));
        }
        return walk(env);
    }
    decide(env, &arguments.selectors, run::approve)
}

pub(super) fn cat(env: &Env, arguments: Cat) -> Done {
    let workspace = env.load()?;
    let cache = Cache(&workspace.store);
    let digest: Digest = match cache.texts_beginning_with(&arguments.digest)[..] {
        [one] => one,
        [] => {
            return Err(Error::failed(format!("no text `{}` is kept here", arguments.digest))
                .help("digests are 64 hexadecimal digits, of which the first four or more can be given"));
        }
        [..] => {
            return Err(Error::failed(format!("several texts begin with `{}`", arguments.digest))
                .help("give more of its digits"));
        }
    };
    match cache.text(digest) {
        Some(text) if env.shell.json => env.shell.json(&serde_json::json!({"digest": digest, "text": text})),
        Some(text) => env.shell.raw(&text),
        None => return Err(Error::failed(format!("no text {} is kept here", digest.short()))),
    }
    Ok(None)
}
