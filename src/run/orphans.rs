//! Orphans: records and outputs of tasks that are gone.

use crate::context::Shelf;
use crate::diag::Error;
use crate::disk::Workspace;
use crate::path::RelPath;
use crate::spec::reserved_place;

use super::person::commit;

/// An orphan, and whether it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The id of the task that is gone.
    pub task: String,
    /// Where its output is.
    pub output: String,
    /// Whether output and record go. What a person changed or adopted stays.
    pub goes: bool,
}

/// Removes outputs of tasks that are gone, and their records; a dry run only tells. A place that another
/// task has now loses the record alone.
pub fn remove_orphans(workspace: &Workspace, dry_run: bool) -> Result<Vec<Orphan>, Error> {
    let graph = &workspace.graph;
    let mut lock = workspace.lock.clone();
    let mut orphans = Vec::new();
    for task in workspace.lock.tasks().filter(|id| graph.find(id).is_none()) {
        let Some(record) = workspace.lock.records(task).first() else { continue };
        // The lock is data from a repository: only what could be an output is removed.
        let place = RelPath::parse_writable(&record.output).ok().filter(|path| {
            let taken = graph.nodes().any(|(_, node)| {
                node.output.folded() == path.folded()
                    || node.documents().any(|document| document.path == *path)
            });
            let private = path.as_str().split('/').any(|part| part.eq_ignore_ascii_case(".git"));
            !taken
                && !private
                && *path != graph.config.index
                && reserved_place(path, &graph.config.tasks).is_none()
                && !workspace.store.is_aliased(path)
        });
        let text = match &place {
            Some(place) => workspace
                .shelf
                .digest(place)
                .map_err(|error| Error::failed(format!("`{place}` cannot be read: {error}")))?,
            None => None,
        };
        let goes =
            text.is_none_or(|text| workspace.lock.records(task).iter().any(|record| record.built_is(text)));
        if goes && !dry_run {
            if let Some(place) = place.filter(|_| text.is_some()) {
                workspace
                    .store
                    .remove(&place)
                    .map_err(|error| Error::failed(format!("`{place}` cannot be removed: {error}")))?;
            }
            lock.remove(task);
        }
        orphans.push(Orphan { task: task.to_owned(), output: record.output.clone(), goes });
    }
    if !dry_run && orphans.iter().any(|orphan| orphan.goes) {
        commit(workspace, &lock)?;
    }
    Ok(orphans)
}
