//! One file a command: arguments and wiring, no logic.

mod check;
mod context;
mod doctor;
mod edit;
mod gc;
mod graph;
mod index;
mod init;
mod lazy;
mod link;
mod log;
mod mv;
mod new;
mod person;
mod plan;
mod report;
mod run;
mod search;
mod select;
mod shell;
mod status;
mod trace;
mod trust;
#[cfg(feature = "watch")]
mod watch;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

pub use index::write as write_index;

use clap::{Args, Parser, Subcommand};

use crate::diag::{Diagnostic, Error, ErrorKind, Severity};
use crate::disk::{self, Hold, Loader, Store, Workspace};
use crate::seal::{Part, Seal};
use crate::show::{ColorChoice, Shell};
use lazy::Lazy;

/// A build system for documents that language models write.
///
/// A plan is TOML files under tasks/, one task a file. meu puts each task's context together from the
/// tasks and documents that it names, and runs only the tasks whose request changed, in order.
#[derive(Debug, Parser)]
#[command(
    name = "meu",
    version,
    long_version = build(),
    max_term_width = 100,
    after_help = "Examples:
  meu init plan && cd plan     a project that runs as it is
  meu run                      bring everything up to date
  meu run -n                   what would run, with tokens and worst cost
  meu why report               what changed since its output was built
  meu context show report      what its request holds, and what was left out

Exit codes: 0 done; 1 a task failed, is blocked or awaits approval; 2 wrong usage or an invalid
project; 3 --check found something not fresh; 4 another run holds the project; 130 interrupted."
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// The version, and how this binary was built. A build of one commit says so by `MEU_COMMIT`.
fn build() -> &'static str {
    let (arch, os) = disk::machine();
    let features = [
        ("http", cfg!(feature = "http")),
        ("schema", cfg!(feature = "schema")),
        ("watch", cfg!(feature = "watch")),
    ];
    let features: Vec<&str> = features.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect();
    let linked = if cfg!(target_env = "musl") { ", static" } else { "" };
    let mut lines = vec![env!("CARGO_PKG_VERSION").to_owned()];
    lines.extend(
        option_env!("MEU_COMMIT")
            .filter(|commit| !commit.is_empty())
            .map(|commit| format!("commit {commit}")),
    );
    lines.push(format!("for {arch} {os}{linked}"));
    lines.push(if features.is_empty() {
        "no features".into()
    } else {
        format!("with {}", features.join(", "))
    });
    // clap keeps it as long as the process lives.
    lines.join("\n").leak()
}

/// Options of every command.
#[derive(Debug, Args)]
struct Common {
    /// Work in this folder
    #[arg(short = 'C', value_name = "DIR", global = true)]
    directory: Option<PathBuf>,
    /// When to use colour
    #[arg(long, value_enum, default_value = "auto", global = true)]
    color: ColorChoice,
    /// Errors only
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Say more
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    /// One JSON document, or for run one event a line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a project that runs as it is
    Init(Lazy<init::Arguments>),
    /// Write a commented task file
    New(Lazy<new::Arguments>),
    /// Rename a task: output, record and every reference come along, and nobody is asked
    Mv(Lazy<mv::Arguments>),
    /// Validate everything, run nothing
    Check(Lazy<check::Arguments>),
    /// Show the tasks' states with reasons; needs no key and no network
    Status(Lazy<status::Arguments>),
    /// Bring tasks up to date: only those whose request changed are asked for, in order
    Run(Lazy<run::Arguments>),
    /// Build what edits make stale, as you write; nothing is spent while you type
    #[cfg(feature = "watch")]
    Watch(Lazy<watch::Arguments>),
    /// Tell what changed since a task's output was built, item by item
    Why(Lazy<why::Arguments>),
    /// Look at what a task's request holds, and choose it
    #[command(subcommand)]
    Context(Lazy<context::Command>),
    /// Look at the links between tasks, and edit them
    #[command(subcommand)]
    Link(Lazy<link::Command>),
    /// Print the graph of tasks and links, states as colours
    Graph(Lazy<graph::Arguments>),
    /// Write a plan with a model or read one from a file, look at it, and let it land
    #[command(subcommand)]
    Plan(Lazy<plan::Command>),
    /// Search the documents and outputs of the project, as the `retrieved` tier does
    Search(Lazy<search::Arguments>),
    /// Tell what was made since a revision, why, and what it took; for pull requests
    Report(Lazy<report::Arguments>),
    /// List the runs that are kept: when, what was made, tokens and cost
    Log(Lazy<log::Log>),
    /// Show one run, or one task of it: what was asked, why, by whom, what came of it
    Show(Lazy<log::Show>),
    /// Follow an output back: to its request, its items, and on to their sources
    Trace(Lazy<trace::Arguments>),
    /// Print the generated contents of INDEX.md, or write them
    Index(Lazy<index::Arguments>),
    /// Remove what is old from the cache and the run records; never what the lock or a conflict needs
    Gc(Lazy<gc::Gc>),
    /// Remove what can be made again: cache, run records, indexes. With --orphans outputs without a task, too
    Clean(Lazy<gc::Clean>),
    /// Print the script that lets a shell complete commands, options and task ids
    Completions(Lazy<shell::Completions>),
    /// Print the JSON Schema of task files, or of meu.toml, for editors
    Schema(Lazy<shell::Schema>),
    /// Print the manual page, of meu or of one command
    Man(Lazy<shell::Man>),
    /// Take what is on disk as the output for today's request
    ///
    /// After an edit, after a conflict, or to wave through a change that does not matter.
    Adopt(Lazy<person::Adopt>),
    /// Go back to the text that was built; what is on disk is kept in the cache
    Restore(Lazy<person::Restore>),
    /// Approve outputs as they are on disk; without a task, one after the other with the diff
    Approve(Lazy<person::Approve>),
    /// Ask for a change: the words become part of the task's request
    Reject(Lazy<person::Reject>),
    /// Show what a person changed in an output, and the new answer if one could not be merged
    Diff(Lazy<person::Diff>),
    /// Print a kept text by its digest
    Cat(Lazy<person::Cat>),
    /// Allow this project's programs and addresses, as they are now
    Trust(Lazy<trust::Arguments>),
    /// Say what this meu and this project are, and what they lack
    Doctor(Lazy<doctor::Arguments>),
}

/// What a command is given.
struct Env {
    shell: Shell,
    directory: Option<PathBuf>,
}

impl Env {
    /// The folder to start from.
    fn folder(&self) -> Result<PathBuf, Error> {
        let current = disk::current_folder()?;
        Ok(match &self.directory {
            Some(directory) => current.join(directory),
            None => current,
        })
    }

    /// The store of the project around that folder, if it can be opened.
    fn store(&self) -> Result<Option<Arc<Store>>, Error> {
        Ok(Store::new(&disk::find_project(&self.folder()?)?).ok().map(Arc::new))
    }

    /// The project, held: nobody else changes it from before it is read until the hold is dropped.
    fn load_held(&self) -> Result<(Hold, Workspace), Error> {
        self.load_held_by(&disk::load)
    }

    fn load_held_by(&self, load: &Loader) -> Result<(Hold, Workspace), Error> {
        let root = disk::find_project(&self.folder()?)?;
        let store =
            Store::new(&root).map_err(|error| Error::invalid(format!("{}: {error}", root.display())))?;
        // Nothing is made in a project that is not whole.
        let before = (!store.meu().is_dir()).then(|| load(&root).map(Workspace::stamped)).transpose()?;
        let hold = disk::hold(&store)?;
        Ok((hold, self.ready(disk::reload(&root, before, load)?)))
    }

    /// What the last look at the whole project found, if that still stands but for some files.
    fn sealed(&self) -> Result<Option<Seal>, Error> {
        Ok(self.store()?.and_then(|store| Seal::read(&store)))
    }

    /// The same of a run that left nothing to do; nobody else changes the project until the hold is dropped.
    fn sealed_held(&self) -> Result<Option<(Hold, Seal)>, Error> {
        let Some(store) = self.store()?.filter(|store| Seal::is_there(store)) else { return Ok(None) };
        let hold = disk::hold(&store)?;
        Ok(Seal::read(&store).filter(Seal::is_settled).map(|seal| (hold, seal)))
    }

    /// What changed since that look, with all that this may reach, if that is but a part of the project.
    fn part(&self, seal: Seal) -> Result<Option<(Part, Workspace)>, Error> {
        let part = self.store()?.and_then(|store| seal.part(&store));
        if let Some((_, workspace)) = &part {
            crate::show::redact_with(&workspace.redactor);
        }
        Ok(part)
    }

    /// The project around that folder.
    fn load(&self) -> Result<Workspace, Error> {
        let workspace = self.load_by(&disk::load)?;
        workspace.shelf.tell_of_index(crate::show::indexing(&self.shell));
        Ok(workspace)
    }

    fn load_by(&self, load: &Loader) -> Result<Workspace, Error> {
        Ok(self.ready(load(&disk::find_project(&self.folder()?)?)?))
    }

    /// A project that was loaded. Its warnings are told.
    fn ready(&self, workspace: Workspace) -> Workspace {
        crate::show::redact_with(&workspace.redactor);
        self.warn(&workspace.warnings);
        workspace
    }

    fn warn(&self, warnings: &[Diagnostic]) {
        for warning in warnings.iter().filter(|warning| warning.severity == Severity::Warning) {
            self.shell.diagnostic(warning);
        }
    }
}

/// Parses the command line and does what it says.
pub fn main() -> ExitCode {
    shell::complete();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked = !error.use_stderr();
            if !asked && disk::arguments().any(|argument| argument == "--json") {
                let text = error.to_string();
                // All up to the word on usage: what is missing stands below.
                let said = text.lines().map(str::trim).take_while(|line| !line.is_empty());
                let line = said.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned();
                Shell::new(ColorChoice::Never, false, 0, true).error(&Error::invalid(line));
                return ExitCode::from(ErrorKind::Invalid.exit_code());
            }
            // The pipe may be closed; there is nobody left to tell.
            let _ = error.print();
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(ErrorKind::Invalid.exit_code()) };
        }
    };
    let common = cli.common;
    let env = Env {
        shell: Shell::new(common.color, common.quiet, common.verbose, common.json),
        directory: common.directory,
    };
    let done = match cli.command {
        Command::Init(Lazy(arguments)) => init::init(&env, arguments),
        Command::New(Lazy(arguments)) => new::new(&env, arguments),
        Command::Mv(Lazy(arguments)) => mv::mv(&env, arguments),
        Command::Check(Lazy(arguments)) => check::check(&env, arguments),
        Command::Status(Lazy(arguments)) => status::status(&env, arguments),
        Command::Run(Lazy(arguments)) => run::run(&env, arguments),
        #[cfg(feature = "watch")]
        Command::Watch(Lazy(arguments)) => watch::watch(&env, arguments),
        Command::Why(Lazy(arguments)) => why::why(&env, arguments),
        Command::Context(Lazy(command)) => context::context(&env, command),
        Command::Link(Lazy(command)) => link::link(&env, command),
        Command::Graph(Lazy(arguments)) => graph::graph(&env, arguments),
        Command::Plan(Lazy(command)) => plan::plan(&env, command),
        Command::Search(Lazy(arguments)) => search::search(&env, arguments),
        Command::Report(Lazy(arguments)) => report::make(&env, arguments),
        Command::Log(Lazy(arguments)) => log::log(&env, arguments),
        Command::Show(Lazy(arguments)) => log::show(&env, arguments),
        Command::Trace(Lazy(arguments)) => trace::trace(&env, arguments),
        Command::Gc(Lazy(arguments)) => gc::gc(&env, arguments),
        Command::Clean(Lazy(arguments)) => gc::clean(&env, arguments),
        Command::Completions(Lazy(arguments)) => shell::completions(&env, arguments),
        Command::Schema(Lazy(arguments)) => shell::schema(&env, &arguments),
        Command::Man(Lazy(arguments)) => shell::man(&env, arguments),
        Command::Index(Lazy(arguments)) => index::index(&env, arguments),
        Command::Adopt(Lazy(arguments)) => person::adopt(&env, arguments),
        Command::Restore(Lazy(arguments)) => person::restore(&env, arguments),
        Command::Approve(Lazy(arguments)) => person::approve(&env, arguments),
        Command::Reject(Lazy(arguments)) => person::reject(&env, arguments),
        Command::Diff(Lazy(arguments)) => person::diff(&env, arguments),
        Command::Cat(Lazy(arguments)) => person::cat(&env, arguments),
        Command::Trust(Lazy(arguments)) => trust::trust(&env, arguments),
        Command::Doctor(Lazy(arguments)) => doctor::doctor(&env, arguments),
    };
    match done {
        Ok(None) => ExitCode::SUCCESS,
        // What is wrong was shown as a result.
        Ok(Some(kind)) => ExitCode::from(kind.exit_code()),
        Err(error) => {
            env.shell.error(&error);
            ExitCode::from(error.kind.exit_code())
        }
    }
}

/// A length of time as people write it: `30m`, `12h`, `7d`, `2w`, and `5s`.
fn span(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    text[..text.len() - 1].parse::<u64>().ok()?.checked_mul(unit).map(Duration::from_secs)
}

/// How a command ended: done, or done with an exit code that says what was found.
type Done = Result<Option<ErrorKind>, Error>;
