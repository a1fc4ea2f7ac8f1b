//! Renaming a task: which references change in which file. Pure; room `run` carries it out.

use std::collections::{BTreeMap, BTreeSet};

use super::resolve::{Ids, candidates, is_glob};
use super::{Graph, Ix, Node};
use crate::diag::Error;
use crate::path::{nfc, to_top};
use crate::spec::{At, ItemRef, Subject, Task, TaskText, split_heading, with_schema_line, words_of_id};

/// What a rename does to the project's files.
#[derive(Clone, Debug, Default)]
pub struct Renamed {
    /// New texts by path from the project's folder; `None` for a file that goes.
    pub files: BTreeMap<String, Option<String>>,
    /// The new ids of the tasks that move, by the old ones.
    pub ids: BTreeMap<String, String>,
}

/// Plans the rename of a task, its children with it.
pub fn rename(graph: &Graph, old: Ix, new: &str) -> Result<Renamed, Error> {
    let old_id = graph.node(old).id().to_owned();
    let tasks: Vec<&Task> = graph.nodes().map(|(_, node)| &*node.task).collect();
    let below = format!("{old_id}/");
    let ids: BTreeMap<String, String> = tasks
        .iter()
        .map(|task| task.id.value.as_str())
        .filter(|id| *id == old_id || id.starts_with(&below))
        .map(|id| (id.to_owned(), format!("{new}{}", &id[old_id.len()..])))
        .collect();
    if graph.find(new).is_some() {
        return Err(Error::invalid(format!("there is a task `{new}` already")).help("choose another id"));
    }
    if new.starts_with(&below) {
        return Err(Error::invalid(format!("`{old_id}` cannot move below itself")).help("choose another id"));
    }
    let folder = format!("{}/", graph.config.tasks);
    let stem = |path: &str| -> String {
        let inside = path.strip_prefix(&folder).unwrap_or(path);
        inside.strip_suffix(".toml").unwrap_or(inside).to_owned()
    };
    let mut moved_files: BTreeMap<String, String> = BTreeMap::new();
    for task in tasks.iter().filter(|task| ids.contains_key(&task.id.value)) {
        let path = &task.id.source.path;
        let stem = stem(path);
        if stem != old_id && !stem.starts_with(&below) {
            return Err(Error::invalid(format!("`{}` is a table in {path}, not a file", task.id.value))
                .help("rename the table there, or move it to a file of its own first"));
        }
        moved_files.insert(path.clone(), format!("{folder}{new}{}.toml", &stem[old_id.len()..]));
    }
    let nothing = BTreeMap::new();
    let (before, after) = (Ids::of_nodes(&graph.nodes, &nothing), Ids::of_nodes(&graph.nodes, &ids));
    let mut files: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    // Prompts first, the last one of a file before the others: they are where they were read.
    let mut prompts: Vec<(&At<String>, String)> = Vec::new();
    for node in &graph.nodes {
        if let Some(prompt) = &node.task.prompt
            && let Some(new) = rewrite_prompt(graph, node, prompt, &before, &after, &ids)
        {
            prompts.push((prompt, new));
        }
    }
    prompts.sort_by_key(|(prompt, _)| std::cmp::Reverse(prompt.span.start));
    for (prompt, new) in prompts {
        let source = &prompt.source;
        let text = texts.entry(source.path.clone()).or_insert_with(|| source.text.clone());
        text.replace_range(prompt.span.clone(), &new);
    }
    for task in &tasks {
        let path = &task.id.source.path;
        let text = texts.get(path).cloned().unwrap_or_else(|| task.id.source.text.clone());
        let edited = rewrite(task, &text, &stem(path), &before, &after, &ids)
            .map_err(|message| Error::failed(format!("{path} cannot be edited: {message}")))?;
        if edited != task.id.source.text {
            texts.insert(path.clone(), edited);
        }
    }
    for (from, to) in &moved_files {
        let text = texts.remove(from).or_else(|| {
            tasks.iter().find(|task| task.id.source.path == *from).map(|task| task.id.source.text.clone())
        });
        files.insert(to.clone(), text.map(|text| with_schema_line(&text, from, to)));
        files.insert(from.clone(), None);
    }
    files.extend(texts.into_iter().map(|(path, text)| (path, Some(text))));
    Ok(Renamed { files, ids })
}

/// A task's text with every reference to a renamed task rewritten.
fn rewrite(
    task: &Task,
    text: &str,
    stem: &str,
    before: &Ids<'_>,
    after: &Ids<'_>,
    ids: &BTreeMap<String, String>,
) -> Result<String, String> {
    let own = task.id.value.as_str();
    let new_own = ids.get(own).map_or(own, String::as_str);
    let mapped = |id: &str| ids.get(id).cloned().unwrap_or_else(|| id.to_owned());
    let table = (own != stem).then(|| &own[stem.len() + 1..]);
    let mut edit = TaskText::new(text, table)?;
    let mut changed = false;
    let lists: [(&str, &[At<String>]); 3] =
        [("requires", &task.requires), ("refers", &task.refers), ("relates_to", &task.relates_to)];
    for (key, links) in lists {
        for link in links {
            let (name, heading) = split_heading(&link.value);
            if is_glob(name) {
                let wanted: BTreeSet<String> =
                    meant(before, own, name)?.iter().map(|id| mapped(id)).collect();
                let new = meant(after, new_own, name)?;
                let lost: Vec<&String> =
                    wanted.difference(&new).filter(|id| id.as_str() != new_own).collect();
                // One that finds nothing yet is to find what comes.
                if lost.is_empty() && !wanted.is_empty() {
                    continue;
                }
                if let Some(glob) = moved_glob(name, own, new_own, after, ids, &wanted) {
                    let glob = heading.map_or(glob.clone(), |heading| format!("{glob}#{heading}"));
                    changed |= edit.replace(key, &link.value, &glob)?;
                    continue;
                }
                // What the glob no longer means is named by itself.
                for lost in lost {
                    changed |= edit.add(key, &after.name_from(new_own, lost))?;
                }
            } else if let Some(new) = moved(name, own, new_own, before, after, &mapped) {
                let new = heading.map_or(new.clone(), |heading| format!("{new}#{heading}"));
                changed |= edit.replace(key, &link.value, &new)?;
            }
        }
    }
    if let Some(link) = &task.duplicates
        && let Some(new) = moved(&link.value, own, new_own, before, after, &mapped)
    {
        changed |= edit.replace("duplicates", &link.value, &new)?;
    }
    let empty = Vec::new();
    let lists: [(&str, &Vec<At<ItemRef>>); 4] = [
        ("context.pin", &task.pin),
        ("context.exclude", &task.exclude),
        ("context.manual", &task.manual),
        ("context.items", task.items.as_ref().unwrap_or(&empty)),
    ];
    for (key, items) in lists {
        for item in items {
            if let Subject::Task(name) = &item.value.subject
                && let Some(new) = moved(name, own, new_own, before, after, &mapped)
            {
                let new = ItemRef { subject: Subject::Task(new), heading: item.value.heading.clone() };
                changed |= edit.replace(key, &item.value.to_string(), &new.to_string())?;
            }
        }
    }
    let default = words_of_id(own);
    if ids.contains_key(own) && task.title == default && words_of_id(new_own) != default {
        changed |= edit.set_missing("title", &default)?;
    }
    Ok(if changed { edit.text() } else { text.to_owned() })
}

/// The ids of the tasks that a glob means in the file of a task.
fn meant(ids: &Ids<'_>, from: &str, glob: &str) -> Result<BTreeSet<String>, String> {
    Ok(ids.glob(from, glob)?.into_iter().map(|ix| ids.id(ix)).collect())
}

/// A glob below a folder that moves, as one below its new place, if that means just what it meant.
fn moved_glob(
    glob: &str,
    own: &str,
    new_own: &str,
    after: &Ids<'_>,
    ids: &BTreeMap<String, String>,
    wanted: &BTreeSet<String>,
) -> Option<String> {
    let folders = |pattern: &str| -> Option<String> {
        // The nearest folder of those that move.
        let (folder, new) = ids.iter().rev().find(|(old, _)| pattern.starts_with(&format!("{old}/")))?;
        Some(format!("{new}{}", &pattern[folder.len()..]))
    };
    let up = to_top(new_own);
    let patterns = candidates(own, &nfc(glob)).into_iter().filter_map(|pattern| folders(&pattern));
    patterns
        .flat_map(|pattern| [pattern.clone(), format!("{up}{pattern}")])
        .find(|pattern| meant(after, new_own, pattern).is_ok_and(|now| now == *wanted))
}

/// The new name, if a name would mean something else after the rename.
fn moved(
    name: &str,
    own: &str,
    new_own: &str,
    before: &Ids<'_>,
    after: &Ids<'_>,
    mapped: &dyn Fn(&str) -> String,
) -> Option<String> {
    let wanted = mapped(&before.id(before.one(own, name)?));
    let means = after.one(new_own, name).map(|ix| after.id(ix));
    (means.as_deref() != Some(wanted.as_str())).then(|| after.name_from(new_own, &wanted))
}

/// A prompt as it is written, with another name wherever `text("task:…")` would not take what it took.
fn rewrite_prompt(
    graph: &Graph,
    node: &Node,
    prompt: &At<String>,
    before: &Ids<'_>,
    after: &Ids<'_>,
    ids: &BTreeMap<String, String>,
) -> Option<String> {
    let own = node.id();
    let new_own = ids.get(own).map_or(own, String::as_str);
    // Of the tasks that a name may mean the nearest that is declared.
    let taken = |ids: &Ids<'_>, from: &str, name: &str| {
        ids.all(from, name).into_iter().find(|ix| node.declares(graph.canonical(*ix)))
    };
    let written = prompt.source.text.get(prompt.span.clone())?;
    let (mut new, mut rest) = (String::new(), written);
    while let Some(found) = rest.find("task:") {
        let (front, name) = rest.split_at(found + "task:".len());
        let end = name.find(['"', '\'', '#', '\\', '\n']).unwrap_or(name.len());
        let (name, behind) = name.split_at(end);
        new.push_str(front);
        // A character that is escaped may be one of the name.
        let is_whole = !behind.starts_with('\\') || behind[1..].starts_with(['"', '\'']);
        let is_name = front[..found].ends_with(['"', '\'']) && is_whole;
        let target =
            taken(before, own, name).filter(|target| is_name && taken(after, new_own, name) != Some(*target));
        match target {
            Some(target) => new.push_str(&after.name_from(new_own, &after.id(target))),
            None => new.push_str(name),
        }
        rest = behind;
    }
    new.push_str(rest);
    (new != written).then_some(new)
}
