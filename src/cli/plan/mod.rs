//! `meu plan`: plans that are written by a model or read from a file, reviewed before they land. How one is made is
//! in [`make`].

mod make;

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::graph::Format as Drawn;
use super::run::amount;
use super::{Done, Env, select};
use crate::author::{self, Told};
use crate::context::Shelf;
use crate::diag::Error;
use crate::disk::{self, Proposal, Proposals, Workspace, load_or_empty};
use crate::plan::State;
use crate::run::{Landing, Survey, land, landing};
use crate::show::{self, counted, plain};

#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:
  meu plan import TODO.md --into trip      tasks out of an outline or a checklist
  meu plan propose \"A field guide\" --from notes.md
  meu plan show todo                       what it would add, change and drop
  meu plan approve todo                    moves it into tasks/, all or nothing
  meu plan decompose report                the parts of one task")]
pub(super) enum Command {
    Propose(Propose),
    Import(Import),
    Decompose(Decompose),
    Show(Show),
    /// Print what a proposal would change, as a diff
    Diff(Named),
    Edit(Edit),
    Approve(Approve),
    /// Throw a proposal away
    Drop(Named),
    Export(Export),
}

/// Ask the project's model for a plan; the offline drafter reads one from the structure of --from
#[derive(Debug, Args)]
pub(super) struct Propose {
    /// What the plan is for
    goal: String,
    /// Material, from the current folder
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    asking: Asking,
}

/// Read a plan from Markdown, from claude-task-master's tasks.json, or from a list in JSON, YAML or TOML
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file, from the current folder
    file: PathBuf,
    #[command(flatten)]
    target: Target,
    /// Only this tag of claude-task-master's
    #[arg(long)]
    tag: Option<String>,
    /// Every item and section requires the one before it
    #[arg(long)]
    in_order: bool,
    /// Let tasks that are linked to nothing refer to an earlier one whose title they name
    #[arg(long)]
    suggest_links: bool,
    /// Let it land at once
    #[arg(long)]
    approve: bool,
}

/// Ask for the parts of a task; it becomes their assembly
#[derive(Debug, Args)]
pub(super) struct Decompose {
    /// The task
    #[arg(add = super::shell::task_ids())]
    task: String,
    #[command(flatten)]
    asking: Asking,
}

/// Where a plan is to go.
#[derive(Debug, Args)]
struct Target {
    /// The folder of its tasks below tasks/; the top if left out
    #[arg(long, value_name = "FOLDER")]
    into: Option<String>,
    /// What the proposal is called
    #[arg(long)]
    name: Option<String>,
}

/// How a model is asked.
#[derive(Debug, Args)]
struct Asking {
    /// Ask this provider instead of the configured one
    #[arg(long, value_name = "P")]
    provider: Option<String>,
    /// How deep tasks are taken apart that are too large to be written at one go
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=6))]
    depth: u16,
    /// The most tasks side by side
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=100))]
    breadth: u16,
    /// The most that may be spent, in the currency of the prices
    #[arg(long, value_name = "X", value_parser = amount, allow_negative_numbers = true)]
    max_cost: Option<f64>,
    /// The most tokens, sent and answered
    #[arg(long, value_name = "N")]
    max_tokens: Option<u64>,
    /// Ask again, though an answer is kept
    #[arg(long)]
    force: bool,
}

/// Print what a proposal would change, or list all proposals
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The proposal; all of them if left out
    name: Option<String>,
    /// Print the graph of the tasks instead
    #[arg(long, value_enum)]
    graph: Option<Drawn>,
}

// What a person reads of it stands at the commands that take it.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// The proposal
    name: String,
}

/// Open a proposal in the editor
#[derive(Debug, Args)]
pub(super) struct Edit {
    /// The proposal
    name: String,
    /// One of its tasks; the folder of all if left out
    task: Option<String>,
}

/// Move a proposal into tasks/, all or nothing
#[derive(Debug, Args)]
pub(super) struct Approve {
    /// The proposal
    name: String,
    /// Only these of its tasks (ids, globs, tag:, plan:; +SEL, SEL+)
    selectors: Vec<String>,
}

/// Print the project's plan for other tools
#[derive(Debug, Args)]
pub(super) struct Export {
    /// Which tasks; all if left out
    #[arg(add = super::shell::task_ids())]
    selectors: Vec<String>,
    /// How to write it
    #[arg(long, value_enum, default_value = "markdown")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Markdown,
    Json,
}

pub(super) fn plan(env: &Env, command: Command) -> Done {
    match command {
        Command::Propose(arguments) => make::propose(env, arguments),
        Command::Import(arguments) => make::import(env, &arguments),
        Command::Decompose(arguments) => make::decompose(env, &arguments),
        Command::Show(arguments) => show(env, &arguments),
        Command::Diff(named) => {
            let (workspace, proposal) = find(env, &named.name)?;
            show::proposal_diff(&env.shell, &proposal, &landing(&workspace, &proposal, &|_| true)?);
            Ok(None)
        }
        Command::Edit(arguments) => edit(env, &arguments),
        Command::Approve(arguments) => approve(env, &arguments),
        Command::Drop(named) => {
            let (_hold, workspace) = env.load_held_by(&load_or_empty)?;
            let proposals = Proposals(&workspace.store);
            // One that cannot be read can be thrown away.
            let landed = match proposals.find(&named.name) {
                Ok(None) => proposals.get(&named.name)?.about.landed,
                Ok(Some(proposal)) => proposal.about.landed,
                Err(_) => BTreeSet::new(),
            };
            proposals.drop(&named.name)?;
            said(env, "dropped", &named.name);
            if !landed.is_empty() {
                env.shell.note("what landed of it stays; another plan of its name is merged with nothing");
            }
            Ok(None)
        }
        Command::Export(arguments) => export(env, &arguments),
    }
}

fn said(env: &Env, done: &str, name: &str) {
    if env.shell.json {
        env.shell.json(&json!({"proposal": name, "done": done}));
    } else if !env.shell.quiet {
        env.shell.out(&format!("{done} {}", plain(name)));
    }
}

fn find(env: &Env, name: &str) -> Result<(Workspace, Proposal), Error> {
    let workspace = env.load_by(&load_or_empty)?;
    let proposal = Proposals(&workspace.store).get(name)?;
    Ok((workspace, proposal))
}

fn show(env: &Env, arguments: &Show) -> Done {
    let Some(name) = &arguments.name else {
        let workspace = env.load_by(&load_or_empty)?;
        let proposals = Proposals(&workspace.store);
        let all = proposals.names().iter().map(|name| proposals.get(name)).collect::<Result<Vec<_>, _>>()?;
        if env.shell.json {
            let rows: Vec<_> = all
                .iter()
                .map(
                    |one| json!({"proposal": one.name, "source": one.about.source, "tasks": one.tasks.len()}),
                )
                .collect();
            env.shell.json(&json!({"proposals": rows}));
            return Ok(None);
        }
        for one in &all {
            let tasks = if one.tasks.is_empty() { "landed".into() } else { counted(one.tasks.len(), "task") };
            env.shell.out(&format!("{}  {tasks}  {}", plain(&one.name), plain(&one.about.source)));
        }
        if all.is_empty() {
            env.shell.note("no proposal; `meu plan import FILE` or `meu plan propose GOAL` makes one");
        }
        return Ok(None);
    };
    let (workspace, proposal) = find(env, name)?;
    let landing = landing(&workspace, &proposal, &|_| true)?;
    match arguments.graph {
        None => show::proposal(&env.shell, &proposal, &landing),
        Some(format) => {
            let graph = &landing.planned.graph;
            let tasks: Vec<_> = landing.changes.iter().filter_map(|change| graph.find(&change.id)).collect();
            super::graph::draw(env, graph, &tasks, &vec![None; graph.len()], format);
        }
    }
    Ok(None)
}

fn edit(env: &Env, arguments: &Edit) -> Done {
    let (workspace, proposal) = find(env, &arguments.name)?;
    let path = match &arguments.task {
        Some(task) => {
            if !proposal.tasks.contains_key(task) {
                let help = crate::diag::did_you_mean(task, proposal.tasks.keys().map(String::as_str));
                let error = Error::failed(format!("the proposal `{}` has no task `{task}`", proposal.name));
                return Err(error
                    .help(help.unwrap_or_else(|| format!("`meu plan show {}` lists them", proposal.name))));
            }
            Proposals::shown(&proposal.name, task)
        }
        None => format!(".meu/proposals/{}/tasks", proposal.name),
    };
    disk::open_editor(&workspace.store, &workspace.store.root().join(path))?;
    let (workspace, proposal) = find(env, &arguments.name)?;
    show::proposal(&env.shell, &proposal, &landing(&workspace, &proposal, &|_| true)?);
    Ok(None)
}

fn approve(env: &Env, arguments: &Approve) -> Done {
    let (_hold, workspace) = env.load_held_by(&load_or_empty)?;
    let proposal = Proposals(&workspace.store).get(&arguments.name)?;
    let mut all = landing(&workspace, &proposal, &|_| true)?;
    if !arguments.selectors.is_empty() {
        let chosen = select::select(&all.planned, &arguments.selectors, &[])?;
        let chosen: BTreeSet<&str> = chosen.iter().map(|ix| all.planned.graph.node(*ix).id()).collect();
        all = landing(&workspace, &proposal, &|id| chosen.contains(id))?;
    }
    finish(env, &workspace, &proposal, &all)
}

fn finish(env: &Env, workspace: &Workspace, proposal: &Proposal, landing: &Landing) -> Done {
    let landed = land(workspace, proposal, landing)?;
    let outputs = landed.outputs;
    let kept = landed.kept.iter().map(|path| format!("{path} is there already and stays as it is"));
    let changed: Vec<_> = landing.changes.iter().filter(|change| change.old != change.new).collect();
    let notes: Vec<String> =
        landing.changes.iter().flat_map(|change| change.notes.clone()).chain(kept).collect();
    if env.shell.json {
        env.shell.json(&json!({
            "proposal": proposal.name,
            "files": changed.iter().map(|change| &change.file).collect::<Vec<_>>(),
            "outputs": outputs.iter().map(|path| path.as_str()).collect::<Vec<_>>(),
            "notes": notes,
        }));
        return Ok(None);
    }
    notes.iter().for_each(|note| env.shell.note(&plain(note)));
    let what = match (changed.len(), outputs.len()) {
        (0, _) => "nothing to change".to_owned(),
        (files, 0) => format!("{} written", counted(files, "task file")),
        (files, outputs) => {
            format!("{} and {} written", counted(files, "task file"), counted(outputs, "output"))
        }
    };
    env.shell.out(&format!("{} landed: {what}; `meu run -n` says what it would take", plain(&proposal.name)));
    Ok(None)
}

fn export(env: &Env, arguments: &Export) -> Done {
    let workspace = env.load()?;
    let chosen = select::select(&workspace, &arguments.selectors, &[])?;
    let verdicts = Survey::all(&workspace, None);
    let graph = &workspace.graph;
    let text = |ix| workspace.shelf.text(&graph.node(ix).output).ok().flatten().map(|text| text.to_string());
    let fresh =
        |ix: crate::graph::Ix| verdicts[ix.0].as_ref().is_some_and(|verdict| verdict.state == State::Fresh);
    let told = Told { text: &text, fresh: &fresh };
    match arguments.format {
        Format::Markdown if !env.shell.json => env.shell.raw(&author::as_markdown(graph, &chosen, &told)),
        _ => env.shell.json(&author::as_list(graph, &chosen, &told)),
    }
    author::not_exported(graph, &chosen, arguments.format == Format::Markdown && !env.shell.json)
        .iter()
        .for_each(|line| env.shell.note(line));
    workspace.shelf.save();
    Ok(None)
}
