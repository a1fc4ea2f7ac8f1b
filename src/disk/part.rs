//! Loading a part of a project: what a change may reach, and what that names.
//!
//! Whoever looked at the project as a whole says which part that is, and which files are as they were. Anything odd,
//! and there is no part: then the project is loaded as a whole, and says itself what is wrong.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diag::Sink;
use crate::digest::Digest;
use crate::graph::{Piece, Whole, build_part};
use crate::spec::{Project, Task};

use super::load::{Plan, finish, load_config, load_templates, read_tasks, redactor_of};
use super::{Listed, LockFile, Overlay, Store, Workspace};

/// A part of a project, and what is known of it.
#[derive(Debug)]
pub struct Wanted {
    /// Its tasks, by id.
    pub pieces: Vec<Piece>,
    /// The files that these are in, with the digests of their texts.
    pub files: Vec<(PathBuf, Digest)>,
    /// What it is a part of.
    pub whole: Whole,
    /// The lock's digest: it has a record for each task at most, and is written as meu writes it. That it is still this
    /// one is to be checked afterwards: by its stamp, or [`LockFile::is_as_known`].
    pub lock: Digest,
    /// Documents and outputs that are as they were, by their full path; `None` is a file that is not there.
    pub known: HashMap<PathBuf, Option<Digest>>,
}

/// The tasks in some files, if nothing is to be said of them.
pub fn read_tasks_in(store: &Store, files: impl Iterator<Item = PathBuf>) -> Option<Vec<Task>> {
    let sink = Sink::default();
    let config = load_config(store, &sink)?;
    let files = named(&store.full(&config.tasks), files)?;
    let tasks = read_tasks(store, &files, &config.tasks, &Overlay::new(), &sink);
    sink.into_sorted().is_empty().then_some(tasks)
}

/// Files with their names in the folder of tasks.
fn named(folder: &Path, files: impl IntoIterator<Item = PathBuf>) -> Option<Vec<(String, PathBuf)>> {
    let named = files.into_iter().map(|path| {
        let name = crate::path::nfc(path.strip_prefix(folder).ok()?.to_str()?);
        Some((name, path))
    });
    named.collect()
}

/// Loads a part of a project; `None` if it is not what it was taken for, or anything is to be said of it.
pub fn load_part(store: &Arc<Store>, wanted: Wanted) -> Option<Workspace> {
    let sink = Sink::default();
    let mut listed = Listed::default();
    let config = load_config(store, &sink)?;
    let (files, texts): (Vec<PathBuf>, Vec<Digest>) = wanted.files.into_iter().unzip();
    let files = named(&store.full(&config.tasks), files)?;
    listed.task_files =
        files.iter().map(|(name, path)| (format!("{}/{name}", config.tasks), path.clone())).collect();
    let mut tasks = read_tasks(store, &files, &config.tasks, &Overlay::new(), &sink);
    let ids: BTreeSet<&str> = wanted.pieces.iter().map(|piece| piece.id.as_str()).collect();
    let texts: HashMap<&str, Digest> =
        listed.task_files.iter().map(|(shown, _)| shown.as_str()).zip(texts).collect();
    let as_known = |task: &Task| {
        let source = &task.id.source;
        texts.get(source.path.as_str()) == Some(&Digest::of(&source.text))
    };
    if !tasks.iter().all(as_known) {
        return None;
    }
    // A file may have tasks that are of no concern.
    tasks.retain(|task| ids.contains(task.id.value.as_str()));
    let templates = load_templates(store, &config, &tasks, &sink);
    let redactor = redactor_of(&config);

    let lock_file = LockFile::open(store, wanted.lock)?;
    let inner = wanted.pieces.iter().filter(|piece| !piece.is_edge).map(|piece| piece.id.as_str());
    let lock = lock_file.records(inner)?;
    let graph = build_part(Project { config, tasks }, &wanted.pieces, wanted.whole, &sink)?;
    let mut known = HashMap::new();
    for (_, node) in graph.nodes() {
        let documents = node.documents().map(|input| &input.path);
        // INDEX.md's digest is that of a part of it.
        let files = documents.chain([&node.output]).chain(node.schema());
        for path in files.filter(|path| **path != graph.config.index) {
            if let Some(found) = wanted.known.get(&store.full(path)) {
                known.insert(path.clone(), *found);
            }
        }
    }
    let plan = Plan { store: store.clone(), graph, templates, lock, lock_file, redactor, listed, known };
    finish(plan, sink).ok().filter(|workspace| !workspace.is_odd())
}
