//! Carrying a rename out: files, output and record move, and what was fresh stays fresh.

use crate::context::Shelf;
use crate::diag::Error;
use crate::disk::{Durability, Workspace, load, load_over};
use crate::graph::{Ix, Renamed};
use crate::lock::{Lock, Record};
use crate::path::RelPath;
use crate::plan::State;

use super::Survey;
use super::person::{commit, failed};

/// Renames tasks as planned; nobody is asked. Returns the workspace as it is afterwards.
pub fn carry_out(workspace: &Workspace, renamed: &Renamed) -> Result<Workspace, Error> {
    let root = workspace.store.root();
    let settled: Vec<String> = Survey::all(workspace, None)
        .into_iter()
        .enumerate()
        .filter(|(_, verdict)| verdict.as_ref().is_some_and(|verdict| verdict.unchanged == Some(true)))
        .map(|(at, _)| workspace.graph.node(Ix(at)).id().to_owned())
        .collect();
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
    let mut survey = Survey::new(&after, None);
    let mut lock: Lock = after.lock.clone();
    for ix in after.graph.order().iter().copied() {
        let look = survey.look(ix, &lock, &after.failures);
        let id = after.graph.node(ix).id();
        let mut verdict = look.verdict;
        if settled.contains(&old_of(id))
            && let (Some(record), Some(today)) = (look.record, look.today)
        {
            let approved = record.approved;
            lock.put(Record { request: today.request, parts: today.parts, approved, ..record });
            verdict.state = State::Fresh;
        }
        survey.decided(ix, verdict);
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
