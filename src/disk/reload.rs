//! Loading a project again in the same process, as a watch does: what task files, `meu.toml`, templates and lock
//! say is read anew only if one of them changed; documents and outputs are looked at each time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::cores::on_all_cores;
use crate::diag::{Error, Sink};
use crate::digest::Digest;

use super::check::check_tracked;
use super::load::{Plan, finish};
use super::stamp::Stamp;
use super::{Began, FILES_WORTH_A_THREAD, SETTINGS, Workspace};

/// The files and folders that a plan was read from, as they were.
#[derive(Debug)]
pub(super) struct Stamps(Vec<Stamp>);

/// What loads a project from its folder.
pub type Loader = dyn Fn(&Path) -> Result<Workspace, Error>;

/// Loads a project; what `before` says of its plan stands if nothing of it changed.
pub fn reload(root: &Path, before: Option<Workspace>, load: &Loader) -> Result<Workspace, Error> {
    // What changes from now on is younger than the look at it.
    let began = Began::now();
    match before.filter(stands) {
        Some(before) => {
            let sink = Sink::default();
            check_tracked(&before.store, &sink);
            let mut listed = before.listed;
            listed.began = began;
            let plan = Plan {
                store: before.store,
                graph: before.graph,
                templates: Some(before.templates),
                lock: before.lock,
                lock_file: before.lock_file,
                redactor: before.redactor,
                listed,
                known: HashMap::new(),
            };
            finish(plan, sink)
        }
        None => load(root),
    }
}

impl Workspace {
    /// Notes what the plan was read from as it is, for [`reload`], unless that is noted.
    pub fn stamped(mut self) -> Self {
        if self.listed.stamps.is_none() {
            self.listed.stamps = stamps(&self);
        }
        self
    }
}

/// Whether all that a plan was read from is as it was.
fn stands(workspace: &Workspace) -> bool {
    let stamps = workspace.listed.stamps.as_ref().filter(|_| !workspace.is_odd());
    stamps.is_some_and(|Stamps(all)| {
        on_all_cores(all, FILES_WORTH_A_THREAD, Stamp::stands).into_iter().all(|stands| stands)
    })
}

/// What a plan was read from, as it is; `None` where that cannot be told from what was read.
fn stamps(workspace: &Workspace) -> Option<Stamps> {
    let root = workspace.store.root();
    let began = workspace.listed.began.by_files_of(&workspace.store);
    let mut all = Vec::new();
    let named = SETTINGS.map(|name| root.join(name));
    let ignores = workspace.listed.folders.iter().map(PathBuf::as_path).chain(root.ancestors());
    let ignores = ignores.map(|folder| folder.join(".gitignore"));
    let repositories = root.ancestors().map(|folder| folder.join(".git/HEAD"));
    let folders = workspace.listed.folders.iter().cloned();
    for path in named.into_iter().chain(ignores).chain(repositories).chain(folders) {
        let stamp = Stamp::of(path, began, None);
        if !stamp.is_old() {
            return None;
        }
        all.push(stamp);
    }
    let tasks = workspace.task_texts()?.into_iter();
    all.extend(tasks.map(|(path, text)| Stamp::of(path.to_owned(), began, Some(text))));
    let lock = workspace.lock_file.digest().unwrap_or_else(|| Digest::of(""));
    all.push(Stamp::of(root.join("meu.lock"), began, Some(lock)));
    Some(Stamps(all))
}
