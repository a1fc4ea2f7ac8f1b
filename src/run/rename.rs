//! Carrying a rename out: files, output and record move, and what was fresh stays fresh.

use std::collections::{HashMap, HashSet};

use crate::context::Shelf;
use crate::diag::Error;
use crate::digest::Digest;
use crate::disk::{Durability, Workspace, load, load_over, read_optional, write_failures};
use crate::graph::{Ix, Renamed};
use crate::lock::{Lock, Record};
use crate::path::RelPath;
use crate::request::{Scene, build};

use super::person::{answers_beside, commit, failed};

/// The record of a task that counts, of all that a merge may have left, and whether it is of today's request.
pub(super) fn counting(workspace: &Workspace, ix: Ix) -> Option<(&Record, bool)> {
    let node = workspace.graph.node(ix);
    let (scene, shelf) =
        (Scene { graph: &workspace.graph, templates: &workspace.templates }, &workspace.shelf);
    let on_disk = shelf.digest(&node.output).ok().flatten();
    let today = build(&scene, ix, &[], shelf).map(|today| today.digest).ok();
    let key = today.map(|today| (today, scene.expected(ix, shelf).ok().flatten()));
    let record = workspace.lock.pick(node.id(), on_disk, key);
    let record = record.or(workspace.lock.records(node.id()).first())?;
    Some((record, today == Some(record.request)))
}

/// The tasks whose recorded request is the one that the texts on disk give now, whatever stands above.
fn settled(workspace: &Workspace) -> HashSet<String> {
    let is_settled = |ix: Ix| counting(workspace, ix).is_some_and(|(_, is_today)| is_today);
    let nodes = workspace.graph.nodes().filter(|(_, node)| node.duplicate_of.is_none());
    nodes.filter(|(ix, _)| is_settled(*ix)).map(|(_, node)| node.id().to_owned()).collect()
}

/// Renames tasks as planned; nobody is asked. Returns the workspace as it is afterwards.
///
/// Also what a person should know of it, a line each.
pub fn carry_out(workspace: &Workspace, renamed: &Renamed) -> Result<(Workspace, Vec<String>), Error> {
    let root = workspace.store.root();
    let settled = settled(workspace);
    // What the project will be; if that is not whole, nothing is written.
    let planned = load_over(root, &renamed.files).map_err(|mut error| {
        error.message.push_str(" as it would be after the move; nothing was moved");
        error
    })?;
    let moves = moves(workspace, &planned, renamed)?;
    let old_texts: HashMap<&String, &str> =
        renamed.files.keys().filter_map(|path| Some((path, workspace.task_text(path)?))).collect();
    for path in renamed.files.keys() {
        let place = RelPath::parse(path).map_err(|problem| Error::failed(problem.message()))?;
        let now = read_optional(&workspace.store.full(&place));
        let old = old_texts.get(path).copied();
        if let Some(taken) = workspace.store.in_the_way(&place).filter(|_| old.is_none()) {
            let message = format!("`{taken}` is there already, and the task would go to `{path}`");
            return Err(Error::failed(message).help("move it away first"));
        }
        if !now.is_ok_and(|now| now.as_deref() == old) {
            return Err(Error::failed(format!("`{path}` was changed just now, so nothing was moved"))
                .help("say it again"));
        }
    }
    let mut lock = workspace.lock.clone();
    for (old, new) in &renamed.ids {
        let output = planned.graph.find(new).map(|ix| planned.graph.node(ix).output.to_string());
        let record =
            workspace.graph.find(old).and_then(|ix| counting(workspace, ix).map(|(record, _)| record));
        if let Some(record) = record {
            let output = output.unwrap_or_else(|| record.output.clone());
            lock.put(Record { task: new.clone(), output, ..record.clone() });
        }
        lock.remove(old);
    }
    write_files(workspace, &planned, renamed, &old_texts)?;
    let mut failures = workspace.failures.clone();
    for (old, new) in &renamed.ids {
        if let Some(mut failure) = failures.remove(old) {
            // What it says to do is to be done there.
            for (from, to) in &moves {
                failure.message = failure.message.replace(&format!("`{from}`"), &format!("`{to}`"));
            }
            failure.message = failure.message.replace(&format!(" {old}`"), &format!(" {new}`"));
            failures.insert(new.clone(), failure);
        }
    }
    write_failures(&workspace.store, &failures).map_err(|error| failed(error, "the failures"))?;
    let notes = move_outputs(workspace, &moves)?;
    for path in renamed.files.iter().filter(|(_, text)| text.is_none()).map(|(path, _)| path) {
        let old = old_texts.get(path).copied().unwrap_or_default();
        let path = RelPath::parse(path).map_err(|problem| Error::failed(problem.message()))?;
        workspace.store.remove(&path, old).map_err(|error| {
            Error::failed(format!("`{path}` cannot be removed: {error}"))
                .help("the task is in its new file as it was: take over what is new, then remove the old one")
        })?;
    }
    commit(workspace, &lock)?;
    let after = load(root)?;
    settle_again(&after, renamed, &settled)?;
    Ok((after, notes))
}

/// Writes the new files, then those that name what moves: what a crash leaves is a task twice, which the next command
/// tells.
fn write_files(
    workspace: &Workspace,
    planned: &Workspace,
    renamed: &Renamed,
    old_texts: &HashMap<&String, &str>,
) -> Result<(), Error> {
    let mut files: Vec<(&String, Option<&str>, &String)> = renamed
        .files
        .iter()
        .filter_map(|(path, text)| Some((path, old_texts.get(path).copied(), text.as_ref()?)))
        .collect();
    files.sort_by_key(|(_, old, _)| old.is_some());
    let source = |workspace: &Workspace, id: &str| {
        workspace.graph.find(id).map(|ix| workspace.graph.node(ix).task.id.source.path.clone())
    };
    let places = renamed.ids.iter();
    let old_places: HashMap<String, String> =
        places.filter_map(|(old, new)| Some((source(planned, new)?, source(workspace, old)?))).collect();
    for (path, old, new) in files {
        // A new file ends its lines as the old one did.
        let old_place = old_places.get(path).filter(|_| old.is_none());
        match old_place.and_then(|place| RelPath::parse(place).ok()) {
            Some(place) => write(workspace, path, old, &workspace.store.as_in(&place, new))?,
            None => write(workspace, path, old, new)?,
        }
    }
    Ok(())
}

/// The outputs that move, from where to where, and the answers that lie beside them. An error if one of them cannot.
fn moves(
    workspace: &Workspace,
    planned: &Workspace,
    renamed: &Renamed,
) -> Result<Vec<(RelPath, RelPath)>, Error> {
    let nodes = renamed.ids.iter().filter_map(|(old, new)| {
        let (old, new) = (workspace.graph.find(old)?, planned.graph.find(new)?);
        Some((workspace.graph.node(old), planned.graph.node(new)))
    });
    let mut moves: Vec<(RelPath, RelPath)> = nodes
        .filter(|(old, new)| old.output != new.output && old.duplicate_of.is_none())
        .map(|(old, new)| (old.output.clone(), new.output.clone()))
        .collect();
    let beside = moves.iter().flat_map(|(from, to)| {
        answers_beside(workspace, from).into_iter().filter_map(|path| {
            let infix = path.as_str().strip_prefix(from.stem())?;
            let to = RelPath::parse(&format!("{}{infix}", to.stem())).ok()?;
            Some((path, to))
        })
    });
    let beside: Vec<(RelPath, RelPath)> = beside.collect();
    moves.extend(beside);
    for (from, to) in &moves {
        if let Some(taken) = workspace.store.in_the_way(to) {
            let message = format!("`{taken}` is there already, and the output would go to `{to}`");
            return Err(Error::failed(message).help("move it away first"));
        }
        if let Err(error) = workspace.shelf.digest(from) {
            return Err(Error::failed(format!("`{from}` cannot be moved along: {error}"))
                .help("mend or move it first"));
        }
    }
    Ok(moves)
}

/// Moves texts; tells of those that had to stay, too.
fn move_outputs(workspace: &Workspace, moves: &[(RelPath, RelPath)]) -> Result<Vec<String>, Error> {
    let mut notes = Vec::new();
    for (from, to) in moves {
        let Ok(Some(text)) = workspace.shelf.text(from) else { continue };
        let written = workspace.shelf.write(to, None, &text, Durability::Now);
        written.map_err(|error| failed(error, to.as_str()))?;
        if let Err(error) = workspace.shelf.remove(from, Digest::of(&*text)) {
            notes.push(format!(
                "{from} stays: {error}; its text as it was is in {to} (take over what is new, then remove {from})"
            ));
        }
    }
    Ok(notes)
}

/// Lets what was settled before a move be so after it: its request names other places now.
fn settle_again(after: &Workspace, renamed: &Renamed, settled: &HashSet<String>) -> Result<(), Error> {
    let old_of: HashMap<&str, &str> =
        renamed.ids.iter().map(|(old, new)| (new.as_str(), old.as_str())).collect();
    let scene = Scene { graph: &after.graph, templates: &after.templates };
    let mut lock: Lock = after.lock.clone();
    for (ix, node) in after.graph.nodes() {
        if settled.contains(old_of.get(node.id()).copied().unwrap_or(node.id()))
            && let (Some((record, _)), Ok(today)) =
                (counting(after, ix), build(&scene, ix, &[], &after.shelf))
        {
            lock.put(Record { request: today.digest, parts: today.parts, ..record.clone() });
        }
    }
    commit(after, &lock)?;
    after.shelf.save();
    Ok(())
}

/// Writes edited task files, if the project stays whole with them.
pub fn edit_tasks(workspace: &Workspace, files: &crate::disk::Overlay) -> Result<(), Error> {
    load_over(workspace.store.root(), files)?;
    for (path, text) in files {
        if let Some(text) = text {
            write(workspace, path, workspace.task_text(path), text)?;
        }
    }
    Ok(())
}

/// Puts a task file's new text in the place of the old one.
pub(super) fn write(workspace: &Workspace, path: &str, old: Option<&str>, new: &str) -> Result<(), Error> {
    let path = RelPath::parse(path).map_err(|problem| Error::failed(problem.message()))?;
    workspace.store.edit(&path, old, new).map_err(|error| failed(error, path.as_str()))
}
