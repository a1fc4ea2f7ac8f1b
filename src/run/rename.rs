//! Carrying a rename out: files, output and record move, and what was fresh stays fresh.

use std::collections::HashSet;

use crate::context::Shelf;
use crate::diag::Error;
use crate::digest::Digest;
use crate::disk::{Durability, Workspace, load, load_over, write_failures};
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
pub fn carry_out(workspace: &Workspace, renamed: &Renamed) -> Result<Workspace, Error> {
    let root = workspace.store.root();
    let settled = settled(workspace);
    // What the project will be; if that is not whole, nothing is written.
    let planned = load_over(root, &renamed.files).map_err(|mut error| {
        error.message.push_str(" as it would be after the move; nothing was moved");
        error
    })?;
    let moves: Vec<(RelPath, RelPath)> = renamed
        .ids
        .iter()
        .filter_map(|(old, new)| Some((workspace.graph.find(old)?, planned.graph.find(new)?)))
        .map(|(old, new)| (workspace.graph.node(old), planned.graph.node(new)))
        .filter(|(old, new)| old.output != new.output && old.duplicate_of.is_none())
        .map(|(old, new)| (old.output.clone(), new.output.clone()))
        .collect();
    for (_, to) in &moves {
        if let Some(taken) = workspace.store.in_the_way(to) {
            return Err(Error::failed(format!(
                "`{taken}` is there already, and the output would go to `{to}`"
            ))
            .help("move it away first"));
        }
    }
    // Nothing is written before all that must be read was read.
    for (from, _) in &moves {
        if let Err(error) = workspace.shelf.digest(from) {
            return Err(Error::failed(format!("`{from}` cannot be moved along: {error}"))
                .help("mend or move it first"));
        }
    }
    let mut lock = workspace.lock.clone();
    for (old, new) in &renamed.ids {
        let output = planned.graph.find(new).map(|ix| planned.graph.node(ix).output.to_string());
        let record =
            workspace.graph.find(old).and_then(|ix| counting(workspace, ix).map(|(record, _)| record));
        if let Some(record) = record {
            let output = output.clone().unwrap_or_else(|| record.output.clone());
            lock.put(Record { task: new.clone(), output, ..record.clone() });
        }
        lock.remove(old);
    }
    // New files first: what a crash leaves is a task twice, which the next command tells.
    for (path, text) in renamed.files.iter().filter_map(|(path, text)| Some((path, text.as_ref()?))) {
        write(workspace, path, workspace.task_text(path), text)?;
    }
    let mut failures = workspace.failures.clone();
    for (old, new) in &renamed.ids {
        if let Some(failure) = failures.remove(old) {
            failures.insert(new.clone(), failure);
        }
    }
    write_failures(&workspace.store, &failures).map_err(|error| failed(error, "the failures"))?;
    // What lies beside an output goes along under its new name.
    let beside = moves.iter().flat_map(|(from, to)| {
        let infix = |path: &RelPath| path.as_str().strip_prefix(from.stem()).unwrap_or_default().to_owned();
        let to = to.stem();
        let answers = answers_beside(workspace, from).into_iter();
        answers.filter_map(move |path| {
            Some((path.clone(), RelPath::parse(&format!("{to}{}", infix(&path))).ok()?))
        })
    });
    let beside: Vec<(RelPath, RelPath)> = beside.collect();
    for (from, to) in moves.iter().chain(&beside) {
        if let Ok(Some(text)) = workspace.shelf.text(from) {
            let write = workspace.shelf.write(to, None, &text, Durability::Now);
            write.map_err(|error| failed(error, to.as_str()))?;
            let remove = workspace.shelf.remove(from, Digest::of(&*text));
            remove.map_err(|error| {
                failed(error, from.as_str())
                    .help(format!("its text as it was is in `{to}`: take over what is new, then remove it"))
            })?;
        }
    }
    for path in renamed.files.iter().filter(|(_, text)| text.is_none()).map(|(path, _)| path) {
        let old = workspace.task_text(path).unwrap_or_default();
        let path = RelPath::parse(path).map_err(|problem| Error::failed(problem.message()))?;
        workspace.store.remove(&path, old).map_err(|error| failed(error, path.as_str()))?;
    }
    commit(workspace, &lock)?;

    let after = load(root)?;
    let old_of = |id: &str| {
        renamed.ids.iter().find(|(_, new)| *new == id).map_or(id.to_owned(), |(old, _)| old.clone())
    };
    let scene = Scene { graph: &after.graph, templates: &after.templates };
    let mut lock: Lock = after.lock.clone();
    for (ix, node) in after.graph.nodes() {
        if settled.contains(&old_of(node.id()))
            && let (Some((record, _)), Ok(today)) =
                (counting(&after, ix), build(&scene, ix, &[], &after.shelf))
        {
            lock.put(Record { request: today.digest, parts: today.parts, ..record.clone() });
        }
    }
    commit(&after, &lock)?;
    after.shelf.save();
    Ok(after)
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
