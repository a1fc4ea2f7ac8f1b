//! A sealed file: a finding, with all that it was found from.
//!
//! ```text
//! "meu seal 4\n"  length of head, of tree (u64 each)  BLAKE3 of head and tree
//! head            JSON: the program, the finding in short, lengths and digests of what comes after; spaces at its end
//! tree            per folder its path and what is in it: kind, name, stat (see `tree`)
//! digests         32 bytes for each entry of the tree: what was read; only looked at when in doubt
//! blobs           the finding at length, piece by piece
//! ```
//!
//! An entry whose stat is as recorded is as it was. Another stat of the same text changes nothing: it
//! was only touched. With git's rule, files that changed so shortly before they were read that the next
//! change could leave the same stat are read again. A folder in which tasks or documents are looked for
//! counts by the names in it, which tells files that come and go.
//!
//! Where a new finding differs in little, that is written over what was: of a large project tens of megabytes stay
//! as they are. The front has the digest of head and tree, the head those of all else: whoever reads meanwhile, or
//! after that was cut off, finds that the pieces are of two versions, and takes none.

use std::fs::File;
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

/// The head's length is a multiple of it, so that another number of digits does not move all that comes after.
const HEAD_STEP: usize = 256;

/// So many files that were only touched are worth writing their stats down, or so many bytes of them.
const MANY: usize = 8;
const MUCH: u64 = 64 * 1024;

/// Writing so many bytes takes as long as writing at another place.
const PLACE: usize = 2048;

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

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Blob {
    length: usize,
    digest: Digest,
}

/// A finding that still stands, or stands but for what some files may change.
pub(super) struct Sealed<F> {
    file: File,
    pub(super) head: Head<F>,
    /// Of the head that is in the file.
    head_length: usize,
    tree: Vec<u8>,
    folders: Vec<Folder>,
    /// The digests of all entries, 32 bytes each; none if every stat is as it was.
    digests: Vec<u8>,
    /// The entries of files whose text is not as it was.
    pub(super) changed: Vec<u32>,
    /// Where stats stand in the tree that are others in the file.
    restated: Vec<usize>,
}

/// What an entry is from now on.
pub(super) struct Change {
    pub(super) index: usize,
    pub(super) stat_at: usize,
    pub(super) stat: Stat,
    pub(super) digest: Digest,
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
        // A damaged length must not ask for all the memory there is.
        if head_length.checked_add(tree_length)? as u64 > file.metadata().ok()?.len() {
            return None;
        }
        let read = |at, length| {
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, at as u64).ok()?;
            Some(bytes)
        };
        let head_bytes = read(FRONT, head_length)?;
        let head: Head<F> = serde_json::from_slice(&head_bytes).ok()?;
        if program() != Some(head.program) || head.root != store.root() {
            return None;
        }
        let tree = read(FRONT + head_length, tree_length)?;
        let folders = Tree::folders(&tree)?;
        let is_whole = || Digest::of_pieces(&[&head_bytes, &tree]).as_bytes() == sum;
        let look = |leaf: &Leaf<'_>, stat| {
            (leaf.stat != stat).then(|| (leaf.index, leaf.stat_at, leaf.kind, leaf.path(), leaf.stat, stat))
        };
        let doubtful = Tree::new(&tree, &folders).walk(is_whole, look)?;
        let (digests, changed, restated) = (Vec::new(), Vec::new(), Vec::new());
        let mut sealed = Sealed { file, head, head_length, tree, folders, digests, changed, restated };
        if !doubtful.is_empty() {
            sealed.digests = sealed.read_digests()?;
        }
        let mut touched_bytes = 0;
        for (index, at, kind, path, before, stat) in doubtful {
            let digest = sealed.digest(index)?;
            let same = match kind {
                // The same text behind a link may be out of bounds.
                Kind::File | Kind::Folder if path.is_symlink() => return None,
                Kind::Folder if stat.identity != before.identity => return None,
                Kind::File => {
                    has_text(&path, digest) || (digest == absent() && now_in(kind, &path) == Some(digest))
                }
                Kind::Folder => digest == now_in(kind, &path)?,
                Kind::GitIndex => tracks_meu(store) == Some(false),
                Kind::Place => false,
            };
            match (same, kind) {
                (true, Kind::File | Kind::Folder) if stat.youngest() + RACY < began => {
                    sealed.restate(at, stat);
                    touched_bytes += stat.size;
                }
                (true, _) => {}
                (false, Kind::File) if sealed.changed.len() < FAR_TOO_MANY => {
                    sealed.changed.push(index as u32);
                }
                (false, _) => return None,
            }
        }
        if sealed.changed.is_empty() && (touched_bytes >= MUCH || sealed.restated.len() >= MANY) {
            let blobs = vec![None; sealed.head.blobs.len()];
            // It saves work only, as all here.
            let _ = sealed.write(store, name, &sealed.head.blobs, &[], blobs);
        }
        Some(sealed)
    }

    pub(super) fn tree(&self) -> Tree<'_> {
        Tree::new(&self.tree, &self.folders)
    }

    /// What was read of an entry, where not every stat is as it was.
    pub(super) fn digest(&self, index: usize) -> Option<Digest> {
        self.digests.as_chunks().0.get(index).copied().map(Digest::from_bytes)
    }

    /// All digests, if they are what was written.
    fn read_digests(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 32 * self.head.entries];
        self.file.read_exact_at(&mut bytes, self.digests_at() as u64).ok()?;
        (Digest::of(&bytes) == self.head.digests).then_some(bytes)
    }

    /// Where the digests begin.
    fn digests_at(&self) -> usize {
        FRONT + self.head_length + self.tree.len()
    }

    /// Makes a stat another one.
    fn restate(&mut self, at: usize, stat: Stat) {
        Tree::set(&mut self.tree, at, stat);
        self.restated.push(at);
    }

    /// Makes it another finding. Blobs that are as they were need not be given.
    pub(super) fn replace(
        mut self,
        store: &Store,
        name: &str,
        finding: F,
        changes: &[Change],
        blobs: Vec<Option<Vec<u8>>>,
    ) -> Option<()> {
        for change in changes {
            self.restate(change.stat_at, change.stat);
            let digest = self.digests.get_mut(32 * change.index..)?.get_mut(..32)?;
            digest.copy_from_slice(change.digest.as_bytes());
        }
        self.head.finding = finding;
        self.head.digests = Digest::of(&self.digests);
        let before = self.head.blobs.clone();
        for (blob, new) in self.head.blobs.iter_mut().zip(&blobs) {
            if let Some(new) = new {
                *blob = Blob::of(new);
            }
        }
        self.write(store, name, &before, changes, blobs)
    }

    /// Writes what is another now: over what was, or a new file if something would have to move, or if the one that this
    /// was read from is not there any more. `before` are the blobs of that one.
    fn write(
        &self,
        store: &Store,
        name: &str,
        before: &[Blob],
        changes: &[Change],
        blobs: Vec<Option<Vec<u8>>>,
    ) -> Option<()> {
        let head = self.head.to_bytes()?;
        let moves = before.iter().zip(&self.head.blobs).any(|(before, now)| before.length != now.length);
        if head.len() == self.head_length && !moves {
            let sum = Digest::of_pieces(&[&head, &self.tree]);
            let tree_at = FRONT + self.head_length;
            let mut pieces: Vec<(usize, &[u8])> = vec![(FRONT - 32, sum.as_bytes()), (FRONT, &head)];
            if self.restated.len() < self.tree.len() / PLACE {
                let stat = |at: &usize| (tree_at + at, &self.tree[*at..at + Stat::BYTES]);
                pieces.extend(self.restated.iter().map(stat));
            } else {
                pieces.push((tree_at, &self.tree));
            }
            for change in changes {
                pieces.push((self.digests_at() + 32 * change.index, change.digest.as_bytes()));
            }
            for nth in (0..before.len()).filter(|nth| before[*nth] != self.head.blobs[*nth]) {
                pieces.push((self.blob_at(before, nth), blobs[nth].as_ref()?));
            }
            if store.write_meu_over(name, &self.file, &pieces).is_ok() {
                return Some(());
            }
        }
        let stays = |nth| self.blob_of(before, nth);
        let all = blobs.into_iter().enumerate().map(|(nth, new)| new.or_else(|| stays(nth)));
        let all = all.collect::<Option<Vec<_>>>()?;
        let rest: Vec<&[u8]> = [&self.digests].into_iter().chain(&all).map(Vec::as_slice).collect();
        write_anew(store, name, &head, &self.tree, &rest);
        Some(())
    }

    /// One of the blobs, if it is what was written.
    pub(super) fn blob(&self, nth: usize) -> Option<Vec<u8>> {
        self.blob_of(&self.head.blobs, nth)
    }

    fn blob_of(&self, blobs: &[Blob], nth: usize) -> Option<Vec<u8>> {
        let blob = blobs.get(nth)?;
        let mut bytes = vec![0; blob.length];
        self.file.read_exact_at(&mut bytes, self.blob_at(blobs, nth) as u64).ok()?;
        (Digest::of(&bytes) == blob.digest).then_some(bytes)
    }

    /// Where one of the blobs begins.
    fn blob_at(&self, blobs: &[Blob], nth: usize) -> usize {
        let before: usize = blobs[..nth].iter().map(|blob| blob.length).sum();
        self.digests_at() + 32 * self.head.entries + before
    }
}

impl<F: Serialize> Head<F> {
    /// It as it is written.
    fn to_bytes(&self) -> Option<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self).ok()?;
        bytes.resize(bytes.len().next_multiple_of(HEAD_STEP), b' ');
        Some(bytes)
    }
}

impl Blob {
    fn of(bytes: &[u8]) -> Self {
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
        blobs: blobs.iter().copied().map(Blob::of).collect(),
        finding,
    };
    write_anew(store, name, &head.to_bytes()?, tree, &[&[digests], blobs].concat());
    Some(())
}

/// Writes a sealed file. It saves work only, so a failure is nobody's trouble.
fn write_anew(store: &Store, name: &str, head: &[u8], tree: &[u8], rest: &[&[u8]]) {
    let sum = Digest::of_pieces(&[head, tree]);
    let lengths = [head.len(), tree.len()].map(|length| (length as u64).to_le_bytes());
    let pieces = [&[MAGIC, lengths.as_flattened(), sum.as_bytes(), head, tree], rest].concat();
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
