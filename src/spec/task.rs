//! Task files: one task a file, or several as `[tasks.NAME]` tables.

use std::sync::Arc;

use super::config::is_private;
use super::keys::{Keys, parse_table};
use super::{At, Expect, ItemRef, ModelPatch, PolicyPatch, Vars};
use crate::diag::{Diagnostic, Sink, Source};
use crate::path::{RelPath, is_new_name, is_reserved, nfc};

/// What makes a task's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runner {
    /// A provider is asked.
    Model,
    /// The rendered prompt is the output.
    Template,
    /// The outputs of what is required, joined.
    Assemble,
    /// A person writes it.
    Manual,
    /// A program and its arguments.
    Program(Vec<String>),
}

impl Runner {
    /// The runner as it is written; `program` for a list.
    pub fn word(&self) -> &'static str {
        match self {
            Runner::Model => "model",
            Runner::Template => "template",
            Runner::Assemble => "assemble",
            Runner::Manual => "manual",
            Runner::Program(_) => "program",
        }
    }
}

/// One task as it is written.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its id and where the task begins.
    pub id: At<String>,
    /// The title, or one made of the id.
    pub title: String,
    /// The prompt, unrendered.
    pub prompt: Option<At<String>>,
    /// Links that order and block.
    pub requires: Vec<At<String>>,
    /// Links that order where they can.
    pub refers: Vec<At<String>>,
    /// Links that are only drawn and listed.
    pub relates_to: Vec<At<String>>,
    /// The task whose output stands for this one's.
    pub duplicates: Option<At<String>>,
    /// Documents, as paths or globs, with an optional section.
    pub inputs: Vec<At<String>>,
    /// The output's place, if the task names it.
    pub output: Option<At<RelPath>>,
    /// Lower goes first.
    pub priority: i64,
    /// Free words to select by.
    pub tags: Vec<String>,
    /// Whether a person approves the output before dependants run.
    pub approval: bool,
    /// What makes the output.
    pub run: Runner,
    /// What a person asked to be changed, oldest first.
    pub revisions: Vec<String>,
    /// Whether it is the root task.
    pub root: bool,
    /// What its output must be.
    pub expect: Option<Expect>,
    /// Overrides of the model.
    pub model: ModelPatch,
    /// Overrides of the project's vars.
    pub vars: Vars,
    /// Overrides of the policy.
    pub policy: PolicyPatch,
    /// Items that are always in.
    pub pin: Vec<At<ItemRef>>,
    /// Items that are never in.
    pub exclude: Vec<At<ItemRef>>,
    /// Items of the manual tier.
    pub manual: Vec<At<ItemRef>>,
    /// An approved context: exactly these items.
    pub items: Option<Vec<At<ItemRef>>>,
}

/// Reads one task file whose path without `.toml`, from the tasks' folder, is `stem`.
pub fn parse_tasks(source: &Arc<Source>, stem: &str, sink: &Sink) -> Vec<Task> {
    let own_sink = Sink::default();
    let table = parse_table(source, &own_sink);
    let broken = own_sink.into_sorted();
    if !broken.is_empty() {
        // What else looks wrong in such a file most likely is not.
        broken.into_iter().for_each(|problem| sink.push(problem));
        return Vec::new();
    }
    let mut keys = Keys::new(source, table.get_ref(), 0..0, "", sink);
    let own = At { value: nfc(stem), source: source.clone(), span: 0..0 };
    let only_tables = keys.has_only(&["tasks"]);
    let mut tasks = Vec::new();
    for (name, inner) in keys.tables("tasks") {
        let id = At { value: format!("{}/{}", own.value, nfc(&name.value)), ..name };
        tasks.extend(read_task(id, inner));
    }
    if only_tables && !tasks.is_empty() {
        keys.finish();
    } else {
        tasks.extend(read_task(own, keys));
    }
    tasks
}

/// Reads one task out of its table.
pub(super) fn read_task(id: At<String>, mut keys: Keys<'_>) -> Option<Task> {
    let sink = keys.sink();
    let id_ok = check_id(&id, sink);
    let run = read_runner(&mut keys);
    let root = keys.bool("root").unwrap_or(false);
    let mut task = Task {
        title: keys
            .string("title")
            .map(|at| at.value)
            .filter(|title| !title.trim().is_empty())
            .unwrap_or_else(|| words_of_id(&id.value)),
        prompt: keys.string("prompt"),
        requires: keys.strings("requires").unwrap_or_default(),
        refers: keys.strings("refers").unwrap_or_default(),
        relates_to: keys.strings("relates_to").unwrap_or_default(),
        duplicates: keys.string("duplicates"),
        inputs: keys.strings("inputs").unwrap_or_default(),
        output: keys.string("output").and_then(|text| read_output(text, sink)),
        priority: keys.integer("priority", -1_000_000_000..=1_000_000_000).map_or(100, |at| at.value),
        tags: keys
            .strings("tags")
            .map(|texts| texts.into_iter().map(|at| at.value).collect())
            .unwrap_or_default(),
        approval: keys.bool("approval").unwrap_or(false),
        expect: keys.table("expect").and_then(|table| Expect::read(table, &run)),
        run,
        revisions: keys
            .strings("revisions")
            .map(|texts| texts.into_iter().map(|at| at.value).collect())
            .unwrap_or_default(),
        root,
        model: keys.table("model").map(ModelPatch::read).unwrap_or_default(),
        vars: keys.vars("vars"),
        policy: PolicyPatch::default(),
        pin: Vec::new(),
        exclude: Vec::new(),
        manual: Vec::new(),
        items: None,
        id,
    };
    if let Some(mut context) = keys.table("context") {
        task.policy = PolicyPatch::read(&mut context);
        task.pin = read_items(&mut context, "pin").unwrap_or_default();
        task.exclude = read_items(&mut context, "exclude").unwrap_or_default();
        task.manual = read_items(&mut context, "manual").unwrap_or_default();
        task.items = read_items(&mut context, "items");
        context.finish();
    }
    keys.finish();
    check_sense(&task, sink);
    id_ok.then_some(task)
}

/// What the keys of one task say together.
fn check_sense(task: &Task, sink: &Sink) {
    let needs_prompt = matches!(task.run, Runner::Model | Runner::Template) && task.duplicates.is_none();
    let blank = task.prompt.as_ref().is_none_or(|prompt| prompt.value.trim().is_empty());
    if needs_prompt && blank {
        let (place, message) = match &task.prompt {
            Some(prompt) => (prompt.place(), "the prompt is empty".to_owned()),
            None => (task.id.place(), format!("the task `{}` has no prompt", task.id.value)),
        };
        sink.push(
            Diagnostic::error(message)
                .at(place)
                .help("add `prompt = \"\"\"…\"\"\"`, or say `run = \"assemble\"` or `run = \"manual\"`"),
        );
    }
    if task.root {
        for (links, key) in [(&task.requires, "requires"), (&task.refers, "refers")] {
            if let Some(link) = links.first() {
                sink.push(
                    Diagnostic::error(format!("the root task has no `{key}`: everything else requires it"))
                        .at(link.place())
                        .help("remove the link, or give the task another place than root"),
                );
            }
        }
        if let Some(output) = &task.output {
            sink.push(
                Diagnostic::error("the root task's output is the index document")
                    .at(output.place())
                    .help("set `index` in the `[project]` table of meu.toml to move it"),
            );
        }
        if let Some(duplicates) = &task.duplicates {
            sink.push(Diagnostic::error("the root task cannot be a duplicate").at(duplicates.place()));
        }
    }
}

fn read_runner(keys: &mut Keys<'_>) -> Runner {
    match keys.string_or_strings("run") {
        None => Runner::Model,
        Some(Ok(text)) => {
            let words = [Runner::Model, Runner::Template, Runner::Assemble, Runner::Manual];
            let words = words.map(|runner| (runner.word(), runner));
            keys.choose(&text, &words).unwrap_or(Runner::Model)
        }
        Some(Err(argv)) if argv.value.first().is_none_or(|program| program.is_empty()) => {
            keys.sink().push(
                Diagnostic::error("`run` names no program")
                    .at(argv.place())
                    .help("write `run = [\"program\", \"argument\"]`"),
            );
            Runner::Model
        }
        Some(Err(argv)) => Runner::Program(argv.value),
    }
}

fn read_items(keys: &mut Keys<'_>, key: &'static str) -> Option<Vec<At<ItemRef>>> {
    let texts = keys.strings(key)?;
    let mut items = Vec::new();
    for text in texts {
        match ItemRef::parse(&text.value) {
            Ok(value) => items.push(At { value, source: text.source, span: text.span }),
            Err(message) => keys.sink().push(
                Diagnostic::error(message)
                    .at(text.place())
                    .help(format!("for a task write `task:{0}`, for a document `doc:{0}`", text.value)),
            ),
        }
    }
    Some(items)
}

fn read_output(text: At<String>, sink: &Sink) -> Option<At<RelPath>> {
    let problem = match RelPath::parse_writable(&text.value) {
        Err(problem) => problem.message().to_owned(),
        Ok(path) if is_private(&path) => "an output may not lie in `.git` or `.meu`".to_owned(),
        Ok(path) if path.is_new_answer() => {
            "an output may not be named `*.new.*`: that is where answers go that could not be merged"
                .to_owned()
        }
        Ok(value) => {
            return Some(At { value, source: text.source, span: text.span });
        }
    };
    sink.push(
        Diagnostic::error(problem)
            .at(text.place())
            .help("choose a path inside the project, for instance `out/report.md`"),
    );
    None
}

fn check_id(id: &At<String>, sink: &Sink) -> bool {
    let bad = id.value.split('/').find_map(|part| {
        if part.is_empty() {
            Some("an empty part".to_owned())
        } else if part.starts_with(['.', '-', '+']) {
            Some(format!("`{part}`, which begins with `{}`", &part[..1]))
        } else if is_reserved(part) {
            Some(format!("`{part}`, which Windows does not store as a file"))
        } else {
            part.chars()
                .find(|c| c.is_control() || c.is_whitespace() || "#*?[]{},:\\\"'<>|`".contains(*c))
                .map(|c| format!("`{part}`, which holds {c:?}"))
        }
    });
    let new = id.value.rsplit('/').next().is_some_and(is_new_name);
    let bad = bad.or_else(|| new.then(|| "a name like `*.new`".to_owned()));
    if let Some(bad) = &bad {
        sink.push(
            Diagnostic::error(format!("the id `{}` has {bad}", id.value.escape_debug()))
                .at(id.place())
                .help("ids are paths of letters, digits, `-`, `_` and `.`"),
        );
    }
    bad.is_none()
}

/// The last part of an id, spelled out: `research/prior-work` gives `Prior work`.
pub fn words_of_id(id: &str) -> String {
    let name = id.rsplit('/').next().unwrap_or(id).replace(['-', '_'], " ");
    let mut chars = name.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Vec<Task>, Vec<String>) {
        let source = Arc::new(Source { path: "tasks/a.toml".into(), text: text.into() });
        let sink = Sink::default();
        let tasks = parse_tasks(&source, "a", &sink);
        let messages = sink.into_sorted().into_iter().map(|d| d.message).collect();
        (tasks, messages)
    }

    #[test]
    fn a_file_can_hold_a_big_task_and_its_parts() {
        let (tasks, messages) =
            parse("prompt = \"x\"\n[tasks.one]\nprompt = \"y\"\n[tasks.two]\nprompt = \"z\"\n");
        assert_eq!(messages, [""; 0]);
        let mut ids: Vec<&str> = tasks.iter().map(|task| task.id.value.as_str()).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["a", "a/one", "a/two"]);
    }

    #[test]
    fn a_file_of_tables_alone_is_no_task_itself() {
        let (tasks, messages) = parse("[tasks.one]\nprompt = \"y\"\n");
        assert_eq!(messages, [""; 0]);
        assert_eq!(tasks.len(), 1);
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let (_, messages) = parse("promt = \"x\"\npriority = \"high\"\nrun = \"modle\"\n");
        assert_eq!(
            messages,
            [
                "the task `a` has no prompt",
                "unknown key `promt`",
                "`priority` must be a whole number, not a text",
                "`modle` is not one of model, template, assemble, manual",
            ]
        );
    }

    #[test]
    fn titles_are_spelled_out_from_ids() {
        assert_eq!(words_of_id("research/prior-work"), "Prior work");
        assert_eq!(words_of_id("élan_vital"), "Élan vital");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_task_file_panic(text in "\\PC{0,200}") {
            parse(&text);
        }

        #[test]
        fn no_toml_like_text_makes_a_task_file_panic(
            parts in proptest::collection::vec(
                proptest::sample::select(vec![
                    "prompt", "run", "requires", "[tasks.", "[context]", "=", "\"", "\"\"\"", "[", "]", "\n", "{", "}",
                    "x", "1", "1.5", "-", "pin", ".", "é", ",", "#", "'", "inputs", "true", "1979-05-27", "\\u00", "[[",
                ]),
                0..40,
            )
        ) {
            parse(&parts.concat());
        }
    }
}
