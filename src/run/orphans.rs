//! Orphans: records and outputs of tasks that are gone.

use crate::context::Shelf;
use crate::diag::Error;
use crate::digest::Digest;
use crate::disk::{Cache, Workspace};
use crate::lock::Record;
use crate::path::RelPath;
use crate::spec::{Runner, reserved_place};

use super::person::commit;

/// A record without a task, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The id of the task that is gone.
    pub task: String,
    /// Where its output was.
    pub output: String,
    /// What becomes of it.
    pub fate: Fate,
    /// The text of a file that goes; it is kept in the cache.
    pub text: Option<Digest>,
}

/// What becomes of an orphan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Output and record go.
    Removed,
    /// Only the record goes: there is no such file, or it is not this task's any more.
    Forgotten,
    /// Both stay: a person changed or adopted the text.
    Changed,
    /// Both stay: the file lies outside of the folder of outputs, or something else names it.
    Elsewhere,
}

/// Removes outputs of tasks that are gone, and their records; a dry run only tells. What is removed is kept
/// in the cache.
pub fn remove_orphans(workspace: &Workspace, dry_run: bool) -> Result<Vec<Orphan>, Error> {
    let graph = &workspace.graph;
    let mut lock = workspace.lock.clone();
    let mut orphans = Vec::new();
    for task in workspace.lock.tasks().filter(|id| graph.find(id).is_none()) {
        let records = workspace.lock.records(task);
        let mut all_go = true;
        for record in records {
            let (fate, text) = fate_of(workspace, record)?;
            all_go &= matches!(fate, Fate::Removed | Fate::Forgotten);
            orphans.push(Orphan { task: task.to_owned(), output: record.output.clone(), fate, text });
            let place =
                RelPath::parse_writable(&record.output).ok().filter(|_| fate == Fate::Removed && !dry_run);
            if let Some(place) = place {
                let wrong =
                    |error: std::io::Error| Error::failed(format!("`{place}` cannot be removed: {error}"));
                if let Some(text) = workspace.shelf.text(&place).ok().flatten() {
                    let digest = Cache(&workspace.store).keep_text(&text).map_err(wrong)?;
                    workspace.shelf.remove(&place, digest).map_err(wrong)?;
                }
            }
        }
        if all_go {
            lock.remove(task);
        }
    }
    if !dry_run && lock != workspace.lock {
        commit(workspace, &lock)?;
    }
    Ok(orphans)
}

/// What becomes of one record's output. The lock is data from a repository: only what lies where outputs
/// lie, and what nothing names, is removed.
fn fate_of(workspace: &Workspace, record: &Record) -> Result<(Fate, Option<Digest>), Error> {
    let graph = &workspace.graph;
    let Ok(place) = RelPath::parse_writable(&record.output) else { return Ok((Fate::Forgotten, None)) };
    let taken = graph.nodes().any(|(_, node)| node.output.folded() == place.folded());
    if taken || place == graph.config.index {
        return Ok((Fate::Forgotten, None));
    }
    let wrong = |error| Error::failed(format!("`{place}` cannot be read: {error}"));
    let Some(text) = workspace.shelf.digest(&place).map_err(wrong)? else {
        return Ok((Fate::Forgotten, None));
    };
    if !record.built_is(text) {
        return Ok((Fate::Changed, None));
    }
    let outputs = format!("{}/", graph.config.outputs.folded());
    let named = graph.nodes().any(|(_, node)| {
        let argv: &[String] = if let Runner::Program(argv) = &node.task.run { argv } else { &[] };
        let judge = node.task.expect.iter().flat_map(|expect| &expect.command);
        node.documents().any(|document| document.path == place)
            || node.searched.contains(&place)
            || node.schema() == Some(&place)
            || argv.iter().chain(judge).any(|word| word.contains(place.as_str()))
    });
    let elsewhere = !place.folded().starts_with(&outputs)
        || named
        || reserved_place(&place, &graph.config.tasks).is_some()
        || workspace.store.is_aliased(place.as_str());
    Ok(if elsewhere { (Fate::Elsewhere, None) } else { (Fate::Removed, Some(text)) })
}
