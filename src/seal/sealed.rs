//! A sealed file: a finding, with all that it was found from.
//!
//! ```text
//! "meu seal 4\n"  length of head, of tree (u64 each)  BLAKE3 of head and tree
//! head            JSON: the program, the finding in short, lengths and digests of what comes after the digests
//! tree            per folder its path and what is in it: kind, name, stat (see `tree`)
//! digests         32 bytes for each entry of the tree: what was read; only looked at when in doubt
//! blobs           the finding at length, piece by piece
//! ```
//!
//! An entry whose stat is as recorded is as it was. Another stat of the same text changes nothing: it
//! was only touched. With git's rule, files that changed so shortly before they were read that the next
//! change could leave the same stat are read again. A folder in which tasks or documents are looked for
//! counts by the names in it, which tells files that come and go.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::tree::{Folder, Kind, Leaf, Tree};
use crate::digest::{Digest, Framer};
use crate::disk::{Durability, RACY, Stat, Store, has_text, now_in_nanoseconds, read_optional, tracks_meu};

const MAGIC: &[u8] = b"meu seal 4\n";

/// What stands before head and tree.
const FRONT: usize = MAGIC.len() + 8 + 8 + 32;

/// So many files that were only touched are worth a new seal, or so many bytes of them.
const MANY: usize = 8;
const MUCH: u64 = 64 * 1024;

/// More files than this that changed are no small part of a project.
const FAR_TOO_MANY: usize = 256;

/// What a sealed file says of itself, and the finding in short.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Head<F> {
    /// The program that looked: another one may see things otherwise.
    program: Stat,
    /// The project's folder: a copy elsewhere is another project.
    root: PathBuf,
    entries: usize,
    digests: Digest,
    blobs: Vec<Blob>,
    pub(super) finding: F,
}

#[derive(Clone, Serialize, Deserialize)]
struct Blob {
    length: usize,
    digest: Digest,
}

/// A finding that still stands, or stands but for what some files may change.
pub(super) struct Sealed<F> {
    file: File,
    pub(super) head: Head<F>,
    /// Head and tree.
    bytes: Vec<u8>,
    head_length: usize,
    folders: Vec<Folder>,
    /// The entries of files whose text is not as it was.
    pub(super) changed: Vec<u32>,
}

impl<F: Clone + Serialize + DeserializeOwned> Sealed<F> {
    /// A finding, if all that it was found from but some files is as it was.
    pub(super) fn read(store: &Store, name: &str) -> Option<Self> {
        let began = now_in_nanoseconds();
        let file = File::open(store.meu().join(name)).ok()?;
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
        let folders = Tree::folders(&bytes[head_length..])?;
        let check = || {
            let whole = Digest::of(&bytes).as_bytes() == sum;
            let head = whole.then(|| serde_json::from_slice::<Head<F>>(&bytes[..head_length]).ok())??;
            (program() == Some(head.program) && head.root == store.root()).then_some(head)
        };
        let look = |leaf: &Leaf<'_>, stat| {
            (leaf.stat != stat).then(|| (leaf.index, leaf.stat_at, leaf.kind, leaf.path(), leaf.stat, stat))
        };
        let (head, doubtful) = Tree::new(&bytes[head_length..], &folders).walk(check, look)?;
        let mut sealed = Sealed { file, head, bytes, head_length, folders, changed: Vec::new() };
        let mut touched = Vec::new();
        for (index, at, kind, path, before, stat) in doubtful {
            let same = match kind {
                // The same text behind a link may be out of bounds.
                Kind::File | Kind::Folder if path.is_symlink() => return None,
                Kind::Folder if stat.identity != before.identity => return None,
                Kind::File => sealed.digest(index).is_some_and(|digest| {
                    has_text(&path, digest) || (digest == absent() && now_in(kind, &path) == Some(digest))
                }),
                Kind::Folder => sealed.digest(index)? == now_in(kind, &path)?,
                Kind::GitIndex => !tracks_meu(store),
                Kind::Place => false,
            };
            match (same, kind) {
                (true, Kind::File | Kind::Folder) if stat.youngest() + RACY < began => {
                    touched.push((at, stat));
                }
                (true, _) => {}
                (false, Kind::File) if sealed.changed.len() < FAR_TOO_MANY => {
                    sealed.changed.push(index as u32);
                }
                (false, _) => return None,
            }
        }
        touched.iter().for_each(|(at, stat)| Tree::set(&mut sealed.bytes[head_length..], *at, *stat));
        let much = touched.iter().map(|(_, stat)| stat.size).sum::<u64>() >= MUCH;
        if sealed.changed.is_empty() && (much || touched.len() >= MANY) {
            sealed.renew(store, name);
        }
        Some(sealed)
    }

    pub(super) fn tree(&self) -> Tree<'_> {
        Tree::new(&self.bytes[self.head_length..], &self.folders)
    }

    /// Where the digests begin.
    fn digests_at(&self) -> u64 {
        (FRONT + self.bytes.len()) as u64
    }

    /// Writes the same with the stats that files have now.
    fn renew(&self, store: &Store, name: &str) {
        let blobs: usize = self.head.blobs.iter().map(|blob| blob.length).sum();
        let mut rest = vec![0; self.head.entries * 32 + blobs];
        if self.file.read_exact_at(&mut rest, self.digests_at()).is_ok() {
            write(store, name, &self.head, &self.bytes[self.head_length..], &[&rest]);
        }
    }

    /// Writes another finding of its kind in its place, with the stats of entries that have another digest.
    pub(super) fn replace(
        mut self,
        store: &Store,
        name: &str,
        finding: F,
        (digests, changed): (&[u8], &[(usize, Stat)]),
        blobs: &[&[u8]],
    ) {
        let tree = &mut self.bytes[self.head_length..];
        changed.iter().for_each(|(at, stat)| Tree::set(tree, *at, *stat));
        self.head.finding = finding;
        self.head.digests = Digest::of(digests);
        self.head.blobs = blobs.iter().map(Blob::of).collect();
        write(store, name, &self.head, tree, &[&[digests], blobs].concat());
    }

    fn digest(&self, index: usize) -> Option<Digest> {
        let mut bytes = [0; 32];
        self.file.read_exact_at(&mut bytes, self.digests_at() + 32 * index as u64).ok()?;
        Some(Digest::from_bytes(bytes))
    }

    /// All digests, if they are what was written: 32 bytes for each entry.
    pub(super) fn digests(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 32 * self.head.entries];
        self.file.read_exact_at(&mut bytes, self.digests_at()).ok()?;
        (Digest::of(&bytes) == self.head.digests).then_some(bytes)
    }

    /// One of the blobs, if it is what was written.
    pub(super) fn blob(&self, nth: usize) -> Option<Vec<u8>> {
        let blob = self.head.blobs.get(nth)?;
        let before: usize = self.head.blobs[..nth].iter().map(|blob| blob.length).sum();
        let at = self.digests_at() + (32 * self.head.entries + before) as u64;
        let mut bytes = vec![0; blob.length];
        self.file.read_exact_at(&mut bytes, at).ok()?;
        (Digest::of(&bytes) == blob.digest).then_some(bytes)
    }
}

impl Blob {
    fn of(bytes: &&[u8]) -> Self {
        Blob { length: bytes.len(), digest: Digest::of(bytes) }
    }
}

/// Seals a finding: `tree` and `digests` are of what it was found from. `None` if the program cannot be told.
pub(super) fn seal<F: Serialize>(
    store: &Store,
    name: &str,
    finding: F,
    (tree, digests): (&[u8], &[u8]),
    blobs: &[&[u8]],
) -> Option<()> {
    let head = Head {
        program: program()?,
        root: store.root().to_owned(),
        entries: digests.len() / 32,
        digests: Digest::of(digests),
        blobs: blobs.iter().map(Blob::of).collect(),
        finding,
    };
    write(store, name, &head, tree, &[&[digests], blobs].concat());
    Some(())
}

/// Writes a sealed file. It saves work only, so a failure is nobody's trouble.
fn write<F: Serialize>(store: &Store, name: &str, head: &Head<F>, tree: &[u8], rest: &[&[u8]]) {
    let Ok(head) = serde_json::to_vec(head) else { return };
    let Ok(sum) = Digest::of_all_in(head.chain(tree)) else { return };
    let lengths = [head.len(), tree.len()].map(|length| (length as u64).to_le_bytes());
    let pieces = [&[MAGIC, lengths.as_flattened(), sum.as_bytes(), &head, tree], rest].concat();
    let _ = store.write_meu_in_pieces(name, &pieces, Durability::Scratch);
}

/// The program that runs: its file.
fn program() -> Option<Stat> {
    Stat::at(&std::env::current_exe().ok()?)
}

/// In place of the digest of a file that is not there.
pub(super) fn absent() -> Digest {
    Digest::from_bytes([0; 32])
}

/// The digest of what is in a file or a folder now. `None` if it cannot be read.
pub(super) fn now_in(kind: Kind, path: &Path) -> Option<Digest> {
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
