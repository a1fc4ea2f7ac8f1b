//! Carrying a rename out: files, output and record move, and what was fresh stays fresh.

use std::collections::HashSet;

use crate::context::Shelf;
use crate::diag::Error;
use crate::disk::{Durability, Workspace, load, load_over};
use crate::graph::{Ix, Renamed};
use crate::lock::{Lock, Record};
use crate::path::RelPath;
use crate::request::{Scene, build};

use super::person::{commit, failed};

/// The tasks whose recorded request is the one that the texts on disk give now, whatever stands above.
fn settled(workspace: &Workspace) -> HashSet<String> {
    let scene = Scene { graph: &workspace.graph, templates: &workspace.templates };
    let is_settled = |ix: Ix, id: &str| {
        let today = build(&scene, ix, &[], &workspace.shelf).map(|today| today.digest);
        workspace.lock.records(id).first().is_some_and(|record| today == Ok(record.request))
    };
    let nodes = workspace.graph.nodes().filter(|(_, node)| node.duplicate_of.is_none());
    nodes.filter(|(ix, node)| is_settled(*ix, node.id())).map(|(_, node)| node.id().to_owned()).collect()
}

/// Renames tasks as planned; nobody is asked. Returns the workspace as it is afterwards.
pub fn carry_out(workspace: &Workspace, renamed: &Renamed) -> Result<Workspace, Error> {
    let root = workspace.store.root();
    let settled = settled(workspace);
    // What the project will be; if that is not whole, nothing is written.
    let planned = load_over(root, &renamed.files)?;
    let moves: Vec<(RelPath, RelPath)> = renamed
        .ids
        .iter()
        .filter_map(|(old, new)| Some((workspace.graph.find(old)?, planned.graph.find(new)?)))
        .map(|(old, new)| (workspace.graph.node(old), planned.graph.node(new)))
        .filter(|(old, new)| old.output != new.output && old.duplicate_of.is_none())
        .map(|(old, new)| (old.output.clone(), new.output.clone()))
        .collect();
    for (_, to) in &moves {
        if workspace.store.full(to).exists() {
            return Err(Error::failed(format!("`{to}` is there already, and the output would go there"))
                .help("move it away first"));
        }
    }
    let mut lock = workspace.lock.clone();
    for (old, new) in &renamed.ids {
        let output = planned.graph.find(new).map(|ix| planned.graph.node(ix).output.to_string());
        for record in workspace.lock.records(old).iter().take(1) {
            let output = output.clone().unwrap_or_else(|| record.output.clone());
            lock.put(Record { task: new.clone(), output, ..record.clone() });
        }
        lock.remove(old);
    }
    // New files first: what a crash leaves is a task twice, which the next command tells.
    for (path, text) in renamed.files.iter().filter_map(|(path, text)| Some((path, text.as_ref()?))) {
        write(workspace, path, text)?;
    }
    for (from, to) in &moves {
        if let Ok(Some(text)) = workspace.shelf.text(from) {
            workspace.shelf.write(to, &text, Durability::Now).map_err(|error| failed(error, to.as_str()))?;
            workspace.store.remove(from).map_err(|error| failed(error, from.as_str()))?;
        }
    }
    for path in renamed.files.iter().filter(|(_, text)| text.is_none()).map(|(path, _)| path) {
        let path = RelPath::parse(path).map_err(|problem| Error::failed(problem.message()))?;
        workspace.store.remove(&path).map_err(|error| failed(error, path.as_str()))?;
    }
    commit(workspace, &lock)?;

    let after = load(root)?;
    let old_of = |id: &str| {
        renamed.ids.iter().find(|(_, new)| *new == id).map_or(id.to_owned(), |(old, _)| old.clone())
    };
    let scene = Scene { graph: &after.graph, templates: &after.templates };
    let mut lock: Lock = after.lock.clone();
    for (ix, node) in after.graph.nodes() {
        let record = lock.records(node.id()).first().cloned();
        if settled.contains(&old_of(node.id()))
            && let (Some(record), Ok(today)) = (record, build(&scene, ix, &[], &after.shelf))
        {
            lock.put(Record { request: today.digest, parts: today.parts, ..record });
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
            write(workspace, path, text)?;
        }
    }
    Ok(())
}

fn write(workspace: &Workspace, path: &str, text: &str) -> Result<(), Error> {
    let path = RelPath::parse(path).map_err(|problem| Error::failed(problem.message()))?;
    workspace.store.write(&path, text, Durability::Now).map_err(|error| failed(error, path.as_str()))
}
