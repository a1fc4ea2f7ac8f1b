//! The seal: what the last evaluation of the whole project found, with all that it had read. While every
//! file is as it was then, the finding stands, and nothing is read, parsed or decided again.
//!
//! A door (◇). The rest of the house does not know it: commands ask for it before they load a project, and
//! without it, or if anything is not as it was, they go the whole way. One file, `.meu/seal`:
//!
//! ```text
//! "meu seal 1\n"  length of head, of tree (u64 each)  BLAKE3 of head and tree
//! head            JSON: the program, the finding in numbers, lengths and digests of the rows
//! tree            per folder its path and what is in it: kind, name, stamp (see `tree`)
//! digests         32 bytes for each entry of the tree: the text that was read; only looked at when in doubt
//! rows            JSON: those that are not quiet, then all
//! ```
//!
//! An entry whose stamp is as recorded is as it was. Another stamp of the same text changes nothing: it
//! was only touched. With git's rule, files that changed so shortly before they were read that the next
//! change could leave the same stamp are read again. A folder in which tasks or documents are looked for
//! counts by its stamp too, which tells files that come and go.

// A door: what .clippy.toml forbids elsewhere is this room's work.
#![allow(clippy::disallowed_methods)]

mod tree;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::disk::{
    Durability, RACY, Store, Workspace, index_of_repository, now_in_nanoseconds, read_optional, tracks_meu,
};
use crate::run::{Counts, Row};
use tree::{Kind, Stamp, Tree, stamp_of};

const MAGIC: &[u8] = b"meu seal 1\n";
const NAME: &str = "seal";

/// What stands before head and tree.
const FRONT: usize = MAGIC.len() + 8 + 8 + 32;

/// So many files that were only touched are worth a new seal.
const MANY: usize = 8;

#[derive(Serialize, Deserialize)]
struct Head {
    /// The program that looked: another one may see things otherwise.
    program: Stamp,
    /// The project's folder: a copy elsewhere is another project.
    root: PathBuf,
    entries: usize,
    settled: bool,
    passes: bool,
    counts: Counts,
    loud: Blob,
    all: Blob,
}

#[derive(Serialize, Deserialize)]
struct Blob {
    length: usize,
    digest: Digest,
}

/// A finding that still stands.
pub struct Seal {
    file: File,
    head: Head,
    /// Where the digests begin.
    digests: u64,
}

impl Seal {
    /// The finding of the last evaluation, if all that it read is as it was.
    pub fn standing(store: &Store) -> Option<Seal> {
        let began = now_in_nanoseconds();
        let file = File::open(store.meu().join(NAME)).ok()?;
        let mut front = [0; FRONT];
        file.read_exact_at(&mut front, 0).ok()?;
        let rest = front.strip_prefix(MAGIC)?;
        let (head_length, rest) = rest.split_first_chunk::<8>()?;
        let (tree_length, sum) = rest.split_first_chunk::<8>()?;
        let head_length = usize::try_from(u64::from_le_bytes(*head_length)).ok()?;
        let tree_length = usize::try_from(u64::from_le_bytes(*tree_length)).ok()?;
        let length = head_length.checked_add(tree_length)?;
        // A damaged length must not ask for all the memory there is.
        if length as u64 > file.metadata().ok()?.len() {
            return None;
        }
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, FRONT as u64).ok()?;
        if Digest::of(&bytes).as_bytes() != sum {
            return None;
        }
        let head: Head = serde_json::from_slice(&bytes[..head_length]).ok()?;
        if program() != Some(head.program) || head.root != store.root() {
            return None;
        }
        let seal = Seal { file, head, digests: (FRONT + length) as u64 };
        let tree = Tree::read(&bytes[head_length..])?;
        let doubtful = tree.walk(|leaf, stamp| {
            (leaf.stamp != stamp).then(|| (leaf.index, leaf.stamp_at, leaf.kind, leaf.path(), stamp))
        });
        let mut touched = Vec::new();
        for (index, at, kind, path, stamp) in doubtful {
            let same = match kind {
                // The same text behind a link may be out of bounds.
                Kind::File if path.is_symlink() => false,
                Kind::File => seal.digest(index)? == digest_on_disk(&path)?,
                Kind::GitIndex => !tracks_meu(store),
                Kind::Folder | Kind::Place => false,
            };
            if !same {
                return None;
            }
            if kind == Kind::File && stamp.youngest() + RACY < began {
                touched.push((at, stamp));
            }
        }
        if touched.len() >= MANY {
            seal.renew(store, bytes, head_length, &touched);
        }
        Some(seal)
    }

    /// Whether there is a seal, standing or not.
    pub fn is_there(store: &Store) -> bool {
        store.meu().join(NAME).is_file()
    }

    /// Writes the same seal with new stamps of files whose text is the same. It saves work only, so a failure
    /// is nobody's trouble.
    fn renew(&self, store: &Store, mut bytes: Vec<u8>, head_length: usize, stamps: &[(usize, Stamp)]) {
        let (_, tree) = bytes.split_at_mut(head_length);
        for (at, stamp) in stamps {
            Tree::set(tree, *at, *stamp);
        }
        let tail = self.head.entries * 32 + self.head.loud.length + self.head.all.length;
        let mut rest = vec![0; tail];
        if self.file.read_exact_at(&mut rest, self.digests).is_ok() {
            let whole = [&front(&bytes, head_length)[..], &bytes, &rest].concat();
            let _ = store.write_meu(NAME, &whole, Durability::Scratch);
        }
    }

    fn digest(&self, index: usize) -> Option<Digest> {
        let mut bytes = [0; 32];
        self.file.read_exact_at(&mut bytes, self.digests + 32 * index as u64).ok()?;
        Some(Digest::from_bytes(bytes))
    }

    /// Whether a run would do nothing and write nothing.
    pub fn is_settled(&self) -> bool {
        self.head.settled && self.head.passes
    }

    /// Whether `status --check` passes.
    pub fn passes_check(&self) -> bool {
        self.head.passes
    }

    /// How many tasks there are in each state.
    pub fn counts(&self) -> &Counts {
        &self.head.counts
    }

    /// The rows, quiet ones too if `all`. `None` if the file is damaged.
    pub fn rows(&self, all: bool) -> Option<Vec<Row>> {
        let (loud, every) = (&self.head.loud, &self.head.all);
        let start = self.digests + 32 * self.head.entries as u64;
        let (at, blob) = if all { (start + loud.length as u64, every) } else { (start, loud) };
        let mut bytes = vec![0; blob.length];
        self.file.read_exact_at(&mut bytes, at).ok()?;
        (Digest::of(&bytes) == blob.digest).then(|| serde_json::from_slice(&bytes).ok())?
    }
}

/// Keeps what an evaluation of the whole project found. `settled` says that a run found nothing to do. It
/// saves work only, so a failure is nobody's trouble.
pub fn keep(workspace: &Workspace, rows: &[Row], settled: bool) {
    let store = &workspace.store;
    if let Some(bytes) = encode(workspace, rows, settled) {
        let _ = store.write_meu(NAME, &bytes, Durability::Scratch);
    }
}

/// `None` where not all that was read is of the kind that a seal can vouch for.
fn encode(workspace: &Workspace, rows: &[Row], settled: bool) -> Option<Vec<u8>> {
    let graph = &workspace.graph;
    // Warnings are told each time; what redaction takes out must not be stored here either; vectors come and
    // go with the cache.
    let plain = workspace.warnings.is_empty()
        && graph.config.redact.patterns.is_empty()
        && graph.nodes().all(|(ix, _)| graph.embedder(ix).is_none());
    let replay = &workspace.replay;
    if !plain || replay.found || replay.unreadable || !workspace.store.meu().is_dir() {
        return None;
    }
    let program = program()?;
    let read = Read::by(workspace)?;
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
    let loud: Vec<&Row> = rows.iter().filter(|row| !row.state.is_quiet()).collect();
    let loud = serde_json::to_vec(&loud).ok()?;
    let all = serde_json::to_vec(rows).ok()?;
    let blob = |bytes: &[u8]| Blob { length: bytes.len(), digest: Digest::of(bytes) };
    let head = Head {
        program,
        root: workspace.store.root().to_owned(),
        entries: entries.len(),
        settled,
        passes: rows.iter().all(Row::passes_check),
        counts: Counts::of(rows),
        loud: blob(&loud),
        all: blob(&all),
    };
    let head = serde_json::to_vec(&head).ok()?;
    let digests: Vec<u8> = entries.iter().flat_map(|entry| *entry.digest.as_bytes()).collect();
    let sealed = [&head[..], &tree].concat();
    Some([&front(&sealed, head.len())[..], &sealed, &digests, &loud, &all].concat())
}

/// What stands before head and tree.
fn front(sealed: &[u8], head: usize) -> Vec<u8> {
    let mut front = MAGIC.to_vec();
    front.extend((head as u64).to_le_bytes());
    front.extend(((sealed.len() - head) as u64).to_le_bytes());
    front.extend(Digest::of(sealed).as_bytes());
    front
}

/// The program that runs: its file.
fn program() -> Option<Stamp> {
    stamp_of(&std::env::current_exe().ok()?)
}

/// In place of the digest of a file that is not there.
fn absent() -> Digest {
    Digest::from_bytes([0; 32])
}

/// The digest of a file's text as it is now. `None` if it cannot be read.
fn digest_on_disk(path: &Path) -> Option<Digest> {
    Some(read_optional(path).ok()?.map_or(absent(), Digest::of))
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
    fn by(workspace: &Workspace) -> Option<Read> {
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
        match workspace.lock_text.as_str() {
            "" => read.now(&root.join("meu.lock"))?,
            text => read.known(&root.join("meu.lock"), Digest::of(text))?,
        }
        // Its digest on the shelf is that of a part of it.
        read.now(&store.full(&workspace.graph.config.index))?;
        for name in ["meu.toml", "templates/system.txt", "templates/task.txt"] {
            read.now(&root.join(name))?;
        }
        for name in ["journal", "failures.json"] {
            read.now(&store.meu().join(name))?;
        }
        for folder in &workspace.listed.folders {
            read.add(folder, Kind::Folder)?;
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
        self.put(path, Entry { kind: Kind::File, digest: digest_on_disk(path)?, was_read: false })
    }

    /// Something that is no text.
    fn add(&mut self, path: &Path, kind: Kind) -> Option<()> {
        self.put(path, Entry { kind, digest: absent(), was_read: false })
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

    fn tree(&self) -> Option<Vec<u8>> {
        let mut tree = Vec::new();
        for (folder, entries) in &self.0 {
            Tree::folder(&mut tree, folder, entries.iter().map(|(name, entry)| (&**name, entry.kind)))?;
        }
        Some(tree)
    }
}
