//! What a finding was found from: every file and folder that was read or listed, by folder and name, and what was
//! in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::keep::LockAfter;
use super::sealed::{absent, now_in};
use super::tree::{ABSENT, Kind, Leaf, NEVER, Tree};
use super::{BOOKS, LOCK};
use crate::digest::Digest;
use crate::disk::{RACY, SETTINGS, Stat, Workspace, index_of_repository};

/// One thing that a finding depends on.
struct Entry {
    kind: Kind,
    digest: Digest,
    /// Whether the digest is of the very text that was read, not of what is there afterwards.
    was_read: bool,
    /// The stat that vouches for it, however young, if one does.
    vouched: Option<Stat>,
}

impl Entry {
    /// A file whose text was read.
    fn known(digest: Digest) -> Entry {
        Entry { kind: Kind::File, digest, was_read: true, vouched: None }
    }
}

/// All that a finding depends on, by folder and name.
pub(super) struct Read(BTreeMap<PathBuf, BTreeMap<OsString, Entry>>);

impl Read {
    /// What the loading and the evaluation of a workspace read. `None` if something of it cannot be read.
    pub(super) fn by(workspace: &Workspace, lock: LockAfter) -> Option<Read> {
        let store = &workspace.store;
        let root = store.root();
        let mut read = Read(BTreeMap::new());
        for (path, found) in workspace.shelf.seen() {
            let full = store.full(&path);
            // A name with accents is found in either of its spellings: the other one counts, too.
            for other in store.spellings(&path).into_iter().filter(|other| *other != full) {
                read.now(&other)?;
            }
            read.known(&full, found.ok()?.unwrap_or(absent()))?;
        }
        for (path, text) in workspace.task_texts()? {
            read.known(path, text)?;
        }
        match lock.digest {
            None => read.now(&root.join(LOCK))?,
            Some(digest) => {
                read.put(&root.join(LOCK), Entry { vouched: lock.stat, ..Entry::known(digest) })?
            }
        }
        // Its digest on the shelf is that of a part of it.
        read.now(&store.full(&workspace.graph.config.index))?;
        for name in SETTINGS {
            read.now(&root.join(name))?;
        }
        for name in BOOKS {
            read.now(&store.meu().join(name))?;
        }
        for folder in &workspace.listed.folders {
            read.add(folder, Kind::Folder)?;
            // A repository of its own is ignored by rules of its own.
            read.add(&folder.join(".git"), Kind::Place)?;
            read.now(&folder.join(".gitignore"))?;
        }
        read.places(root)?;
        for above in root.ancestors() {
            read.now(&above.join(".gitignore"))?;
            let git = above.join(".git");
            match git.is_file() {
                // Of a work tree of its own: it says where the repository is.
                true => read.now(&git)?,
                false => read.add(&git, Kind::Place)?,
            }
            if git.exists() {
                break;
            }
        }
        if let Some(index) = index_of_repository(root) {
            read.add(&index, Kind::GitIndex)?;
        }
        Some(read)
    }

    /// `None` for what is in no folder: the root of all.
    fn put(&mut self, path: &Path, entry: Entry) -> Option<()> {
        let (folder, name) = (path.parent()?, path.file_name()?);
        match self.0.get_mut(folder) {
            Some(entries) => drop(entries.insert(name.to_owned(), entry)),
            None => drop(self.0.insert(folder.to_owned(), BTreeMap::from([(name.to_owned(), entry)]))),
        }
        Some(())
    }

    /// A file whose text was read.
    fn known(&mut self, path: &Path, digest: Digest) -> Option<()> {
        self.put(path, Entry::known(digest))
    }

    /// A file whose text is what it is now, unless it changed of late.
    fn now(&mut self, path: &Path) -> Option<()> {
        self.put(path, Entry { was_read: false, ..Entry::known(now_in(Kind::File, path)?) })
    }

    /// Something that is no text.
    fn add(&mut self, path: &Path, kind: Kind) -> Option<()> {
        let digest = if kind == Kind::Folder { now_in(kind, path)? } else { absent() };
        self.put(path, Entry { kind, was_read: false, ..Entry::known(digest) })
    }

    /// The folders of all that is in the project must be these very folders: a symlink in place of one
    /// leads elsewhere.
    fn places(&mut self, root: &Path) -> Option<()> {
        let folders: BTreeSet<PathBuf> =
            self.0.keys().flat_map(|folder| folder.ancestors().map(Path::to_owned)).collect();
        for folder in folders.iter().filter(|folder| *folder != root && folder.starts_with(root)) {
            let listed =
                |read: &Self| read.0.get(folder.parent()?)?.get(folder.file_name()?).map(|entry| entry.kind);
            if listed(self).is_none() {
                self.add(folder, Kind::Place)?;
            }
        }
        Some(())
    }

    /// The numbers of files among all entries.
    pub(super) fn numbers(&self) -> impl Fn(&Path) -> Option<u32> {
        let mut numbers: HashMap<&Path, HashMap<&OsStr, u32>> = HashMap::new();
        let mut first = 0;
        for (folder, entries) in &self.0 {
            numbers.insert(folder, entries.keys().map(OsString::as_os_str).zip(first..).collect());
            first += entries.len() as u32;
        }
        move |path| numbers.get(path.parent()?)?.get(path.file_name()?).copied()
    }

    /// The tree and the digests of a seal. `None` if what is there now need not be what was read.
    pub(super) fn to_seal(&self, began: i128) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut tree = self.tree()?;
        let entries: Vec<&Entry> = self.0.values().flat_map(BTreeMap::values).collect();
        let folders = Tree::folders(&tree)?;
        let each = |leaf: &Leaf<'_>, stat| Some((leaf.index, leaf.stat_at, stat));
        let stats = Tree::new(&tree, &folders).walk(|| true, each)?;
        for (index, at, stat) in stats {
            let entry = entries[index];
            let young = stat.youngest() + RACY >= began && entry.vouched != Some(stat);
            let is_there = stat != ABSENT;
            match entry.kind {
                // Whoever it was when it was looked at may have gone, or come, since then.
                Kind::File if is_there == (entry.digest == absent()) => return None,
                Kind::Folder if !is_there || young => return None,
                Kind::Place => Tree::set(&mut tree, at, stat),
                // Its text is known, or git is asked: the next one does that again.
                Kind::File | Kind::GitIndex if young && (entry.was_read || entry.kind == Kind::GitIndex) => {
                    Tree::set(&mut tree, at, NEVER);
                }
                // What is there now need not be what was there when it was looked at.
                Kind::File if young => return None,
                _ => Tree::set(&mut tree, at, stat),
            }
        }
        Some((tree, entries.iter().flat_map(|entry| *entry.digest.as_bytes()).collect()))
    }

    fn tree(&self) -> Option<Vec<u8>> {
        let mut tree = Vec::new();
        for (folder, entries) in &self.0 {
            Tree::folder(&mut tree, folder, entries.iter().map(|(name, entry)| (&**name, entry.kind)))?;
        }
        Some(tree)
    }
}
