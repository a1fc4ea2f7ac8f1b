//! Keeping what an evaluation of the whole project found.

use super::read::Read;
use super::rows::lines;
use super::sealed::seal;
use super::table::Table;
use super::{Finding, NAME};
use crate::digest::Digest;
use crate::disk::{Recorded, Stat, Workspace};
use crate::run::{Counts, Row};

/// Keeps what an evaluation of the whole project found; `recorded` is what came to the lock by it.
/// `settled` says that a run left nothing to do.
pub fn keep(workspace: &Workspace, rows: &[Row], recorded: Recorded, settled: bool) {
    // Where not all that was read is of the kind that a seal can vouch for, there is none.
    let _ = try_to_keep(workspace, rows, recorded, settled);
}

fn try_to_keep(workspace: &Workspace, rows: &[Row], recorded: Recorded, settled: bool) -> Option<()> {
    let graph = &workspace.graph;
    // Vectors come and go with the cache.
    let embeds = graph.nodes().any(|(ix, _)| graph.embedder(ix).is_some());
    if embeds || rows.len() < graph.len() || !is_plain(workspace) {
        return None;
    }
    let read = Read::by(workspace, lock_after(workspace, recorded)?)?;
    let (tree, digests) = read.to_seal(workspace.listed.began.by_files_of(&workspace.store))?;
    let loud = lines(rows.iter().filter(|row| !row.state.is_quiet()))?;
    let all = lines(rows)?;
    let table = Table::of(workspace, &read.numbers()).map(|table| table.to_bytes()).unwrap_or_default();
    let passes = rows.iter().all(Row::passes_check);
    let finding = Finding { settled, passes, counts: Counts::of(rows) };
    seal(&workspace.store, NAME, finding, (&tree, &digests), &[&loud, &all, &table])
}

/// The lock once something came to it.
pub(super) struct LockAfter {
    /// Of its text, if there is a lock.
    pub(super) digest: Option<Digest>,
    /// The stat that vouches for it, however young, if one does.
    pub(super) stat: Option<Stat>,
}

/// `None` if others wrote to the lock, too: of that nothing was looked at.
pub(super) fn lock_after(workspace: &Workspace, recorded: Recorded) -> Option<LockAfter> {
    match recorded {
        Recorded::Nothing => Some(LockAfter { digest: workspace.lock_file.digest(), stat: None }),
        Recorded::Text { digest, stat } => Some(LockAfter { digest: Some(digest), stat }),
        Recorded::BesideOthers => None,
    }
}

/// Whether a seal can vouch for what was read.
pub(super) fn is_plain(workspace: &Workspace) -> bool {
    // What redaction takes out must not be stored here either.
    !workspace.is_odd()
        && workspace.graph.config.redact.patterns.is_empty()
        && workspace.shelf.is_steady()
        && workspace.store.meu().is_dir()
}
