//! `meu completions`, `meu man` and `meu schema`: what shells, readers of manuals and editors want.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};

use super::{Cli, Done, Env};
use crate::diag::Error;
use crate::disk;
use crate::spec::{config_schema, task_schema};

/// The variable by which a completion script asks this program.
const ASKED_BY: &str = "MEU_COMPLETE";

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meu completions bash > ~/.local/share/bash-completion/completions/meu
  meu completions zsh > ~/.zfunc/_meu
  meu completions fish > ~/.config/fish/completions/meu.fish")]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: ShellName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ShellName {
    Bash,
    Zsh,
    Fish,
    Powershell,
    Elvish,
}

/// Answers a completion script, if one asks; then the process ends.
pub(super) fn complete() {
    CompleteEnv::with_factory(Cli::command).var(ASKED_BY).complete();
}

pub(super) fn completions(env: &Env, arguments: Completions) -> Done {
    let name = match arguments.shell {
        ShellName::Bash => "bash",
        ShellName::Zsh => "zsh",
        ShellName::Fish => "fish",
        ShellName::Powershell => "powershell",
        ShellName::Elvish => "elvish",
    };
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let shell = shells.completer(name).ok_or_else(|| Error::invalid(format!("no completions for {name}")))?;
    shell
        .write_registration(ASKED_BY, "meu", "meu", "meu", &mut script)
        .map_err(|error| Error::failed(format!("the script cannot be written: {error}")))?;
    env.shell.raw(&String::from_utf8_lossy(&script));
    Ok(None)
}

/// The ids of the project around the current folder, for completion. A project that is not whole has
/// those that can be read from file names.
pub(super) fn task_ids() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &std::ffi::OsStr| {
        let current = current.to_string_lossy();
        // Signs of selectors before the id stay.
        let (signs, begun) = match current.strip_prefix('+') {
            Some(rest) => ("+", rest),
            None => ("", &*current),
        };
        let ids = begun_in().and_then(|folder| disk::task_ids(&folder)).unwrap_or_default();
        let words = ["tag:", "plan:", "state:", "path:", "changed:"].map(str::to_owned);
        ids.into_iter()
            .chain(words)
            .filter(|id| id.starts_with(begun))
            .map(|id| CompletionCandidate::new(format!("{signs}{id}")))
            .collect()
    })
}

/// The folder that the command begun on the line works in.
fn begun_in() -> Result<std::path::PathBuf, Error> {
    let line = disk::arguments().skip_while(|word| word != "--").skip(1);
    let begun = Cli::command().ignore_errors(true).try_get_matches_from(line).ok();
    let named = begun.and_then(|matches| matches.get_one::<std::path::PathBuf>("directory").cloned());
    Ok(disk::current_folder()?.join(named.unwrap_or_default()))
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meu man | man -l -
  meu man run > meu-run.1")]
pub(super) struct Man {
    /// A command
    command: Option<String>,
}

pub(super) fn man(env: &Env, arguments: Man) -> Done {
    let mut command = Cli::command();
    command.build();
    if let Some(name) = &arguments.command {
        let known: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        let found = command.find_subcommand(name).cloned().ok_or_else(|| {
            let error = Error::invalid(format!("no command `{name}`"));
            let near = crate::diag::did_you_mean(name, known.iter().map(String::as_str));
            error.help(near.unwrap_or_else(|| "`meu help` lists them".into()))
        })?;
        command = found;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error| Error::failed(format!("the page cannot be written: {error}")))?;
    env.shell.raw(&String::from_utf8_lossy(&page));
    Ok(None)
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meu schema > task.schema.json
  meu schema project > meu.schema.json")]
pub(super) struct Schema {
    /// Of which files
    #[arg(value_enum, default_value = "task")]
    of: SchemaOf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SchemaOf {
    /// Task files
    Task,
    /// meu.toml
    Project,
}

pub(super) fn schema(env: &Env, arguments: &Schema) -> Done {
    let schema = match arguments.of {
        SchemaOf::Task => task_schema(),
        SchemaOf::Project => config_schema(),
    };
    let text = serde_json::to_string_pretty(&schema)
        .map_err(|error| Error::failed(format!("the schema cannot be written: {error}")))?;
    env.shell.own(&text);
    Ok(None)
}
