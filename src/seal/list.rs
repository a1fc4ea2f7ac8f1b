//! What `meu search` looks through, kept with all that the list was made from: so a search need not load the project.
//!
//! One file, `.meu/searched`, as `sealed` has it; its blobs are:
//!
//! ```text
//! texts  for each text, documents first, its key in the corpus (all zero if it was not there), and its entry (u32)
//! tasks  JSON: the ids of the tasks whose outputs the others are
//! ```
//!
//! Where only such texts changed, the list stands, and they are read anew.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::LOCK;
use super::keep::{is_plain, lock_after};
use super::read::Read;
use super::sealed::{Sealed, seal};
use crate::context::{Candidate, Searched, Shelf, Source, TextKey};
use crate::disk::{DiskShelf, Recorded, SEARCHED, SETTINGS, Store, Workspace};
use crate::path::RelPath;
use crate::spec::{ItemRef, Subject, Tier};

/// Its blobs.
const TEXTS: usize = 0;
const TASKS: usize = 1;

/// How long what is said of a text is.
const ROW: usize = TextKey::BYTES + 4;

/// The key of what is not there.
const ABSENT: [u8; TextKey::BYTES] = [0; TextKey::BYTES];

/// Marks the entry of a text whose change may change more than what is found in it.
const MORE: u32 = 1 << 31;

#[derive(Clone, Serialize, Deserialize)]
struct Finding {
    /// How many of the texts are documents.
    documents: usize,
}

/// What a search looks through, if nothing came, went or changed but some of the texts.
pub struct SearchList {
    sealed: Sealed<Finding>,
    root: PathBuf,
    texts: Vec<u8>,
    task_bytes: Vec<u8>,
    tasks: OnceCell<Vec<String>>,
    /// The texts that changed.
    changed: HashSet<usize>,
    /// The first entry of folders that somebody asked for, and the paths of all.
    paths: RefCell<HashMap<usize, (usize, Vec<PathBuf>)>>,
}

impl SearchList {
    /// The list of the last search; `shelf` is to have its texts.
    pub fn read(store: &Store, shelf: &DiskShelf) -> Option<SearchList> {
        let sealed: Sealed<Finding> = Sealed::read(store, SEARCHED)?;
        let (texts, task_bytes) = (sealed.blob(TEXTS)?, sealed.blob(TASKS)?);
        let mut list = SearchList {
            sealed,
            root: store.root().to_owned(),
            texts,
            task_bytes,
            tasks: OnceCell::new(),
            changed: HashSet::new(),
            paths: RefCell::default(),
        };
        if !list.sealed.changed.is_empty() {
            let entries: HashSet<u32> = list.sealed.changed.iter().copied().collect();
            list.changed = (0..list.count()).filter(|text| entries.contains(&list.entry(*text))).collect();
            // Each is one of the texts, and can still be read.
            let read = |text: &usize| shelf.digest(&list.path(*text)?).ok();
            if list.changed.len() != entries.len() || !list.changed.iter().all(|text| read(text).is_some()) {
                return None;
            }
        }
        Some(list)
    }

    fn rows(&self) -> &[[u8; ROW]] {
        self.texts.as_chunks().0
    }

    fn entry(&self, text: usize) -> u32 {
        let [.., a, b, c, d] = self.rows()[text];
        u32::from_le_bytes([a, b, c, d])
    }

    fn path(&self, text: usize) -> Option<RelPath> {
        let entry = (self.entry(text) & !MORE) as usize;
        let folder = self.sealed.tree().folder_of(entry)?;
        let mut known = self.paths.borrow_mut();
        let (first, paths) = known.entry(folder).or_insert_with(|| self.sealed.tree().paths_in(folder));
        RelPath::parse(paths.get(entry - *first)?.strip_prefix(&self.root).ok()?.to_str()?).ok()
    }

    /// The ids of the tasks whose outputs are in it.
    fn tasks(&self) -> &[String] {
        // The bytes are those that were written.
        self.tasks.get_or_init(|| serde_json::from_slice(&self.task_bytes).unwrap_or_default())
    }
}

impl Searched for SearchList {
    fn count(&self) -> usize {
        self.rows().len()
    }

    fn key(&self, text: usize, shelf: &dyn Shelf) -> Option<TextKey> {
        if self.changed.contains(&text) {
            let path = self.path(text)?;
            return Some(TextKey::of(shelf.digest(&path).ok()??, path.as_str()));
        }
        let key = *self.rows()[text].first_chunk()?;
        (key != ABSENT).then_some(TextKey::from_bytes(key))
    }

    fn candidate(&self, text: usize) -> Option<Cow<'_, Candidate>> {
        let path = self.path(text)?;
        let subject = match text.checked_sub(self.sealed.head.finding.documents) {
            None => Subject::Doc(path.to_string()),
            Some(task) => Subject::Task(self.tasks().get(task)?.clone()),
        };
        Some(Cow::Owned(Candidate {
            item: ItemRef::whole(subject),
            tier: Tier::Retrieved,
            pinned: false,
            source: Source::File { path, output_of: None, literal: false },
        }))
    }
}

/// Keeps what a search of the whole project looked through: documents and then outputs.
pub fn keep_list(workspace: &Workspace, searched: &[Candidate]) {
    // Where not all that was read is of the kind that a seal can vouch for, it is not kept.
    let _ = try_to_keep(workspace, searched);
}

fn try_to_keep(workspace: &Workspace, searched: &[Candidate]) -> Option<()> {
    if !is_plain(workspace) {
        return None;
    }
    let store = &workspace.store;
    let read = Read::by(workspace, lock_after(workspace, Recorded::Nothing)?)?;
    let (tree, digests) = read.to_seal(workspace.listed.began.by_files_of(&workspace.store))?;
    let number = read.numbers();
    let more = more_than_texts(workspace);
    let (mut texts, mut tasks) = (Vec::new(), Vec::new());
    for candidate in searched {
        let path = candidate.source.path()?;
        let full = store.full(path);
        let entry = number(&full)? | if more.contains(&full) { MORE } else { 0 };
        let key = workspace.shelf.digest(path).ok()?.map(|digest| TextKey::of(digest, path.as_str()));
        texts.extend(key.map_or(ABSENT, |key| *key.as_bytes()));
        texts.extend(entry.to_le_bytes());
        if let Subject::Task(id) = &candidate.item.subject {
            tasks.push(id);
        }
    }
    let finding = Finding { documents: searched.len() - tasks.len() };
    seal(store, SEARCHED, finding, (&tree, &digests), &[&texts, &serde_json::to_vec(&tasks).ok()?])
}

/// The files that say more than texts do: what a search looks through may depend on them, or whether there is an error
/// to be told.
fn more_than_texts(workspace: &Workspace) -> HashSet<PathBuf> {
    let store = &workspace.store;
    let mut more: HashSet<PathBuf> =
        workspace.listed.task_files.iter().map(|(_, path)| path.clone()).collect();
    more.extend(SETTINGS.iter().chain([&LOCK]).map(|name| store.root().join(name)));
    // Its digest is that of a part of it.
    more.insert(store.full(&workspace.graph.config.index));
    for (_, node) in workspace.graph.nodes() {
        // Sections that are named must be there, here and in prompts that take texts in place.
        let fills_in = node.task.prompt.as_ref().is_some_and(|prompt| prompt.value.contains('{'));
        let named = node.documents().filter(|input| fills_in || input.heading.is_some());
        more.extend(named.map(|input| &input.path).chain(node.schema()).map(|path| store.full(path)));
    }
    more
}
