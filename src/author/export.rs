//! The plan that a project has, for other tools: as the list that an import reads, or as Markdown for people.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::files::OPENINGS;
use crate::graph::{Dep, Graph, Ix, outline};
use crate::spec::{LinkKind, Runner};

/// What an export asks of the world.
pub struct Told<'a> {
    /// The text of a task's output, if it is there.
    pub text: &'a dyn Fn(Ix) -> Option<String>,
    /// Whether a task is up to date.
    pub fresh: &'a dyn Fn(Ix) -> bool,
}

/// A task, or a folder without one, and what is in it.
struct Branch {
    id: String,
    task: Option<Ix>,
    title: String,
    branches: Vec<Branch>,
}

/// The plan as a tree; only these tasks, and the big tasks that they are in.
fn tree(graph: &Graph, chosen: &[Ix]) -> Vec<Branch> {
    let mut open: Vec<Branch> =
        vec![Branch { id: String::new(), task: None, title: String::new(), branches: Vec::new() }];
    let close = |open: &mut Vec<Branch>| {
        if let Some(branch) = open.pop()
            && let Some(above) = open.last_mut()
            && (!branch.branches.is_empty() || branch.task.is_some_and(|ix| chosen.contains(&ix)))
        {
            above.branches.push(branch);
        }
    };
    for entry in outline(graph) {
        while open.len() > entry.depth + 1 {
            close(&mut open);
        }
        open.push(Branch { id: entry.id, task: entry.task, title: entry.title, branches: Vec::new() });
    }
    while open.len() > 1 {
        close(&mut open);
    }
    open.pop().map(|top| top.branches).unwrap_or_default()
}

fn links(graph: &Graph, ix: Ix, kind: LinkKind) -> Vec<String> {
    let node = graph.node(ix);
    let deps = if kind == LinkKind::Requires { &node.requires } else { &node.refers };
    let mut names: Vec<String> = deps.iter().map(|dep| dep.name(graph)).collect();
    names.dedup();
    names
}

fn title_and_intro(graph: &Graph) -> (String, String) {
    match graph.root().map(|root| &graph.node(root).task) {
        Some(root) => {
            let prompt = root.prompt.as_ref().map_or("", |prompt| prompt.value.trim());
            // An import writes the title above it.
            let own = prompt.strip_prefix(&format!("# {}\n", root.title)).unwrap_or(prompt);
            let own = if own == format!("# {}", root.title) { "" } else { own };
            (root.title.clone(), own.trim().to_owned())
        }
        None => (crate::spec::words_of_id(&graph.config.name), String::new()),
    }
}

/// The plan as a list of tasks, each with its own.
pub fn as_list(graph: &Graph, chosen: &[Ix], told: &Told<'_>) -> Value {
    let (title, intro) = title_and_intro(graph);
    let tasks: Vec<Value> = tree(graph, chosen).iter().map(|branch| entry(graph, branch, told)).collect();
    let root = graph.root().map(|root| &graph.node(root).task).filter(|root| root.run == Runner::Model);
    match root.and_then(|root| root.prompt.as_ref()) {
        Some(prompt) => {
            json!({"title": title, "root": {"prompt": plain(prompt.value.trim_end())}, "tasks": tasks})
        }
        None => json!({"title": title, "intro": intro, "tasks": tasks}),
    }
}

/// A title as Markdown that shows it as it is.
pub(super) fn escaped(title: &str) -> String {
    title.chars().flat_map(|c| "\\*_<[]`&#".contains(c).then_some('\\').into_iter().chain([c])).collect()
}

/// A link as it stands in a list of links: without a section whose name would end it.
fn listed(name: &str) -> &str {
    if name.contains([',', ';', '(', ')', '`']) { crate::spec::split_heading(name).0 } else { name }
}

/// Whether a line of a text's first paragraph would make those above it a heading.
fn has_rule(text: &str) -> bool {
    let all = |line: &str, mark: u8| !line.is_empty() && line.bytes().all(|byte| byte == mark);
    let first = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    first.into_iter().any(|line| all(line, b'=') || all(line, b'-'))
}

/// A prompt as an import reads it, which takes none for a template.
fn plain(prompt: &str) -> String {
    OPENINGS.iter().fold(prompt.to_owned(), |text, open| text.replace(&format!("{{{{ '{open}' }}}}"), open))
}

/// Whether a prompt is a template, which an import would take for plain text.
fn is_template(prompt: &str) -> bool {
    let without = OPENINGS
        .iter()
        .fold(prompt.to_owned(), |text, open| text.replace(&format!("{{{{ '{open}' }}}}"), ""));
    OPENINGS.iter().any(|open| without.contains(open))
}

/// What an export leaves out, a line for each key.
pub fn not_exported(graph: &Graph, chosen: &[Ix], markdown: bool) -> Vec<String> {
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    let folders: BTreeSet<&str> =
        chosen.iter().filter_map(|ix| Some(graph.node(*ix).id().rsplit_once('/')?.0)).collect();
    for (ix, node) in chosen.iter().map(|ix| (*ix, graph.node(*ix))) {
        let (task, is_big) = (&node.task, folders.contains(node.id()));
        let is_part = |dep: &Dep| graph.node(dep.task).id().starts_with(&format!("{}/", node.id()));
        let has = [
            // An import makes every big task the assembly of its parts.
            ("run of what has parts", is_big && task.run != Runner::Assemble),
            ("requires beside its parts", is_big && !node.requires.iter().all(is_part)),
            (
                "section in requires",
                markdown && links(graph, ix, LinkKind::Requires).iter().any(|name| listed(name) != name),
            ),
            ("run of the root", markdown && task.root && task.run == Runner::Model),
            ("approval", task.approval),
            ("output", task.output.is_some()),
            ("relates_to", !task.relates_to.is_empty()),
            ("duplicates", task.duplicates.is_some()),
            ("expect", task.expect.is_some()),
            ("revisions", !task.revisions.is_empty()),
            ("run = […]", matches!(task.run, Runner::Program(_))),
            ("a template as prompt", task.prompt.as_ref().is_some_and(|prompt| is_template(&prompt.value))),
            ("refers", markdown && !task.refers.is_empty()),
            ("inputs", markdown && !task.inputs.is_empty()),
            ("priority", markdown && task.priority != 100),
            ("tags", markdown && !task.tags.is_empty()),
            ("run = \"manual\"", markdown && task.run == Runner::Manual),
            ("run = \"template\"", markdown && task.run == Runner::Template && !task.root),
        ];
        has.iter().filter(|(_, has)| *has).for_each(|(key, _)| *found.entry(key).or_default() += 1);
    }
    let tasks = |n: usize| if n == 1 { "1 task".to_owned() } else { format!("{n} tasks") };
    found.into_iter().map(|(key, n)| format!("not exported: `{key}` of {}", tasks(n))).collect()
}

fn entry(graph: &Graph, branch: &Branch, told: &Told<'_>) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| {
        let is_empty = value.as_array().is_some_and(Vec::is_empty);
        if !is_empty && !value.is_null() {
            object.insert(key.to_owned(), value);
        }
    };
    put("id", json!(branch.id));
    if let Some(ix) = branch.task {
        let task = &graph.node(ix).task;
        put("title", json!(task.title));
        put("prompt", json!(task.prompt.as_ref().map(|prompt| plain(prompt.value.trim_end()))));
        if branch.branches.is_empty() {
            put("requires", json!(links(graph, ix, LinkKind::Requires)));
        }
        put("refers", json!(links(graph, ix, LinkKind::Refers)));
        put("inputs", json!(task.inputs.iter().map(|input| &input.value).collect::<Vec<_>>()));
        put("priority", json!((task.priority != 100).then_some(task.priority)));
        put("tags", json!(task.tags));
        match task.run {
            Runner::Manual => {
                put("run", json!(task.run.word()));
                put("text", json!((told.text)(ix)));
            }
            Runner::Template => put("run", json!(task.run.word())),
            _ => {}
        }
    } else {
        put("title", json!(branch.title));
    }
    put("tasks", branch.branches.iter().map(|branch| entry(graph, branch, told)).collect());
    Value::Object(object)
}

/// The plan as Markdown: big tasks as headings, the others as items with a box, ticked where the output is up to
/// date. Each has its id in a comment, by which an import knows it again.
pub fn as_markdown(graph: &Graph, chosen: &[Ix], told: &Told<'_>) -> String {
    let (title, intro) = title_and_intro(graph);
    let mut text = format!("# {title}\n");
    if !intro.is_empty() {
        // A heading of its own would be one of the plan's.
        let lines: Vec<&str> = intro.lines().filter(|line| !line.starts_with('#')).collect();
        let intro = lines.join("\n").trim().to_owned();
        text.push_str(&if intro.is_empty() { intro } else { format!("\n{intro}\n") });
    }
    write(graph, &tree(graph, chosen), 2, told, &mut text);
    text
}

fn write(graph: &Graph, branches: &[Branch], level: usize, told: &Told<'_>, text: &mut String) {
    let (leaves, big): (Vec<&Branch>, Vec<&Branch>) =
        branches.iter().partition(|branch| branch.branches.is_empty());
    let mut first = true;
    for ix in leaves.iter().filter_map(|leaf| leaf.task) {
        let task = &graph.node(ix).task;
        if std::mem::take(&mut first) {
            text.push('\n');
        }
        let ticked = if (told.fresh)(ix) { "x" } else { " " };
        let requires = links(graph, ix, LinkKind::Requires);
        let names: Vec<&str> = requires.iter().map(|name| listed(name)).collect();
        let after =
            if names.is_empty() { String::new() } else { format!(" (requires: {})", names.join(", ")) };
        let prompt = task.prompt.as_ref().map_or(String::new(), |prompt| plain(prompt.value.trim()));
        let (first, rest) = match prompt.split_once('\n') {
            _ if has_rule(&prompt) => ("", prompt.as_str()),
            Some((first, rest)) => (first, rest),
            None => (prompt.as_str(), ""),
        };
        let said = match first {
            "" if !rest.is_empty() => ":\n".to_owned(),
            first if first.is_empty() || first == task.title => String::new(),
            first => format!(": {first}"),
        };
        let id = &task.id.value;
        // The mark before all that could take it in.
        let title = escaped(&task.title);
        text.push_str(&format!("- [{ticked}] **{title}** <!-- meu: {id} -->{after}{said}\n"));
        for line in rest.lines() {
            text.push_str(&if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") });
        }
    }
    for branch in big {
        let (title, id) = (escaped(&branch.title), &branch.id);
        text.push_str(&format!("\n{} {title} <!-- meu: {id} -->\n", "#".repeat(level.min(6))));
        let prompt = branch.task.and_then(|ix| graph.node(ix).task.prompt.as_ref());
        let prompt = prompt.map(|prompt| plain(prompt.value.trim()));
        if let Some(prompt) = prompt.filter(|prompt| *prompt != branch.title && !prompt.is_empty()) {
            // As a quotation: its own headings and lists are none of the plan's.
            let quoted = prompt.lines().map(|line| format!("> {line}").trim_end().to_owned());
            text.push_str(&format!("\n{}\n", quoted.collect::<Vec<_>>().join("\n")));
        }
        write(graph, &branch.branches, level + 1, told, text);
    }
}
