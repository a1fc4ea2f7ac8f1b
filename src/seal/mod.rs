//! The seal: what the last evaluation of the whole project found, with all that it had read. While every
//! file is as it was then, the finding stands, and nothing is read, parsed or decided again. Where only texts
//! changed, of documents, of outputs or within tasks, what that may reach is looked at, and all else is as it was
//! (see `part`).
//!
//! A door (◇). The rest of the house does not know it: commands ask for it before they load a project, and
//! without it, or if anything else is not as it was, they go the whole way. One file, `.meu/seal`:
//!
//! ```text
//! "meu seal 2\n"  length of head, of tree (u64 each)  BLAKE3 of head and tree
//! head            JSON: the program, the finding in numbers, lengths and digests of what comes after the digests
//! tree            per folder its path and what is in it: kind, name, stamp (see `tree`)
//! digests         32 bytes for each entry of the tree: what was read; only looked at when in doubt
//! rows            JSON, a line each: those that are not quiet, then all
//! table           who reads what, who comes after whom (see `table`); nothing where no part can be told
//! ```
//!
//! An entry whose stamp is as recorded is as it was. Another stamp of the same text changes nothing: it
//! was only touched. With git's rule, files that changed so shortly before they were read that the next
//! change could leave the same stamp are read again. A folder in which tasks or documents are looked for
//! counts by the names in it, which tells files that come and go.

// A door: what .clippy.toml forbids elsewhere is this room's work.
#![allow(clippy::disallowed_methods)]

mod keep;
mod part;
mod table;
mod tree;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Framer};
use crate::disk::{Durability, RACY, Store, now_in_nanoseconds, read_optional, tracks_meu};
use crate::run::{Counts, Row};
use tree::{Kind, Stamp, Tree, stamp_of};

pub use keep::keep;
pub use part::Part;

const MAGIC: &[u8] = b"meu seal 2\n";
const NAME: &str = "seal";

/// What else meu itself writes that counts: the lock, and in `.meu/` what a run leaves.
const LOCK: &str = "meu.lock";
const JOURNAL: &str = "journal";
const BOOKS: [&str; 2] = [JOURNAL, "failures.json"];

/// What stands before head and tree.
const FRONT: usize = MAGIC.len() + 8 + 8 + 32;

/// So many files that were only touched are worth a new seal, or so many bytes of them.
const MANY: usize = 8;
const MUCH: u64 = 64 * 1024;

/// More files than this that changed are no small part of a project.
const FAR_TOO_MANY: usize = 256;

#[derive(Clone, Serialize, Deserialize)]
struct Head {
    /// The program that looked: another one may see things otherwise.
    program: Stamp,
    /// The project's folder: a copy elsewhere is another project.
    root: PathBuf,
    entries: usize,
    digests: Digest,
    settled: bool,
    passes: bool,
    counts: Counts,
    loud: Blob,
    all: Blob,
    table: Blob,
}

#[derive(Clone, Serialize, Deserialize)]
struct Blob {
    length: usize,
    digest: Digest,
}

impl Blob {
    fn of(bytes: &[u8]) -> Self {
        Blob { length: bytes.len(), digest: Digest::of(bytes) }
    }
}

/// A finding that still stands, or stands but for what some files may change.
pub struct Seal {
    file: File,
    head: Head,
    /// Head and tree.
    bytes: Vec<u8>,
    head_length: usize,
    /// The entries of files whose text is not as it was.
    changed: Vec<u32>,
}

impl Seal {
    /// The finding of the last evaluation, if all that it read but some files is as it was.
    pub fn read(store: &Store) -> Option<Seal> {
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
        let mut seal = Seal { file, head, bytes, head_length, changed: Vec::new() };
        let doubtful = seal.tree()?.walk(|leaf, stamp| {
            (leaf.stamp != stamp)
                .then(|| (leaf.index, leaf.stamp_at, leaf.kind, leaf.path(), leaf.stamp, stamp))
        });
        let mut touched = Vec::new();
        for (index, at, kind, path, before, stamp) in doubtful {
            let same = match kind {
                // The same text behind a link may be out of bounds.
                Kind::File | Kind::Folder if path.is_symlink() => return None,
                Kind::Folder if !stamp.is_of_same_file(&before) => return None,
                Kind::File => seal.digest(index).is_some_and(|digest| is_of(digest, &path)),
                Kind::Folder => seal.digest(index)? == now_in(kind, &path)?,
                Kind::GitIndex => !tracks_meu(store),
                Kind::Place => false,
            };
            match (same, kind) {
                (true, Kind::File | Kind::Folder) if stamp.youngest() + RACY < began => {
                    touched.push((at, stamp));
                }
                (true, _) => {}
                (false, Kind::File) if seal.changed.len() < FAR_TOO_MANY => {
                    seal.changed.push(index as u32);
                }
                (false, _) => return None,
            }
        }
        let much = touched.iter().map(|(_, stamp)| stamp.size()).sum::<u64>() >= MUCH;
        if seal.stands() && (much || touched.len() >= MANY) {
            seal.renew(store, &touched);
        }
        Some(seal)
    }

    /// Whether all is as it was.
    pub fn stands(&self) -> bool {
        self.changed.is_empty()
    }

    /// Whether there is a seal, standing or not.
    pub fn is_there(store: &Store) -> bool {
        store.meu().join(NAME).is_file()
    }

    fn tree(&self) -> Option<Tree<'_>> {
        Tree::read(&self.bytes[self.head_length..])
    }

    /// Where the digests begin.
    fn digests(&self) -> u64 {
        (FRONT + self.bytes.len()) as u64
    }

    /// Writes the same seal with new stamps of files whose text is the same.
    fn renew(&self, store: &Store, stamps: &[(usize, Stamp)]) {
        let mut tree = self.bytes[self.head_length..].to_vec();
        for (at, stamp) in stamps {
            Tree::set(&mut tree, *at, *stamp);
        }
        let Head { entries, loud, all, table, .. } = &self.head;
        let mut rest = vec![0; entries * 32 + loud.length + all.length + table.length];
        if self.file.read_exact_at(&mut rest, self.digests()).is_ok() {
            write(store, &self.head, &tree, &[&rest]);
        }
    }

    fn digest(&self, index: usize) -> Option<Digest> {
        let mut bytes = [0; 32];
        self.file.read_exact_at(&mut bytes, self.digests() + 32 * index as u64).ok()?;
        Some(Digest::from_bytes(bytes))
    }

    /// Whether a run would do nothing and write nothing, as long as all is as it was.
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
        let lines = if all { self.all()? } else { self.loud()? };
        lines.split_inclusive(|byte| *byte == b'\n').map(|line| serde_json::from_slice(line).ok()).collect()
    }

    fn loud(&self) -> Option<Vec<u8>> {
        self.blob(0, &self.head.loud)
    }

    fn all(&self) -> Option<Vec<u8>> {
        self.blob(self.head.loud.length, &self.head.all)
    }

    fn table(&self) -> Option<Vec<u8>> {
        self.blob(self.head.loud.length + self.head.all.length, &self.head.table)
    }

    /// All digests, if they are what was written: 32 bytes for each entry.
    fn all_digests(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 32 * self.head.entries];
        self.file.read_exact_at(&mut bytes, self.digests()).ok()?;
        (Digest::of(&bytes) == self.head.digests).then_some(bytes)
    }

    /// Some bytes after the digests, if they are what was written.
    fn blob(&self, after: usize, blob: &Blob) -> Option<Vec<u8>> {
        let at = self.digests() + (32 * self.head.entries + after) as u64;
        let mut bytes = vec![0; blob.length];
        self.file.read_exact_at(&mut bytes, at).ok()?;
        (Digest::of(&bytes) == blob.digest).then_some(bytes)
    }
}

/// Writes a seal. It saves work only, so a failure is nobody's trouble.
fn write(store: &Store, head: &Head, tree: &[u8], rest: &[&[u8]]) {
    let Ok(head) = serde_json::to_vec(head) else { return };
    let Ok(sum) = Digest::of_all_in(head.chain(tree)) else { return };
    let lengths = [head.len(), tree.len()].map(|length| (length as u64).to_le_bytes());
    let pieces = [&[MAGIC, lengths.as_flattened(), sum.as_bytes(), &head, tree], rest].concat();
    let _ = store.write_meu_in_pieces(NAME, &pieces, Durability::Scratch);
}

/// The program that runs: its file.
fn program() -> Option<Stamp> {
    stamp_of(&std::env::current_exe().ok()?)
}

/// In place of the digest of a file that is not there.
fn absent() -> Digest {
    Digest::from_bytes([0; 32])
}

/// Whether a file's text has a digest. Most are as they are stored, and need not be held in memory.
fn is_of(digest: Digest, path: &Path) -> bool {
    // Opening a pipe waits for somebody to write.
    let is_file = std::fs::metadata(path).is_ok_and(|meta| meta.is_file());
    let stored = || File::open(path).and_then(Digest::of_all_in).ok();
    (is_file && stored() == Some(digest)) || now_in(Kind::File, path) == Some(digest)
}

/// The digest of what is in a file or a folder now. `None` if it cannot be read.
fn now_in(kind: Kind, path: &Path) -> Option<Digest> {
    match kind {
        Kind::Folder => digest_of_names(path).ok(),
        _ => Some(read_optional(path).ok()?.map_or(absent(), Digest::of)),
    }
}

/// The digest of the names in a folder, but for hidden ones, which nobody looks for.
fn digest_of_names(folder: &Path) -> std::io::Result<Digest> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let name = entry.file_name().into_encoded_bytes();
        if !name.starts_with(b".") {
            names.push((name, [u8::from(kind.is_dir()) + 2 * u8::from(kind.is_symlink())]));
        }
    }
    names.sort();
    let mut framer = Framer::new("meu names v1");
    for (name, kind) in names {
        framer.field(name).field(kind);
    }
    Ok(framer.finish())
}
