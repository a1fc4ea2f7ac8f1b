//! Keeping a finding: all that it was found from, by folder and name, and what it was.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::table::Table;
use super::tree::{Kind, Stamp, Tree};
use super::{BOOKS, Blob, Head, LOCK, absent, now_in, program, write};
use crate::digest::Digest;
use crate::disk::{RACY, SETTINGS, Workspace, index_of_repository};
use crate::run::{Counts, Row};

/// Keeps what an evaluation of the whole project found; `lock` is the lock's text after it. `settled` says that a
/// run left nothing to do.
pub fn keep(workspace: &Workspace, rows: &[Row], lock: &str, settled: bool) {
    // Where not all that was read is of the kind that a seal can vouch for, there is none.
    let _ = try_to_keep(workspace, rows, lock, settled);
}

fn try_to_keep(workspace: &Workspace, rows: &[Row], lock: &str, settled: bool) -> Option<()> {
    let graph = &workspace.graph;
    // Warnings are told each time; what redaction takes out must not be stored here either; vectors come and
    // go with the cache.
    let plain = workspace.warnings.is_empty()
        && graph.config.redact.patterns.is_empty()
        && graph.nodes().all(|(ix, _)| graph.embedder(ix).is_none());
    let whole = workspace.shelf.is_steady() && rows.len() >= graph.len();
    let replay = &workspace.replay;
    if !plain || !whole || replay.found || replay.unreadable || !workspace.store.meu().is_dir() {
        return None;
    }
    let program = program()?;
    let read = Read::by(workspace, lock)?;
    let mut tree = read.tree()?;
    let entries: Vec<&Entry> = read.0.values().flat_map(BTreeMap::values).collect();
    let stamps = Tree::read(&tree)?.walk(|leaf, stamp| Some((leaf.index, leaf.stamp_at, stamp)));
    for (index, at, stamp) in stamps {
        let entry = entries[index];
        let young = stamp.youngest() + RACY >= workspace.listed.began;
        let is_there = stamp != Stamp::ABSENT;
        match entry.kind {
            // Whoever it was when it was looked at may have gone, or come, since then.
            Kind::File if is_there == (entry.digest == absent()) => return None,
            Kind::Folder if !is_there || young => return None,
            Kind::Place => Tree::set(&mut tree, at, stamp),
            // Its text is known, or git is asked: the next one does that again.
            Kind::File | Kind::GitIndex if young && (entry.was_read || entry.kind == Kind::GitIndex) => {
                Tree::set(&mut tree, at, Stamp::NEVER);
            }
            // What is there now need not be what was there when it was looked at.
            Kind::File if young => return None,
            _ => Tree::set(&mut tree, at, stamp),
        }
    }
    let loud = lines(rows.iter().filter(|row| !row.state.is_quiet()))?;
    let all = lines(rows)?;
    let table = read.table(workspace).map(|table| table.to_bytes()).unwrap_or_default();
    let digests: Vec<u8> = entries.iter().flat_map(|entry| *entry.digest.as_bytes()).collect();
    let head = Head {
        program,
        root: workspace.store.root().to_owned(),
        entries: entries.len(),
        digests: Digest::of(&digests),
        settled,
        passes: rows.iter().all(Row::passes_check),
        counts: Counts::of(rows),
        loud: Blob::of(&loud),
        all: Blob::of(&all),
        table: Blob::of(&table),
    };
    write(&workspace.store, &head, &tree, &[&digests, &loud, &all, &table]);
    Some(())
}

/// Rows, a line each.
pub(super) fn lines<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Option<Vec<u8>> {
    let mut lines = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut lines, row).ok()?;
        lines.push(b'\n');
    }
    Some(lines)
}

/// One thing that an evaluation depends on.
struct Entry {
    kind: Kind,
    digest: Digest,
    /// Whether the digest is of the very text that the evaluation read, not of what is there afterwards.
    was_read: bool,
}

/// All that an evaluation depends on, by folder and name.
struct Read(BTreeMap<PathBuf, BTreeMap<OsString, Entry>>);

impl Read {
    /// What the evaluation of a workspace read. `None` if something of it cannot be read.
    fn by(workspace: &Workspace, lock: &str) -> Option<Read> {
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
        let texts: HashMap<&str, &str> = workspace
            .graph
            .nodes()
            .map(|(_, node)| (node.task.id.source.path.as_str(), node.task.id.source.text.as_str()))
            .collect();
        for (shown, path) in &workspace.listed.task_files {
            read.known(path, Digest::of(texts.get(shown.as_str())?))?;
        }
        match lock {
            "" => read.now(&root.join(LOCK))?,
            text => read.known(&root.join(LOCK), Digest::of(text))?,
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
        self.put(path, Entry { kind: Kind::File, digest, was_read: true })
    }

    /// A file whose text is what it is now, unless it changed of late.
    fn now(&mut self, path: &Path) -> Option<()> {
        self.put(path, Entry { kind: Kind::File, digest: now_in(Kind::File, path)?, was_read: false })
    }

    /// Something that is no text.
    fn add(&mut self, path: &Path, kind: Kind) -> Option<()> {
        let digest = if kind == Kind::Folder { now_in(kind, path)? } else { absent() };
        self.put(path, Entry { kind, digest, was_read: false })
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

    /// Who reads which of these files.
    fn table(&self, workspace: &Workspace) -> Option<Table> {
        let folders =
            self.0.values().scan(0, |first, entries| Some(std::mem::replace(first, *first + entries.len())));
        let firsts: HashMap<&Path, usize> = self.0.keys().map(PathBuf::as_path).zip(folders).collect();
        let numbers: HashMap<&Path, HashMap<&OsStr, usize>> = self
            .0
            .iter()
            .map(|(folder, entries)| {
                (
                    folder.as_path(),
                    entries.keys().enumerate().map(|(at, name)| (name.as_os_str(), at)).collect(),
                )
            })
            .collect();
        Table::of(workspace, &|path| {
            let folder = path.parent()?;
            let number = firsts.get(folder)? + numbers.get(folder)?.get(path.file_name()?)?;
            u32::try_from(number).ok()
        })
    }

    fn tree(&self) -> Option<Vec<u8>> {
        let mut tree = Vec::new();
        for (folder, entries) in &self.0 {
            Tree::folder(&mut tree, folder, entries.iter().map(|(name, entry)| (&**name, entry.kind)))?;
        }
        Some(tree)
    }
}
