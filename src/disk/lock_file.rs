//! `meu.lock` on disk: read as a whole or in part, written whole or not at all.
//!
//! Whoever writes it may have read it minutes ago, and a `git pull` may have come in between: then what is there now is
//! written again, with what this process recorded in it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::cores::joined;
use crate::digest::Digest;
use crate::lock::{Lock, Newer};
use crate::path::RelPath;

use super::stamp::{Stamp, Stat};
use super::{Durability, Store, now_in_nanoseconds, read_optional};

/// A project's lock as it was read.
#[derive(Clone, Debug)]
pub struct LockFile {
    stamp: Stamp,
    content: Content,
    /// Of its text; computed when it is asked for.
    digest: OnceLock<Digest>,
}

#[derive(Clone, Debug)]
enum Content {
    /// All of it; empty if it is not there.
    Whole(Arc<String>),
    /// The rest is still in the file.
    Part(Arc<File>),
}

/// What came of writing a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It says what it said.
    Nothing,
    /// It is a text of this digest now.
    Text(Digest),
    /// It has what somebody else wrote since it was read, too.
    BesideOthers,
}

impl LockFile {
    /// Reads all of it.
    pub(super) fn read(store: &Store) -> Result<LockFile, String> {
        let (path, began) = (path(store), now_in_nanoseconds());
        let text = read_optional(&path)?.unwrap_or_default();
        Ok(LockFile::of(text, Stamp::of(path, began, None)))
    }

    /// In place of one that cannot be read.
    pub(super) fn empty(store: &Store) -> LockFile {
        LockFile::of(String::new(), Stamp::of(path(store), now_in_nanoseconds(), None))
    }

    fn of(text: String, stamp: Stamp) -> LockFile {
        LockFile { stamp, content: Content::Whole(Arc::new(text)), digest: OnceLock::new() }
    }

    /// Opens a lock of which only some records are wanted. It should have this digest; [`Self::is_as_known`] tells.
    pub(super) fn open(store: &Store, digest: Digest) -> Option<LockFile> {
        let (path, began) = (path(store), now_in_nanoseconds());
        let file = File::open(&path).ok()?;
        let stat = Stat::of(&file.metadata().ok()?);
        let stamp = Stamp::new(Some(stat), path, began, Some(digest));
        Some(LockFile { stamp, content: Content::Part(Arc::new(file)), digest: digest.into() })
    }

    /// Whether the file that is open has the digest that it should have.
    pub fn is_as_known(&self) -> bool {
        let Content::Part(file) = &self.content else { return true };
        let mut file = &**file;
        let now = file.rewind().and_then(|()| Digest::of_all_in(file));
        now.is_ok_and(|now| self.digest.get() == Some(&now))
    }

    /// Its text, if all of it was read; empty if it is not there.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Whole(text) => Some(text),
            Content::Part(_) => None,
        }
    }

    /// The digest of its text; `None` if there is none.
    pub fn digest(&self) -> Option<Digest> {
        let digest = || *self.digest.get_or_init(|| Digest::of(self.text().unwrap_or_default()));
        (self.text() != Some("")).then(digest)
    }

    /// The records that were read, as they were; of a part those of some tasks, given in order.
    pub(super) fn records<'a>(&self, tasks: impl Iterator<Item = &'a str>) -> Option<Lock> {
        match &self.content {
            Content::Whole(text) => Lock::parse(text).ok(),
            Content::Part(file) => {
                let length = file.metadata().ok()?.len();
                Lock::of_some(length, &|range| read_at(file, range).ok(), tasks)
            }
        }
    }

    /// Writes a lock that was made from this one, unless it says what is there already.
    pub fn write(&self, store: &Store, lock: &Lock) -> io::Result<Recorded> {
        if !self.stands() {
            return self.write_beside_others(store, lock);
        }
        let path = RelPath::parse("meu.lock").map_err(|problem| io::Error::other(problem.message()))?;
        let digest = match (&self.content, lock.edits()) {
            (Content::Part(_), Some(edits)) if edits.is_empty() => return Ok(Recorded::Nothing),
            (Content::Part(file), Some(edits)) => store.write_by(&path, Durability::Now, |to| {
                let digest = copy(file, &edits, to)?;
                // What was copied must be what was read.
                match self.stands() {
                    true => Ok(digest),
                    false => Err(io::Error::other("it changes all the time")),
                }
            })?,
            _ => {
                let text = lock.to_text();
                if self.text() == Some(&text) {
                    return Ok(Recorded::Nothing);
                }
                store.write(&path, &text, Durability::Now)?;
                Digest::of(text)
            }
        };
        store.sync_written()?;
        Ok(Recorded::Text(digest))
    }

    fn write_beside_others(&self, store: &Store, lock: &Lock) -> io::Result<Recorded> {
        let failed = |why: &str| io::Error::other(format!("it was changed meanwhile, and {why}"));
        let now = LockFile::read(store).map_err(|why| failed(&why))?;
        let mut all = Lock::parse(now.text().unwrap_or_default())
            .map_err(|Newer(version)| failed(&format!("has the format {version} of a newer meu")))?;
        let read = self.records(lock.tasks()).ok_or_else(|| failed("cannot be compared"))?;
        all.take_over(lock, &read);
        now.write(store, &all)?;
        Ok(Recorded::BesideOthers)
    }

    /// Whether it is on disk as it was read.
    fn stands(&self) -> bool {
        let path = self.stamp.path();
        let same = |text: &str| read_optional(path).is_ok_and(|now| now.unwrap_or_default() == text);
        self.stamp.stands() || self.text().is_some_and(same)
    }
}

/// Where the lock of a project is.
fn path(store: &Store) -> PathBuf {
    store.root().join("meu.lock")
}

fn read_at(file: &File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes)
}

/// Copies a file to the medium, with texts in place of what is in some ranges of it; the digest of what was written.
fn copy(mut from: &File, edits: &[(Range<u64>, String)], to: &mut File) -> io::Result<Digest> {
    let (length, mut at) = (from.metadata()?.len(), 0);
    for (range, text) in edits.iter().chain([&(length..length, String::new())]) {
        from.seek(SeekFrom::Start(at))?;
        if io::copy(&mut from.take(range.start - at), to)? != range.start - at {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all(text.as_bytes())?;
        at = range.end;
    }
    to.rewind()?;
    let to = &*to;
    std::thread::scope(|scope| {
        let digest = scope.spawn(|| Digest::of_all_in(to));
        to.sync_all()?;
        joined(digest)
    })
}
