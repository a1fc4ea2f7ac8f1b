//! `meu.lock` on disk: read as a whole or in part, written whole or not at all.
//!
//! Whoever writes it may have read it minutes ago, and a `git pull` may have come in between: then what is there now is
//! written again, with what this process recorded in it.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::cores::joined;
use crate::digest::Digest;
use crate::lock::{Lock, Newer};
use crate::path::RelPath;

use super::stamp::{Stamp, Stat};
use super::{Durability, Store, now_in_nanoseconds, read_optional};

const NAME: &str = "meu.lock";

/// How often it is tried to write a lock that changes all the time.
const TRIES: usize = 5;

/// A project's lock as it was read.
#[derive(Debug)]
pub struct LockFile {
    stamp: Stamp,
    content: Content,
    /// Of its text; computed when it is asked for.
    digest: OnceLock<Digest>,
}

#[derive(Debug)]
enum Content {
    /// All of it; empty if it is not there.
    Whole(String),
    /// The rest is still in the file.
    Part(File),
}

/// What came of writing a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It says what it said.
    Nothing,
    /// It is another text now.
    Text {
        /// The text's.
        digest: Digest,
        /// What the system says of the file as long as it has that text, if that tells.
        stat: Option<Stat>,
    },
    /// It has what somebody else wrote since it was read, too.
    BesideOthers,
}

impl LockFile {
    /// Reads all of it.
    pub(super) fn read(store: &Store) -> Result<LockFile, String> {
        let stamp = Stamp::of(path(store), now_in_nanoseconds(), None);
        let text = read_optional(stamp.path())?.unwrap_or_default();
        Ok(LockFile { stamp, content: Content::Whole(text), digest: OnceLock::new() })
    }

    /// In place of one that cannot be read.
    pub(super) fn empty(store: &Store) -> LockFile {
        let stamp = Stamp::of(path(store), now_in_nanoseconds(), None);
        LockFile { stamp, content: Content::Whole(String::new()), digest: OnceLock::new() }
    }

    /// Opens a lock of which only some records are wanted. It should have this digest; [`Self::is_as_known`] tells.
    pub(super) fn open(store: &Store, digest: Digest) -> Option<LockFile> {
        let (path, began) = (path(store), now_in_nanoseconds());
        let file = File::open(&path).ok()?;
        let stat = Stat::of(&file.metadata().ok()?);
        // Nothing of it was read yet: what happens to a settled one from now on shows, however young it is.
        let began = if stat.is_settled() { i128::MAX } else { began };
        let stamp = Stamp::new(Some(stat), path, began, Some(digest));
        Some(LockFile { stamp, content: Content::Part(file), digest: digest.into() })
    }

    /// Whether the file that is open has the digest that it should have. One that was read as a whole is what it is.
    pub fn is_as_known(&self) -> bool {
        let Content::Part(file) = &self.content else { return true };
        let mut file = file;
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
        if let Some(recorded) = self.replace(store, lock)? {
            return Ok(recorded);
        }
        let failed = |why: &str| io::Error::other(format!("it was changed meanwhile, and {why}"));
        for _ in 0..TRIES {
            let now = LockFile::read(store).map_err(|why| failed(&why))?;
            let mut all = Lock::parse(now.text().unwrap_or_default())
                .map_err(|Newer(version)| failed(&format!("has the format {version} of a newer meu")))?;
            all.take_over(lock);
            if now.replace(store, &all)?.is_some() {
                return Ok(Recorded::BesideOthers);
            }
        }
        Err(failed("changes all the time"))
    }

    /// Writes a lock in the place of this one. `None` if somebody else has changed it, and then nothing is written.
    fn replace(&self, store: &Store, lock: &Lock) -> io::Result<Option<Recorded>> {
        let Some(new) = self.new_text(lock)? else {
            return Ok(self.stands().then_some(Recorded::Nothing));
        };
        let path = RelPath::parse(NAME).map_err(|problem| io::Error::other(problem.message()))?;
        let stands = Cell::new(true);
        let written = store.write_by(&path, Durability::Grouped, |to| {
            let digest = new.write(to);
            // It is on the medium already: what is left is the rename.
            stands.set(self.stands());
            if stands.get() {
                Ok((digest?, Stat::of(&to.metadata()?)))
            } else {
                Err(io::Error::other("it was changed"))
            }
        });
        if !stands.get() {
            return Ok(None);
        }
        let (digest, written) = written?;
        store.sync_folders()?;
        // Its name is younger than its contents.
        let stat = Stat::at(self.stamp.path())
            .filter(|now| now.is_settled() && Stat { changed: written.changed, ..*now } == written);
        Ok(Some(Recorded::Text { digest, stat }))
    }

    /// What a lock that was made from this one is to say, unless that is there already.
    fn new_text(&self, lock: &Lock) -> io::Result<Option<New<'_>>> {
        match (&self.content, lock.edits()) {
            (Content::Whole(old), None) => {
                let text = lock.to_text();
                Ok((*old != text || self.is_gone()).then_some(New::Text(text)))
            }
            (Content::Part(file), Some(edits)) => {
                Ok((!edits.is_empty() || self.is_gone()).then_some(New::Edited(file, edits)))
            }
            _ => Err(io::Error::other("a part of a lock is not written as a whole one")),
        }
    }

    /// Whether it is on disk as it was read. One that is gone is nobody's text, as long as it can still be read.
    fn stands(&self) -> bool {
        let now = || read_optional(self.stamp.path()).map(Option::unwrap_or_default);
        let same = |text: &str| now().is_ok_and(|now| now == text);
        self.stamp.stands() || self.text().is_some_and(same) || (self.is_gone() && self.is_as_known())
    }

    fn is_gone(&self) -> bool {
        self.stamp.path().symlink_metadata().is_err()
    }
}

/// What a lock is to say.
enum New<'a> {
    Text(String),
    /// What a file says, but for what stands in some ranges of it.
    Edited(&'a File, Vec<(Range<u64>, String)>),
}

impl New<'_> {
    /// Writes it, and brings it to the medium; its digest.
    fn write(&self, to: &mut File) -> io::Result<Digest> {
        match self {
            New::Text(text) => to.write_all(text.as_bytes())?,
            New::Edited(from, edits) => copy(from, edits, to)?,
        }
        to.rewind()?;
        let to = &*to;
        std::thread::scope(|scope| {
            let digest = scope.spawn(|| Digest::of_all_in(to));
            to.sync_all()?;
            joined(digest)
        })
    }
}

/// Copies a file, with texts in place of what is in some ranges of it.
fn copy(mut from: &File, edits: &[(Range<u64>, String)], to: &mut File) -> io::Result<()> {
    let (length, mut at) = (from.metadata()?.len(), 0);
    for (range, text) in edits.iter().chain([&(length..length, String::new())]) {
        // One that is shorter by now is not what was read.
        let kept = range.start.checked_sub(at).ok_or(io::ErrorKind::UnexpectedEof)?;
        from.seek(SeekFrom::Start(at))?;
        if io::copy(&mut from.take(kept), to)? != kept {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all(text.as_bytes())?;
        at = range.end;
    }
    Ok(())
}

/// Where the lock of a project is.
fn path(store: &Store) -> PathBuf {
    store.root().join(NAME)
}

fn read_at(file: &File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes)
}
