//! `meu new`

use clap::Args;

use super::{Done, Env};
use crate::diag::{Diagnostic, Error, Sink, Source};
use crate::disk::{self, Store, find_project, load_config};
use crate::path::RelPath;
use crate::spec::{TASK_SCHEMA, parse_tasks, schema_line, words_of_id};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The new task's id: its path below tasks/, without .toml
    id: String,
    /// Its title
    #[arg(long)]
    title: Option<String>,
}

pub(super) fn new(env: &Env, arguments: Arguments) -> Done {
    let store =
        Store::new(&find_project(&env.folder()?)?).map_err(|error| Error::invalid(error.to_string()))?;
    let sink = Sink::default();
    let Some(config) = load_config(&store, &sink) else { return Err(Error::from(sink.into_sorted())) };
    let id = arguments.id.trim_end_matches(".toml");
    let title = arguments.title.unwrap_or_else(|| words_of_id(id));
    let mut text = task_file(&title);
    let place = format!("{}/{id}.toml", config.tasks);
    if store.root().join(TASK_SCHEMA).is_file() {
        text.insert_str(0, &schema_line(&place, TASK_SCHEMA));
    }
    let source = std::sync::Arc::new(Source { path: place, text: text.clone() });
    parse_tasks(&source, id, &sink);
    // There is no such file yet, to show a place in.
    let unplaced = |problem: Diagnostic| Diagnostic {
        place: problem.place.filter(|place| place.file != source.path),
        ..problem
    };
    let problems: Vec<Diagnostic> = sink.into_sorted().into_iter().map(unplaced).collect();
    if !problems.is_empty() {
        return Err(Error::from(problems));
    }
    let path = RelPath::parse_writable(&source.path).map_err(|problem| Error::invalid(problem.message()))?;
    store.make_meu()?;
    let _hold = disk::hold(&store)?;
    if store.full(&path).exists() {
        let mut error = Error::invalid(format!("`{path}` is there already"));
        error
            .diagnostics
            .push(Diagnostic::error(error.message.clone()).help("choose another id, or edit that file"));
        return Err(error);
    }
    if let Some(taken) = store.in_the_way(&path) {
        return Err(Error::failed(format!("`{taken}` is a file, so there is no folder for `{path}`"))
            .help("choose another id, or move that file"));
    }
    let overlay = disk::Overlay::from([(source.path.clone(), Some(text.clone()))]);
    // A project that is whole must stay so; one that is not is mended file by file.
    if let Err(error) = disk::load_over(store.root(), &overlay)
        && disk::load(store.root()).is_ok()
    {
        return Err(error);
    }
    store
        .edit(&path, None, &text)
        .map_err(|error| Error::failed(format!("`{path}` cannot be written: {error}")))?;
    if env.shell.json {
        env.shell.json(&serde_json::json!({"wrote": [path.as_str()]}));
    } else {
        env.shell.out(&format!("wrote {path}"));
    }
    Ok(None)
}

fn task_file(title: &str) -> String {
    let title = title.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        r#"title = "{title}"
prompt = """
Say what this part of the document is for, what it must hold, and how long it may be.
"""
# requires = ["other-task"]       # runs after these, and reads their outputs
# refers = ["background"]         # reads their outputs where they are there, never waits for a failure
# inputs = ["notes/**/*.md"]      # documents; "spec.md#Errors" takes one section
# output = "docs/{{name}}.md"       # instead of out/ID.md
# priority = 100                  # lower goes first
# tags = ["draft"]
# approval = true                 # a person approves the output before others use it
# run = "model"                   # or "template", "assemble", "manual", or ["program", "argument"]
"#
    )
    .replace("{name}", "report")
}
