//! `meu init`

use std::path::PathBuf;

use clap::Args;

use super::{Done, Env};
use crate::diag::Error;
use crate::disk::{self, Durability, Store, make_folder, read_optional};
use crate::path::RelPath;
use crate::spec::{CONFIG_SCHEMA, TASK_SCHEMA, config_schema, schema_line, task_schema};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where; the current folder if left out
    #[arg(value_name = "DIR")]
    place: Option<PathBuf>,
    /// Make it a git repository with a pre-commit hook, or add that to a project that is there
    #[arg(long)]
    git: bool,
}

/// What git starts before a commit, for a project in a folder of its repository.
struct Hook {
    id: String,
    entry: String,
}

impl Hook {
    fn of(folder: &str) -> Hook {
        if folder.is_empty() {
            return Hook { id: "meu".into(), entry: "meu status --check".into() };
        }
        // pre-commit takes the words apart as a shell does.
        let quoted = folder.replace('\'', r"'\''");
        Hook { id: format!("meu-{folder}"), entry: format!("meu -C '{quoted}' status --check") }
    }

    /// A file for pre-commit with this hook.
    fn file(&self) -> String {
        let (id, entry) = (scalar(&self.id), scalar(&self.entry));
        format!(
            "# `pre-commit install` turns it on (https://pre-commit.com).
repos:
  - repo: local
    hooks:
      - id: {id}
        name: meu status --check
        entry: {entry}
        language: system
        pass_filenames: false
        always_run: true
"
        )
    }

    /// Whether it is among hooks that are written.
    fn is_in(&self, text: &str) -> bool {
        let hooks: serde_yaml::Value = serde_yaml::from_str(text).unwrap_or_default();
        let repositories = hooks.get("repos").and_then(|repos| repos.as_sequence()).into_iter().flatten();
        let mut all = repositories.filter_map(|repository| repository.get("hooks")?.as_sequence()).flatten();
        let word = |hook: &serde_yaml::Value, key: &str| Some(hook.get(key)?.as_str()?.to_owned());
        all.any(|hook| {
            let entry = word(hook, "entry").unwrap_or_default();
            // A person may start it in another way; the id `meu` was once given to hooks of folders, too.
            let own = word(hook, "id").is_some_and(|id| id == self.id);
            entry == self.entry || own && (self.id != "meu" || !entry.contains(" -C "))
        })
    }
}

/// A word in YAML: as it is where that is plain, else as JSON, which YAML takes.
fn scalar(word: &str) -> String {
    let plain = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, ' ' | '-' | '_' | '.' | '/' | '\'')
            || !c.is_ascii() && c.is_alphanumeric()
    };
    if word.chars().all(plain) { word.to_owned() } else { serde_json::json!(word).to_string() }
}

const FILES: [(&str, &str); 5] = [
    (
        "tasks/root.toml",
        r#"# The root task runs first; its output is INDEX.md, which every other task reads.
title = "About this plan"
root = true
prompt = """
Say in a few sentences what this plan is for and who reads it: {{ vars.audience }}.
Name the terms and conventions that all parts follow.
"""
"#,
    ),
    (
        "tasks/overview.toml",
        r#"title = "Overview"
inputs = ["notes/*.md"]
prompt = """
Write an overview of the subject for {{ vars.audience }}, out of the notes.
Begin with what matters most.
"""
"#,
    ),
    (
        "tasks/next-steps.toml",
        r#"title = "Next steps"
requires = ["overview"]           # runs after it, and reads its output
prompt = """
List the next steps that follow from the overview, each with the reason.
"""
"#,
    ),
    (
        "notes/start.md",
        "# Start\n\nWrite your notes in this folder, one subject a file. A task reads them through its `inputs`.\n\n\
         ## How a plan grows\n\nBegin with few tasks and long prompts. Split a task when one part of its output changes \
         often and the rest does not: only the part whose request changed is made again.\n",
    ),
    // It makes the folder a project, and comes last: what failed midway can be done again.
    (
        "meu.toml",
        r#"# The project. Every key is explained in docs/files.md of meu.
[project]
name = "NAME"

[vars]
audience = "new colleagues"       # {{ vars.audience }} in prompts

[model]
provider = "offline"              # the built-in drafter: no key, no network
# provider = "openai"             # needs OPENAI_API_KEY
# name = "gpt-4o-mini"

[context]
budget = 8000                     # tokens of everything that a task reads
item_max = 2000                   # a longer item is shortened to what its prompt asks about
"#,
    ),
];

pub(super) fn init(env: &Env, arguments: Arguments) -> Done {
    let folder = match arguments.place {
        Some(place) => env.folder()?.join(place),
        None => env.folder()?,
    };
    make_folder(&folder)?;
    let store =
        Store::new(&folder).map_err(|error| Error::invalid(format!("{}: {error}", folder.display())))?;
    let path = |name: &str| RelPath::parse(name).map_err(|problem| Error::invalid(problem.message()));
    let there = store.full(&path("meu.toml")?).exists();
    if there && !arguments.git {
        return Err(Error::invalid(format!("there is a project in {} already", folder.display()))
            .help("`meu status` shows it; `meu new ID` adds a task; `meu init --git` adds what git needs"));
    }
    let name = store
        .root()
        .file_name()
        .map(|name| name.to_string_lossy().replace(|c: char| c.is_control() || c == '"' || c == '\\', ""))
        .unwrap_or_default();
    let (mut wrote, mut complete) = (Vec::new(), true);
    let mut write = |name: &str, text: &str| -> Result<(), Error> {
        let path = path(name)?;
        store
            .write(&path, text, Durability::Grouped)
            .map_err(|error| Error::failed(format!("`{name}` cannot be written: {error}")))?;
        wrote.push(name.to_owned());
        Ok(())
    };
    for (file, lines) in [(".gitignore", &[".meu/"][..]), (".gitattributes", &["meu.lock merge=union"][..])] {
        let text = read_optional(&store.full(&path(file)?))
            .map_err(|error| Error::failed(format!("`{file}`: {error}")))?;
        let text = text.unwrap_or_default();
        let missing: Vec<&str> =
            lines.iter().copied().filter(|line| !text.lines().any(|known| known.trim() == *line)).collect();
        if !missing.is_empty() {
            let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            write(file, &format!("{text}{gap}{}\n", missing.join("\n")))?;
        }
    }
    if !there {
        for (file, schema) in [(TASK_SCHEMA, task_schema()), (CONFIG_SCHEMA, config_schema())] {
            let text =
                serde_json::to_string_pretty(&schema).map_err(|error| Error::failed(error.to_string()))?;
            if !store.full(&path(file)?).exists() {
                write(file, &format!("{text}\n"))?;
            }
        }
        for (file, text) in FILES {
            let line = match file {
                "meu.toml" => schema_line(file, CONFIG_SCHEMA),
                _ if file.ends_with(".toml") => schema_line(file, TASK_SCHEMA),
                _ => String::new(),
            };
            if !store.full(&path(file)?).exists() {
                write(file, &format!("{line}{}", text.replace("NAME", &name)))?;
            }
        }
    }
    if arguments.git {
        let top = disk::make_repository(&store)?;
        let folder = store.root().strip_prefix(&top).unwrap_or(std::path::Path::new(""));
        let hook = Hook::of(&folder.to_string_lossy().replace('\\', "/"));
        let text = hook.file();
        // pre-commit reads it at the repository's top alone.
        let file = top.join(".pre-commit-config.yaml");
        let known =
            read_optional(&file).map_err(|error| Error::failed(format!("{}: {error}", file.display())))?;
        match known {
            None => {
                disk::append(&file, &text)?;
                wrote.push(file.strip_prefix(store.root()).unwrap_or(&file).to_string_lossy().into_owned());
            }
            Some(known) if hook.is_in(&known) => {}
            Some(_) => {
                complete = false;
                env.shell.note(&format!("{} is there; the hook to add to it:\n{text}", file.display()));
            }
        }
    }
    if env.shell.json {
        env.shell.json(&serde_json::json!({"wrote": wrote}));
    } else if !env.shell.quiet {
        for name in &wrote {
            env.shell.out(&format!("wrote {name}"));
        }
        if !there {
            env.shell.out("next: `meu run` builds it, `meu status` shows it");
        } else if wrote.is_empty() && complete {
            env.shell.out("git has all that it needs");
        }
    }
    Ok(None)
}
