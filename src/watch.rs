//! Waiting until one of the files that a project was read from changes.
//!
//! A door (◇). Events of the system only say that it is time to look again; what changed the next
//! evaluation finds out from contents. So it does no harm that one save makes several events, or that an
//! editor replaces a file by another of its name.

// A door: what .clippy.toml forbids elsewhere is this room's work.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::diag::Error;
use crate::disk::{Workspace, interrupted};
use crate::graph::glob_bases_of;

/// A burst of events is over after so long without one.
const QUIET: Duration = Duration::from_millis(10);

/// And after so long in any case.
const LONGEST_BURST: Duration = Duration::from_millis(500);

/// How often those who wait look whether a person wants to end it.
const LOOK: Duration = Duration::from_millis(100);

/// What is looked at: files, and folders in which new ones could appear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Files that were read, or would be if they were there.
    pub files: BTreeSet<PathBuf>,
    /// Folders with all that is below them.
    pub trees: BTreeSet<PathBuf>,
    /// Whatever is below these is never looked at.
    pub never: Vec<PathBuf>,
}

impl Scope {
    /// What is looked at while a project is not whole: all of it.
    pub fn whole(root: &Path) -> Self {
        Scope {
            files: BTreeSet::new(),
            trees: BTreeSet::from([root.to_owned()]),
            never: vec![root.join(".meu"), root.join(".git")],
        }
    }

    /// What an evaluation of a project reads, and where what it would read could appear.
    pub fn of(workspace: &Workspace) -> Self {
        let (graph, store) = (&workspace.graph, &workspace.store);
        let root = store.root();
        let mut scope = Scope { never: Scope::whole(root).never, ..Scope::default() };
        scope.files.extend(["meu.toml", "meu.lock"].map(|name| root.join(name)));
        scope.files.insert(store.full(&graph.config.index));
        scope.trees.extend([store.full(&graph.config.tasks), root.join("templates")]);
        for (_, node) in graph.nodes() {
            let documents = node.documents().map(|document| &document.path).chain(node.schema());
            scope.files.extend(documents.chain([&node.output]).map(|path| store.full(path)));
            scope.trees.extend(glob_bases_of(&node.task, &node.policy).map(|base| root.join(base)));
        }
        scope
    }

    fn has(&self, path: &Path) -> bool {
        let hidden = self.never.iter().any(|never| path.starts_with(never));
        !hidden && (self.files.contains(path) || self.trees.iter().any(|tree| path.starts_with(tree)))
    }

    /// The folders that the system is asked to watch: each is watched without what is below it.
    fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
        for file in &self.files {
            // A folder that is not there yet appears in one that is.
            folders.extend(file.ancestors().skip(1).find(|folder| folder.is_dir()).map(Path::to_owned));
        }
        let mut todo: Vec<PathBuf> = self.trees.iter().cloned().collect();
        while let Some(folder) = todo.pop() {
            if self.never.iter().any(|never| folder.starts_with(never)) {
                continue;
            }
            match std::fs::read_dir(&folder) {
                Ok(entries) => {
                    let below =
                        entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
                    todo.extend(below.map(|entry| entry.path()));
                    folders.insert(folder);
                }
                Err(_) => folders
                    .extend(folder.ancestors().skip(1).find(|folder| folder.is_dir()).map(Path::to_owned)),
            }
        }
        folders
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Something changed.
    Changed,
    /// Nothing did, for as long as was asked.
    Quiet,
    /// A person ends it.
    Interrupted,
}

/// A watch on a project's files.
pub struct Watch {
    system: RecommendedWatcher,
    events: Receiver<notify::Result<notify::Event>>,
    watched: BTreeSet<PathBuf>,
    scope: Scope,
}

impl Watch {
    /// A watch on nothing yet.
    pub fn new() -> Result<Self, Error> {
        let (sender, events) = mpsc::channel();
        let system = notify::recommended_watcher(sender)
            .map_err(|error| Error::failed(format!("the system's file events cannot be had: {error}")))?;
        Ok(Watch { system, events, watched: BTreeSet::new(), scope: Scope::default() })
    }

    /// Watches this from now on. What happened before is still told by the next wait.
    pub fn set(&mut self, scope: Scope) -> Result<(), Error> {
        let folders = scope.folders();
        for gone in self.watched.difference(&folders) {
            // It may be gone from the disk, too.
            let _ = self.system.unwatch(gone);
        }
        for new in folders.difference(&self.watched) {
            self.system.watch(new, RecursiveMode::NonRecursive).map_err(|error| {
                Error::failed(format!("the folder {} cannot be watched: {error}", new.display())).help(
                    "on Linux `sysctl fs.inotify.max_user_watches` says how many folders a user may watch",
                )
            })?;
        }
        self.watched = folders;
        self.scope = scope;
        Ok(())
    }

    /// Whether an event says that something of the scope changed.
    fn tells(&self, event: &notify::Result<notify::Event>) -> bool {
        match event {
            // What was lost may have been anything.
            Err(_) => true,
            Ok(event) if event.need_rescan() => true,
            Ok(event) => {
                !matches!(event.kind, EventKind::Access(_))
                    && event.paths.iter().any(|path| self.scope.has(path))
            }
        }
    }

    /// Whether something changed since the last wait. Nothing is forgotten by asking.
    pub fn pending(&mut self) -> bool {
        while let Ok(event) = self.events.try_recv() {
            if self.tells(&event) {
                return true;
            }
        }
        false
    }

    /// Waits until something changes, at most so long, and then for the end of the burst.
    pub fn wait(&mut self, most: Option<Duration>) -> Woken {
        let until = most.map(|most| Instant::now() + most);
        loop {
            if interrupted() {
                return Woken::Interrupted;
            }
            let left = until.map_or(LOOK, |until| until.saturating_duration_since(Instant::now()).min(LOOK));
            match self.events.recv_timeout(left) {
                Ok(event) if self.tells(&event) => {
                    self.burst();
                    return Woken::Changed;
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    if until.is_some_and(|until| Instant::now() >= until) {
                        return Woken::Quiet;
                    }
                }
                // The system's side is gone; looking now and then is all that is left.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(left),
            }
        }
    }

    /// Lets a burst of events go by.
    fn burst(&self) {
        let began = Instant::now();
        while began.elapsed() < LONGEST_BURST && self.events.recv_timeout(QUIET).is_ok() {}
    }
}
