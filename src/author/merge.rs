//! A proposal over what is there: key by key, a merge of what was proposed before, what the file says now and
//! what is proposed now. What a person wrote stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml_edit::Value;

use crate::diag::{Diagnostic, Error, Sink, Source};
use crate::graph::Graph;
use crate::path::to_top;
use crate::spec::TaskText;

/// The keys that a proposal may hold; what else a task file has is a person's.
pub const KEYS: [&str; 12] = [
    "title",
    "prompt",
    "requires",
    "refers",
    "relates_to",
    "inputs",
    "priority",
    "tags",
    "run",
    "root",
    "approval",
    "output",
];

/// What a merge works on: task texts by id.
#[derive(Clone, Copy, Debug)]
pub struct Merging<'a> {
    /// The project as it stands.
    pub graph: &'a Graph,
    /// What is proposed.
    pub proposed: &'a BTreeMap<String, String>,
    /// What was proposed the last time and landed, or what the proposal was made from.
    pub base: &'a BTreeMap<String, String>,
}

/// What becomes of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The task.
    pub id: String,
    /// Its file, from the project's folder.
    pub file: String,
    /// What the file holds; none if it is not there.
    pub old: Option<String>,
    /// What it will hold; none if it goes.
    pub new: Option<String>,
    /// What a person's edit decided against the proposal, a line each.
    pub notes: Vec<String>,
}

/// Finds what a proposal may not hold: keys that only a person writes, and programs. Tells whether there is none.
pub fn check_keys(source: &Arc<Source>, sink: &Sink) -> bool {
    // What is no TOML is told by whoever reads the task.
    let Ok(document) = toml_edit::Document::parse(source.text.as_str()) else { return true };
    let mut fits = true;
    for (key, item) in document.iter() {
        let span = document.get_key_value(key).and_then(|(key, _)| key.span()).unwrap_or_default();
        let message = match key {
            key if !KEYS.contains(&key) => format!("a proposal may not hold `{key}`"),
            "run" if item.is_array() => "a proposal may not run a program".to_owned(),
            _ => continue,
        };
        fits = false;
        let help = "take it out; write it into the task once it landed";
        sink.push(Diagnostic::error(message).at(source.place(span)).help(help));
    }
    fits
}

/// What becomes of each task that is proposed, or was proposed before and is no more.
pub fn patch(merging: Merging<'_>) -> Result<Vec<Change>, Error> {
    let Merging { graph, proposed, base } = merging;
    let tasks = graph.config.tasks.as_str();
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut changes: Vec<Change> = Vec::new();
    // What a person took out since stays out, and nothing waits for it.
    let gone: Vec<&String> =
        proposed.keys().filter(|id| base.contains_key(*id) && graph.find(id).is_none()).collect();
    let (mut proposed, mut unlinked) = without_links(proposed, &gone)?;
    let dropped = base.keys().filter(|id| !merging.proposed.contains_key(*id));
    let dropped: Vec<&String> = dropped.collect();
    let stays = stays(merging, &dropped)?;
    joined_still(&mut proposed, base, &stays)?;
    for id in proposed.keys().chain(dropped) {
        let (new, old) = (proposed.get(id), base.get(id));
        let Some(ix) = graph.find(id) else {
            let file = format!("{tasks}/{id}.toml");
            match (new, old) {
                (Some(new), None) => {
                    changes.push(Change {
                        id: id.clone(),
                        file,
                        old: None,
                        new: Some(new.clone()),
                        notes: Vec::new(),
                    });
                }
                (Some(_), Some(_)) => changes.push(Change {
                    id: id.clone(),
                    file,
                    old: None,
                    new: None,
                    notes: vec![format!("`{id}` was taken out of the project since; it stays out")],
                }),
                (None, _) => {}
            }
            continue;
        };
        let task = &graph.node(ix).task;
        let file = task.id.source.path.clone();
        let before = texts.get(&file).unwrap_or(&task.id.source.text).clone();
        let wrong = |message: String| Error::failed(format!("{file} cannot be edited: {message}"));
        let mut text = TaskText::of(task, tasks, &before).map_err(wrong)?;
        let (after, notes) = match (new, old) {
            (Some(new), base) => {
                let notes = merge(id, base, &mut text, new).map_err(wrong)?;
                (Some(text.text()), notes)
            }
            (None, _) => match stays.get(id) {
                None => (None, Vec::new()),
                Some(why) => {
                    (Some(before.clone()), vec![format!("`{id}` is proposed no more, but {why}; it stays")])
                }
            },
        };
        if let Some(after) = &after {
            texts.insert(file.clone(), after.clone());
        }
        changes.push(Change { id: id.clone(), file, old: Some(before), new: after, notes });
    }
    for change in &mut changes {
        change.notes.extend(unlinked.remove(&change.id).unwrap_or_default());
    }
    Ok(changes)
}

/// Task texts by id, and notes on them.
type Noted = (BTreeMap<String, String>, BTreeMap<String, Vec<String>>);

/// What one task may call another: by its id, its name in their folder, its id from the top.
fn names_of(id: &str, other: &str) -> Vec<String> {
    let folder = id.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default();
    let below = other.strip_prefix(&folder).map(str::to_owned);
    let from_top = format!("{}{other}", to_top(id));
    let mut names: Vec<String> = std::iter::once(other.to_owned()).chain(below).chain([from_top]).collect();
    names.dedup();
    names
}

/// Task texts without their links to tasks that are gone, and a note on each that went.
fn without_links(proposed: &BTreeMap<String, String>, gone: &[&String]) -> Result<Noted, Error> {
    let (mut texts, mut notes) = (proposed.clone(), BTreeMap::new());
    for (id, text) in texts.iter_mut().filter(|_| !gone.is_empty()) {
        let wrong = |message: String| Error::failed(format!("`{id}` cannot be edited: {message}"));
        let mut task = TaskText::new(text, None).map_err(wrong)?;
        let mut went: Vec<String> = Vec::new();
        for other in gone {
            let names = names_of(id, other);
            for (key, name) in
                ["requires", "refers"].into_iter().flat_map(|key| names.iter().map(move |name| (key, name)))
            {
                if task.remove(key, name).map_err(wrong)? {
                    went.push(format!(
                        "`{id}` no longer names `{other}`, which was taken out of the project"
                    ));
                }
            }
        }
        if !went.is_empty() {
            *text = task.text();
            notes.insert(id.clone(), went);
        }
    }
    Ok((texts, notes))
}

/// Lets what joined a task that stays join it still.
fn joined_still(
    proposed: &mut BTreeMap<String, String>,
    base: &BTreeMap<String, String>,
    stays: &BTreeMap<String, String>,
) -> Result<(), Error> {
    for (id, text) in proposed.iter_mut().filter(|_| !stays.is_empty()) {
        let Some(Ok(mut was)) = base.get(id).map(|base| TaskText::new(base, None)) else { continue };
        let wrong = |message: String| Error::failed(format!("`{id}` cannot be edited: {message}"));
        let mut own = TaskText::new(text, None).map_err(wrong)?;
        for other in stays.keys() {
            let named = |name: &String| was.value("requires").is_some_and(|list| has_text(&list, name));
            if let Some(name) = names_of(id, other).into_iter().find(named) {
                own.add("requires", &name).map_err(wrong)?;
            }
        }
        *text = own.text();
    }
    Ok(())
}

fn has_text(list: &Value, text: &str) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|value| value.as_str() == Some(text)))
}

/// Which of the tasks that are proposed no more stay, and why.
fn stays(merging: Merging<'_>, dropped: &[&String]) -> Result<BTreeMap<String, String>, Error> {
    let Merging { graph, proposed, base } = merging;
    let mut stays = BTreeMap::new();
    for id in dropped {
        let Some(ix) = graph.find(id) else { continue };
        let task = &graph.node(ix).task;
        let wrong =
            |message: String| Error::failed(format!("{} cannot be read: {message}", task.id.source.path));
        let mut text =
            TaskText::of(task, graph.config.tasks.as_str(), &task.id.source.text).map_err(wrong)?;
        let ours = |other: &str| proposed.contains_key(other) || base.contains_key(other);
        let named = graph.nodes().find(|(_, node)| {
            let mut deps = node.requires.iter().chain(&node.refers);
            deps.any(|dep| dep.task == ix) && !ours(node.id())
        });
        let why = match named {
            Some((_, node)) => format!("`{}` names it", node.id()),
            None if !text.is_alone() => "it shares its file with others".to_owned(),
            None if text.has_comments() || !base.get(*id).is_some_and(|base| is_as(&mut text, base)) => {
                "it was changed here since".to_owned()
            }
            None => continue,
        };
        stays.insert((*id).clone(), why);
    }
    Ok(stays)
}

/// The prompt in a task's text.
pub fn prompt_of(text: &str) -> Option<String> {
    TaskText::new(text, None).ok()?.value("prompt")?.as_str().map(str::to_owned)
}

/// Whether a task is as it was proposed, and nothing else.
fn is_as(text: &mut TaskText, base: &str) -> bool {
    let Ok(mut base) = TaskText::new(base, None) else { return false };
    let keys = text.keys();
    keys.iter().all(|key| KEYS.contains(&key.as_str()))
        && KEYS.iter().all(|key| same(text.value(key).as_ref(), base.value(key).as_ref()))
}

fn same(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(Value::String(one)), Some(Value::String(other))) => {
            one.value().trim_end() == other.value().trim_end()
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(Some(one), Some(other)))
        }
        (Some(Value::Integer(one)), Some(Value::Integer(other))) => one.value() == other.value(),
        (Some(Value::Boolean(one)), Some(Value::Boolean(other))) => one.value() == other.value(),
        _ => false,
    }
}

/// Lays a proposed task over a file. Returns where a person's edit stands against it.
fn merge(id: &str, base: Option<&String>, text: &mut TaskText, new: &str) -> Result<Vec<String>, String> {
    let mut new = TaskText::new(new, None)?;
    let mut base = base.map(|base| TaskText::new(base, None)).transpose()?;
    let mut notes = Vec::new();
    for key in KEYS {
        let (ours, theirs) = (text.value(key), new.value(key));
        let was = base.as_mut().map(|base| base.value(key));
        if same(ours.as_ref(), theirs.as_ref())
            || was.as_ref().is_some_and(|was| same(theirs.as_ref(), was.as_ref()))
        {
            continue;
        }
        let commented = matches!(&ours, Some(Value::Array(list)) if list.to_string().contains('#'));
        match (was, &ours, &theirs) {
            // Nobody wrote here since; but a comment in a list is a person's, too.
            (Some(was), ..) if same(ours.as_ref(), was.as_ref()) && !commented => text.set(key, theirs)?,
            (Some(was), Some(Value::Array(_)), theirs) if is_list(&was) && is_list(theirs) => {
                merge_members(key, was.as_ref(), theirs.as_ref(), text)?;
            }
            (Some(Some(Value::String(was))), Some(Value::String(ours)), Some(Value::String(theirs))) => {
                match merge_lines(was.value(), ours.value(), theirs.value()) {
                    Some(merged) => text.set(key, Some(merged.into()))?,
                    None => notes.push(yours(key, id)),
                }
            }
            (Some(_), ..) => notes.push(yours(key, id)),
            (None, ..) => {
                notes.push(format!(
                    "`{id}` is there already with another `{key}`, and no earlier proposal of it is known: it stays as it is"
                ));
            }
        }
    }
    Ok(notes)
}

fn is_list(value: &Option<Value>) -> bool {
    value.as_ref().is_none_or(Value::is_array)
}

/// That a person's value counts.
fn yours(key: &str, id: &str) -> String {
    format!("`{key}` of `{id}` was changed here and is proposed otherwise: yours stays")
}

/// Both changes of one text, if they do not touch.
fn merge_lines(was: &str, ours: &str, theirs: &str) -> Option<String> {
    let line = |text: &str| format!("{}\n", text.trim_end());
    let merged = diffy::merge(&line(was), &line(ours), &line(theirs)).ok()?;
    let one_line = merged.trim_end().lines().count() == 1;
    Some(if one_line { merged.trim_end().to_owned() } else { merged })
}

/// Both changes of one list: what is proposed no more goes, what is proposed newly comes, each by itself.
fn merge_members(
    key: &str,
    was: Option<&Value>,
    theirs: Option<&Value>,
    text: &mut TaskText,
) -> Result<(), String> {
    let members = |list: Option<&Value>| -> Vec<String> {
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|value| value.as_str().map(str::to_owned)).collect()
    };
    let (was, theirs) = (members(was), members(theirs));
    for gone in was.iter().filter(|name| !theirs.contains(name)) {
        text.remove(key, gone)?;
    }
    for new in theirs.iter().filter(|name| !was.contains(name)) {
        text.add(key, new)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(base: Option<&str>, ours: &str, theirs: &str) -> (String, Vec<String>) {
        let mut text = TaskText::new(ours, None).expect("TOML");
        let notes = merge("a", base.map(str::to_owned).as_ref(), &mut text, theirs).expect("a merge");
        (text.text(), notes)
    }

    #[test]
    fn what_only_one_side_changed_is_taken_from_it() {
        let base = "title = \"A\"\nprompt = \"x\"\nrequires = [\"a\", \"b\"]\n";
        let ours = "# mine\ntitle = \"A\" # why\nprompt = \"my own\"\nrequires = [\"a\", \"b\", \"mine\"]\n[vars]\nv = 1\n";
        let theirs = "title = \"B\"\nprompt = \"x\"\nrequires = [\"b\", \"c\"]\npriority = 5\n";
        assert_eq!(
            merged(Some(base), ours, theirs),
            (
                "# mine\ntitle = \"B\" # why\nprompt = \"my own\"\nrequires = [\"b\", \"mine\", \"c\"]\npriority = 5\n[vars]\nv = 1\n".to_owned(),
                Vec::new()
            )
        );
    }

    #[test]
    fn prompts_are_merged_by_lines_and_a_persons_words_win() {
        let text = |lines: &[&str]| format!("prompt = \"\"\"\n{}\n\"\"\"\n", lines.join("\n"));
        let base = text(&["one", "two", "three", "four", "five"]);
        let (both, notes) = merged(
            Some(&base),
            &text(&["one!", "two", "three", "four", "five"]),
            &text(&["one", "two", "three", "four", "five", "six"]),
        );
        assert_eq!((both, notes), (text(&["one!", "two", "three", "four", "five", "six"]), Vec::new()));
        let mine = text(&["mine"]);
        let (kept, notes) = merged(Some(&base), &mine, &text(&["theirs"]));
        assert_eq!(kept, mine);
        assert_eq!(notes, ["`prompt` of `a` was changed here and is proposed otherwise: yours stays"]);
        let (kept, notes) = merged(None, &mine, &text(&["theirs"]));
        assert_eq!(kept, mine);
        assert_eq!(notes.len(), 1);
    }

    #[test]
    fn programs_and_providers_are_refused_with_their_place() {
        let sink = Sink::default();
        let text = "prompt = \"x\"\nrun = [\"rm\"]\n[model]\nprovider = \"x\"\n".to_owned();
        assert!(!check_keys(&Arc::new(Source { path: "p/a.toml".into(), text }), &sink));
        let found: Vec<String> = sink
            .into_sorted()
            .into_iter()
            .map(|problem| {
                let place = problem.place.as_ref().map(|place| (place.line, place.column));
                format!("{place:?} {}", problem.message)
            })
            .collect();
        assert_eq!(
            found,
            ["Some((2, 1)) a proposal may not run a program", "Some((3, 2)) a proposal may not hold `model`"]
        );
    }
}
