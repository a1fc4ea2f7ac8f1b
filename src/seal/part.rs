//! Where only some texts changed, of documents, of outputs or within tasks: what that may reach is loaded and looked
//! at, all else is as it was.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::keep::lock_after;
use super::rows::{lines, patched};
use super::sealed::{Change, absent, now_in};
use super::table::Table;
use super::tree::{ABSENT, Entries, Kind, NEVER};
use super::{ALL, BOOKS, Finding, JOURNAL, LOCK, LOUD, NAME, Seal, TABLE};
use crate::digest::Digest;
use crate::disk::{self, SETTINGS, Stat, Store, Workspace, load_part, read_tasks_in};
use crate::graph::{Ix, Piece, Whole};
use crate::plan::{State, Verdict};
use crate::run::{Counts, Ran, Row};
use crate::spec::Task;

/// Of more tasks than this the project is loaded as a whole: then what is stored of each saves more.
const MOST: usize = 1000;

/// A part of a project, and the finding of the whole.
pub struct Part {
    seal: Seal,
    /// The numbers of its tasks, those at its edge aside, and for each what it is in the workspace.
    tasks: Vec<(usize, Ix)>,
    /// The numbers of entries that may not be as they were once it was run: outputs, documents that changed, and what
    /// meu itself writes.
    own_or_changed: Vec<usize>,
    /// The rows of those tasks as they were, where they were not quiet.
    loud: HashMap<String, Row>,
    table: Table,
    is_edited: bool,
}

impl Seal {
    /// The part of the project that the files that changed may reach, loaded; `None` if it has to be loaded as a whole.
    pub fn part(self, store: &Arc<Store>) -> Option<(Part, Workspace)> {
        let mut table = Table::read(&self.0.blob(TABLE)?)?;
        let loud: HashMap<String, Row> =
            self.rows(false)?.into_iter().map(|row| (row.id.clone(), row)).collect();
        let (reached, edited) = self.reached(&mut table, &loud, store)?;
        if reached.is_empty() || reached.len() > MOST {
            return None;
        }
        let pieces = table.pieces(&reached);
        if pieces.len() > 4 * MOST {
            return None;
        }
        let (wanted, own_or_changed) = self.files_of(&table, pieces, &edited, store)?;
        let workspace = load_part(store, wanted)?;
        let graph = &workspace.graph;
        // Somebody may have saved, and have taken it back, since the stats were looked at.
        let mut shared = SETTINGS.map(|name| store.root().join(name)).to_vec();
        shared.push(store.full(&graph.config.index));
        let now = |path: &Path| Stat::at(path).unwrap_or(ABSENT);
        let as_it_was = |path: &PathBuf| self.0.tree().find(path).is_some_and(|leaf| leaf.stat == now(path));
        let lock = store.root().join(LOCK);
        if !shared.iter().all(as_it_was) || !(as_it_was(&lock) || workspace.lock_file.is_as_known()) {
            return None;
        }
        let inner = graph.nodes().map(|(ix, _)| ix).filter(|ix| !graph.is_edge(*ix));
        let tasks = reached.into_iter().zip(inner).collect();
        let is_edited = !edited.is_empty();
        let part = Part { seal: self, tasks, own_or_changed, loud, table, is_edited };
        Some((part, workspace))
    }

    /// The tasks that may not be as they were, by number, and those whose files were edited.
    fn reached(
        &self,
        table: &mut Table,
        loud: &HashMap<String, Row>,
        store: &Store,
    ) -> Option<(Vec<usize>, Vec<Task>)> {
        // What a run left as it is, it would leave again.
        let also: Option<Vec<usize>> = match self.finding().settled {
            true => Some(Vec::new()),
            false => loud.keys().map(|id| table.find(id)).collect(),
        };
        let (mut also, mut tasks) = (also?, Vec::new());
        let files: Entries = table.file.iter().copied().collect();
        let (edited, texts): (Vec<u32>, Vec<u32>) =
            self.0.changed.iter().copied().partition(|entry| files.has(*entry));
        if !edited.is_empty() {
            let tree = self.0.tree();
            let edited: Entries = edited.into_iter().collect();
            let leaves = tree.leaves().filter(|leaf| edited.has(leaf.index as u32));
            tasks = read_tasks_in(store, leaves.map(|leaf| leaf.path()))?;
            also.extend(table.edit(&edited, &tasks)?);
        }
        Some((table.reached(&texts, &also)?, tasks))
    }

    /// What is known of the files of a part, and the entries that its run may make others.
    fn files_of(
        &self,
        table: &Table,
        pieces: Vec<Piece>,
        edited: &[Task],
        store: &Store,
    ) -> Option<(disk::Wanted, Vec<usize>)> {
        let numbers = || pieces.iter().map(|piece| piece.number as usize);
        let inner = || pieces.iter().filter(|piece| !piece.is_edge).map(|piece| piece.number as usize);
        let files: Entries = numbers().map(|task| table.file[task]).collect();
        let mut texts: Entries = numbers().map(|task| table.output[task]).collect();
        texts.extend(inner().flat_map(|task| table.reads.of(task).iter().copied()));
        let changed: Entries = self.0.changed.iter().copied().collect();
        let lock = self.0.tree().find(&store.root().join(LOCK))?.index;
        let books = BOOKS.map(|name| self.0.tree().find(&store.meu().join(name)));
        let mut own: Entries = inner().map(|task| table.output[task]).collect();
        own.extend(books.iter().flatten().map(|book| book.index as u32).chain([lock as u32]));
        let digest = |entry: usize| self.0.digest(entry);
        let (mut task_files, mut known, mut own_or_changed) = (Vec::new(), HashMap::new(), Vec::new());
        let mut edits = HashMap::new();
        for task in edited {
            edits.insert(table.file[table.find(&task.id.value)?], Digest::of(&task.id.source.text));
        }
        for leaf in self.0.tree().leaves() {
            let entry = leaf.index as u32;
            if files.has(entry) {
                let text = edits.get(&entry).copied().or_else(|| digest(leaf.index))?;
                task_files.push((leaf.path(), text));
            }
            if texts.has(entry) && !changed.has(entry) {
                let digest = digest(leaf.index)?;
                known.insert(leaf.path(), (digest != absent()).then_some(digest));
            }
            if own.has(entry) || changed.has(entry) {
                own_or_changed.push(leaf.index);
            }
        }
        let (earlier, levels) = (table.earlier.clone(), table.level.clone());
        let whole = Whole { tasks: table.len(), earlier, levels };
        Some((disk::Wanted { pieces, files: task_files, whole, lock: digest(lock)?, known }, own_or_changed))
    }
}

impl Part {
    /// The rows of the project, quiet ones too if `all`, and how many there are of each state; given what was found of
    /// the part. `None` if the seal is damaged, or somebody has written over it since.
    pub fn rows(
        &self,
        workspace: &Workspace,
        verdicts: &[Option<Verdict>],
        all: bool,
    ) -> Option<(Vec<Row>, Counts)> {
        let now = self.own_rows(workspace, verdicts)?;
        let counts = self.counts(&now);
        let mut rows: HashMap<String, Row> = now.into_iter().map(|row| (row.id.clone(), row)).collect();
        let mut merged: Vec<Row> = self.seal.rows(all)?;
        for row in &mut merged {
            if let Some(new) = rows.remove(&row.id) {
                *row = new;
            }
        }
        // With `all` none is left.
        merged.extend(rows.into_values());
        merged.retain(|row| all || !row.state.is_quiet());
        merged.sort_by(|a, b| a.id.cmp(&b.id));
        Some((merged, counts))
    }

    /// The ids of all tasks of the project.
    pub fn ids(&self) -> impl Iterator<Item = String> {
        (0..self.table.len()).map(|task| self.table.id(task))
    }

    /// Keeps what is known of the project after the part was run, if nothing is left to do in it.
    pub fn keep(self, workspace: &Workspace, ran: &Ran) {
        if ran.is_final() && workspace.shelf.is_steady() {
            let _ = self.try_to_keep(workspace, ran);
        }
    }

    fn try_to_keep(self, workspace: &Workspace, ran: &Ran) -> Option<()> {
        let store = &workspace.store;
        let rows = self.own_rows(workspace, &ran.verdicts)?;
        let own: HashSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let mut loud = self.seal.rows(false)?;
        loud.retain(|row| !own.contains(row.id.as_str()));
        loud.extend(rows.iter().filter(|row| !row.state.is_quiet()).cloned());
        loud.sort_by(|a, b| a.id.cmp(&b.id));
        let passes = loud.iter().all(Row::passes_check);
        let finding = Finding { settled: self.seal.finding().settled, passes, counts: self.counts(&rows) };
        let numbered = self.tasks.iter().zip(&rows).map(|((number, _), row)| (*number, row));
        let all = patched(&self.seal.0.blob(ALL)?, numbered)?;
        let mut blobs = vec![None; 3];
        (blobs[LOUD], blobs[ALL]) = (Some(lines(&loud)?), Some(all));
        blobs[TABLE] = self.is_edited.then(|| self.table.to_bytes());

        // What this run saw and wrote, not what it became since then.
        let mut seen: HashMap<PathBuf, Digest> = HashMap::new();
        for (path, found) in workspace.shelf.seen() {
            seen.insert(store.full(&path), found.ok()?.unwrap_or(absent()));
        }
        let files: HashMap<&str, &PathBuf> =
            workspace.listed.task_files.iter().map(|(shown, path)| (shown.as_str(), path)).collect();
        for (_, ix) in &self.tasks {
            let source = &workspace.graph.node(*ix).task.id.source;
            seen.insert(files.get(source.path.as_str())?.to_path_buf(), Digest::of(&source.text));
        }
        let (lock_path, lock) = (store.root().join(LOCK), lock_after(workspace, ran.recorded)?);
        seen.insert(lock_path.clone(), lock.digest.unwrap_or(absent()));
        for name in BOOKS {
            let path = store.meu().join(name);
            let digest = now_in(Kind::File, &path)?;
            // A journal that is still there has what nothing else has.
            if name == JOURNAL && digest != absent() {
                return None;
            }
            seen.insert(path, digest);
        }
        let mut changes = Vec::new();
        for leaf in
            self.seal.0.tree().leaves().filter(|leaf| self.own_or_changed.binary_search(&leaf.index).is_ok())
        {
            let path = leaf.path();
            let digest = *seen.get(&path)?;
            if self.seal.0.digest(leaf.index)? != digest {
                // Of most it is not known whether they are still what was seen: the next one looks.
                let stat = lock.stat.filter(|_| path == lock_path).unwrap_or(NEVER);
                changes.push(Change { index: leaf.index, stat_at: leaf.stat_at, stat, digest });
            }
        }
        self.seal.0.replace(store, NAME, finding, &changes, blobs)
    }

    fn own_rows(&self, workspace: &Workspace, verdicts: &[Option<Verdict>]) -> Option<Vec<Row>> {
        let row = |ix: Ix| Some(Row::of(&workspace.graph, ix, verdicts[ix.0].as_ref()?));
        self.tasks.iter().map(|(_, ix)| row(*ix)).collect()
    }

    /// How many tasks there are in each state, with these in place of what they were.
    fn counts(&self, rows: &[Row]) -> Counts {
        let mut counts = self.seal.counts().clone();
        for row in rows {
            let before = self.loud.get(&row.id).map_or(State::Fresh, |row| row.state);
            counts.exchange(before, row.state);
        }
        counts
    }
}
