//! What of `.meu/` can go: by age and by size, never what the lock, the journal or an unresolved conflict
//! needs, on this branch or another.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::context::Shelf;
use crate::diag::Error;
use crate::digest::{Digest, TextId};
use crate::lock::Lock;
use crate::path::RelPath;

use super::git::{missing, on_branches};
use super::{Cache, Store, Workspace};

/// A file that could go.
#[derive(Clone, Debug)]
struct Piece {
    path: PathBuf,
    size: u64,
    changed: SystemTime,
    needed: bool,
}

/// What is there, and what of it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Files that go, each with its bytes.
    files: Vec<(PathBuf, u64)>,
    /// Their bytes together.
    pub bytes: u64,
    /// Files that stay.
    pub kept: usize,
    /// Their bytes.
    pub kept_bytes: u64,
}

impl Garbage {
    /// How many files go.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Removes them. What is gone already is as good; what cannot be removed counts as kept from then on.
    ///
    /// # Errors
    /// The first that could not be removed.
    pub fn remove(&mut self) -> Result<(), Error> {
        let mut trouble = None;
        for (path, size) in std::mem::take(&mut self.files) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    self.bytes -= size;
                    self.kept += 1;
                    self.kept_bytes += size;
                    trouble.get_or_insert((path, error));
                }
                _ => self.files.push((path, size)),
            }
        }
        trouble.map_or(Ok(()), |(path, error)| {
            Err(Error::failed(format!("{} cannot be removed: {error}", path.display())))
        })
    }

    fn add(&mut self, path: PathBuf, size: u64, goes: bool) {
        if goes {
            self.bytes += size;
            self.files.push((path, size));
        } else {
            self.kept += 1;
            self.kept_bytes += size;
        }
    }
}

/// Looks for what can go: what is older than `age`, and of the rest the oldest until no more than `size`
/// bytes are left. Vectors are not looked at: they would have to be paid for again.
pub fn garbage(workspace: &Workspace, age: Option<Duration>, size: Option<u64>) -> Garbage {
    let elsewhere = of_branches(&workspace.store);
    // Whose texts a line of a lock that cannot be read speaks of nobody knows.
    let all_texts = !workspace.lock.broken.is_empty() || elsewhere.is_none();
    let mut needed = needed(workspace);
    needed.extend(elsewhere.into_iter().flatten());
    let meu = workspace.store.meu();
    let mut pieces = Vec::new();
    for kind in ["texts", "answers", "requests"] {
        let digest = |path: &Path| -> Option<Digest> {
            let parts = [path.parent().and_then(Path::file_name), path.file_name()];
            let hex: String = parts.into_iter().flatten().map(|part| part.to_string_lossy()).collect();
            hex.parse().ok()
        };
        let all = kind == "texts" && all_texts;
        for folder in entries(&meu.join("cache").join(kind)) {
            pieces.extend(
                entries(&folder)
                    .into_iter()
                    .filter_map(|path| piece(&path, all || needed.contains(&digest(&path)?))),
            );
        }
    }
    let is_record = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "jsonl");
    pieces.extend(
        entries(&meu.join("runs")).into_iter().filter(is_record).filter_map(|path| piece(&path, false)),
    );
    let now = SystemTime::now();
    let is_old = |piece: &Piece| {
        age.is_some_and(|age| now.duration_since(piece.changed).is_ok_and(|since| since > age))
    };
    let (needed, mut rest): (Vec<Piece>, Vec<Piece>) = pieces.into_iter().partition(|piece| piece.needed);
    rest.sort_by(|a, b| b.changed.cmp(&a.changed).then_with(|| a.path.cmp(&b.path)));
    let mut found = Garbage {
        kept: needed.len(),
        kept_bytes: needed.iter().map(|piece| piece.size).sum(),
        ..Garbage::default()
    };
    let mut full = false;
    for piece in rest {
        // The oldest go first: once one does not fit none that is older stays.
        full |= size.is_some_and(|size| found.kept_bytes + piece.size > size);
        let goes = is_old(&piece) || full;
        found.add(piece.path, piece.size, goes);
    }
    found
}

/// The digests of texts, answers and requests that something else relies on.
fn needed(workspace: &Workspace) -> HashSet<Digest> {
    let mut needed = HashSet::new();
    for record in workspace.lock.tasks().flat_map(|id| workspace.lock.records(id)) {
        needed.insert(record.request);
        let texts = [&record.built, &record.accepted];
        needed.extend(texts.into_iter().flatten().map(|text| text.blake3));
        needed.extend(record.approved);
    }
    for failure in workspace.failures.values() {
        needed.extend(failure.request);
        needed.extend(failure.conflict.as_ref().map(|text| text.blake3));
    }
    for (request, (stored, _)) in &workspace.replay.answers {
        needed.extend([*request, stored.text]);
    }
    // An answer is of no use without its text.
    let cache = Cache(&workspace.store);
    let texts: Vec<Digest> =
        needed.iter().filter_map(|request| cache.answer(*request)).map(|(stored, _)| stored.text).collect();
    needed.extend(texts);
    needed
}

/// The texts that the locks of local branches speak of and git does not have. None if one of the
/// locks cannot be read.
fn of_branches(store: &Store) -> Option<Vec<Digest>> {
    let mut texts: Vec<TextId> = Vec::new();
    let mut approved = Vec::new();
    for text in on_branches(store.root(), "meu.lock")? {
        let lock = Lock::parse(&text).ok().filter(|lock| lock.broken.is_empty())?;
        for record in lock.tasks().flat_map(|id| lock.records(id)) {
            texts.extend([&record.built, &record.accepted].into_iter().flatten().cloned());
            approved.extend(record.approved);
        }
    }
    let ids: BTreeSet<&str> = texts.iter().map(|text| text.git.as_str()).collect();
    let lost = missing(store.root(), &ids);
    let lost = texts.iter().filter(|text| lost.contains(text.git.as_str()));
    Some(lost.map(|text| text.blake3).chain(approved).collect())
}

/// What is in a folder; nothing where that is a link to elsewhere.
fn entries(folder: &Path) -> Vec<PathBuf> {
    if !fs::symlink_metadata(folder).is_ok_and(|meta| meta.is_dir()) {
        return Vec::new();
    }
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn piece(path: &Path, needed: bool) -> Option<Piece> {
    let meta = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some(Piece { path: path.to_owned(), size: meta.len(), changed: meta.modified().ok()?, needed })
}

/// How many files `.meu/` holds, and how many bytes.
pub fn size_of_meu(store: &Store) -> (usize, u64) {
    let (mut files, mut bytes) = (0, 0);
    let mut todo = vec![store.meu().to_owned()];
    while let Some(folder) = todo.pop() {
        for path in entries(&folder) {
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_dir() => todo.push(path),
                Ok(meta) => {
                    files += 1;
                    bytes += meta.len();
                }
                Err(_) => {}
            }
        }
    }
    (files, bytes)
}

/// All of `.meu/` that can be made again or is history. The journal stays, what says who holds the project,
/// answers that are not merged yet, and of every record the texts that are not on disk as they were built:
/// the words that a person adopted or approved, and those that an edit was made from. So do those of other branches'
/// records that git does not have. `also` stays, too.
pub fn all_of_meu(workspace: &Workspace, also: &[Digest]) -> Garbage {
    let cache = Cache(&workspace.store);
    let elsewhere = of_branches(&workspace.store);
    let all_texts = !workspace.lock.broken.is_empty() || elsewhere.is_none();
    let mut texts: Vec<Digest> = also.to_vec();
    texts.extend(elsewhere.into_iter().flatten());
    for record in workspace.lock.tasks().flat_map(|id| workspace.lock.records(id)) {
        let on_disk =
            RelPath::parse(&record.output).ok().and_then(|path| workspace.shelf.digest(&path).ok().flatten());
        let as_built = record.accepted.is_none() && on_disk.is_some_and(|text| record.built_is(text));
        if !as_built {
            texts.extend([&record.built, &record.accepted].into_iter().flatten().map(|text| text.blake3));
        }
        texts.extend(record.approved.filter(|_| !as_built));
    }
    texts.extend(
        workspace.failures.values().filter_map(|failure| failure.conflict.as_ref()).map(|text| text.blake3),
    );
    let stays: HashSet<PathBuf> = texts.into_iter().map(|text| cache.text_place(text)).collect();
    let all_texts = all_texts.then(|| workspace.store.meu().join("cache").join("texts"));
    let meu = workspace.store.meu();
    let own = ["journal", "running", ".gitignore", "failures.json"].map(|name| meu.join(name));
    let proposals = meu.join("proposals");
    let mut found = Garbage::default();
    let mut todo = vec![meu.to_owned()];
    while let Some(folder) = todo.pop() {
        for path in entries(&folder) {
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if meta.is_dir() {
                todo.push(path);
                continue;
            }
            let stays = own.contains(&path)
                || path.starts_with(&proposals)
                || stays.contains(&path)
                || all_texts.as_ref().is_some_and(|texts| path.starts_with(texts));
            found.add(path, meta.len(), !stays);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_removed_is_told_and_counts_as_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let (there, gone, stays) =
            (folder.path().join("there"), folder.path().join("gone"), folder.path().join("stays"));
        fs::write(&there, "abc").expect("a file");
        // No file at all: it cannot be removed as one.
        fs::create_dir(&stays).expect("a folder");
        let mut garbage = Garbage { kept: 1, kept_bytes: 10, ..Garbage::default() };
        for (path, size) in [(&there, 3), (&gone, 4), (&stays, 5)] {
            garbage.add(path.clone(), size, true);
        }
        let error = garbage.remove().expect_err("one stays").message;
        assert!(error.starts_with(&format!("{} cannot be removed: ", stays.display())), "{error}");
        assert_eq!((garbage.files(), garbage.bytes), (2, 7));
        assert_eq!((garbage.kept, garbage.kept_bytes), (2, 15));
        assert!(!there.exists() && stays.exists());
    }
}
