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

use notify::event::ModifyKind;
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

/// How often folders are listed anew, while others come and go.
const TRIES: usize = 8;

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
        scope.files.extend(["meu.toml", "meu.lock", ".gitignore"].map(|name| root.join(name)));
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
    /// Whether some of them went, so that another folder may be where they were.
    lost: bool,
    scope: Scope,
}

impl Watch {
    /// A watch on nothing yet.
    pub fn new() -> Result<Self, Error> {
        let (sender, events) = mpsc::channel();
        let system = notify::recommended_watcher(sender)
            .map_err(|error| Error::failed(format!("the system's file events cannot be had: {error}")))?;
        Ok(Watch { system, events, watched: BTreeSet::new(), lost: false, scope: Scope::default() })
    }

    /// Watches this from now on. What happened before is still told by the next wait. Tells whether there are folders
    /// that were not watched until now: what happened in those before is told by nobody.
    pub fn set(&mut self, scope: Scope) -> Result<bool, Error> {
        self.scope = scope;
        self.lost = false;
        let mut grew = false;
        for _ in 0..TRIES {
            let folders = self.scope.folders();
            for gone in self.watched.difference(&folders) {
                // It may be gone from the disk, too.
                let _ = self.system.unwatch(gone);
            }
            self.watched.retain(|folder| folders.contains(folder));
            let new: Vec<PathBuf> = folders.difference(&self.watched).cloned().collect();
            if new.is_empty() {
                break;
            }
            grew = true;
            for folder in new {
                match self.system.watch(&folder, RecursiveMode::NonRecursive) {
                    Ok(()) => drop(self.watched.insert(folder)),
                    // It went meanwhile; what is there instead is listed the next time.
                    Err(_) if !folder.is_dir() => {}
                    Err(error) => {
                        let message = format!("the folder {} cannot be watched: {error}", folder.display());
                        return Err(Error::failed(message).help(
                            "on Linux `sysctl fs.inotify.max_user_watches` says how many folders a user may watch",
                        ));
                    }
                }
            }
        }
        Ok(grew)
    }

    /// Takes an event; tells whether it says that something of the scope changed.
    fn take(&mut self, event: &notify::Result<notify::Event>) -> bool {
        let event = match event {
            Ok(event) if !event.need_rescan() => event,
            // What was lost may have been anything.
            _ => return true,
        };
        if matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))) {
            // The system watches folders, not what is at a place: a new one there is to be watched anew.
            let (watched, system) = (&mut self.watched, &mut self.system);
            for path in event.paths.iter().filter(|path| watched.contains(*path)).collect::<Vec<_>>() {
                self.lost = true;
                watched.retain(|folder| {
                    let stays = !folder.starts_with(path);
                    if !stays {
                        let _ = system.unwatch(folder);
                    }
                    stays
                });
            }
        }
        !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(|path| self.scope.has(path))
    }

    /// Whether something changed since the last wait. Whoever is told so looks again, or waits no more.
    pub fn pending(&mut self) -> bool {
        while let Ok(event) = self.events.try_recv() {
            if self.take(&event) {
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
            if self.lost {
                return Woken::Changed;
            }
            let left = until.map_or(LOOK, |until| until.saturating_duration_since(Instant::now()).min(LOOK));
            match self.events.recv_timeout(left) {
                Ok(event) => {
                    if self.take(&event) {
                        self.burst();
                        return Woken::Changed;
                    }
                }
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
    fn burst(&mut self) {
        let began = Instant::now();
        while began.elapsed() < LONGEST_BURST {
            let Ok(event) = self.events.recv_timeout(QUIET) else { return };
            self.take(&event);
        }
    }
}
