//! The corpus on disk: `.meu/corpus/`, a file for each of its segments, named by its name's first digits. It
//! only saves work: what is damaged, of another version or gone is made anew.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::context::{Corpus, Pieces, TextKey};
use crate::digest::Digest;

use super::{Durability, Store};

const NAME: &str = "corpus";

/// In `.meu/`, what the last search of the whole project looked through.
pub const SEARCHED: &str = "searched";

/// A segment's file, read piece by piece.
#[derive(Debug)]
struct OnDisk {
    file: File,
    length: u64,
}

impl Pieces for OnDisk {
    fn read(&self, at: u64, length: usize) -> Option<Vec<u8>> {
        // A damaged length must not ask for all the memory there is.
        if at.checked_add(length as u64)? > self.length {
            return None;
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, at).ok()?;
        Some(bytes)
    }

    fn in_memory(&self) -> Option<&[u8]> {
        None
    }
}

/// The files of its folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn open(path: &Path) -> Option<Box<dyn Pieces>> {
    let file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    Some(Box::new(OnDisk { file, length }))
}

pub(super) fn load(store: &Store) -> Corpus {
    Corpus::of(files(&store.meu().join(NAME)).iter().filter_map(|file| open(file)))
}

/// A failure is nobody's trouble.
pub(super) fn save(store: &Store, corpus: &mut Corpus) {
    if corpus.new_segments().next().is_some() {
        // A search of the whole project looks for more than a run may know; its list has a key for each text.
        let length = fs::metadata(store.meu().join(SEARCHED)).map_or(0, |list| list.len());
        corpus.tidy(usize::try_from(length).unwrap_or(usize::MAX) / TextKey::BYTES);
    }
    let useless = corpus.useless();
    if !store.meu().is_dir() || (useless.is_empty() && corpus.new_segments().next().is_none()) {
        return;
    }
    let folder = store.meu().join(NAME);
    if folder.is_file() {
        // It is of an earlier version.
        let _ = fs::remove_file(&folder);
    }
    for (name, bytes) in corpus.new_segments() {
        let file = format!("{NAME}/{}", name.short());
        // Without the new ones the old ones are better than nothing.
        if store.write_meu(&file, bytes, Durability::Scratch).is_err() {
            return;
        }
    }
    let places = |names: HashSet<Digest>| -> HashSet<PathBuf> {
        names.iter().map(|name| folder.join(name.short())).collect()
    };
    let (kept, useless) = (places(corpus.names()), places(useless));
    for file in files(&folder).into_iter().filter(|file| !kept.contains(file)) {
        // Another process may have left one meanwhile.
        if useless.contains(&file) || Corpus::of(open(&file)).names().is_empty() {
            let _ = fs::remove_file(file);
        }
    }
    corpus.set_kept();
}

/// Removes it.
pub(super) fn forget(store: &Store) {
    let folder = store.meu().join(NAME);
    let _ = fs::remove_dir_all(&folder);
    let _ = fs::remove_file(&folder);
}
