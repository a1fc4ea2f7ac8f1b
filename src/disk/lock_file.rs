//! `meu.lock` on disk: read as a whole or in part, written whole or not at all.
//!
//! Whoever writes it may have read it minutes ago, and a `git pull` may have come in between: then what is there now is
//! written again, with what this process recorded in it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::cores::joined;
use crate::digest::Digest;
use crate::lock::{Lock, Newer};
use crate::path::RelPath;

use super::load::read_own;
use super::stamp::{Stamp, Stat};
use super::write::is_changed;
use super::{Durability, Store, now_in_nanoseconds, read_optional};

const NAME: &str = "meu.lock";

/// So many bytes are worth hashing, and bringing to the medium, while others are written.
const MUCH: u64 = 8 * 1024 * 1024;

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
    /// The rest is still in the file; until another is in its place.
    Part(Mutex<Option<Arc<File>>>),
}

impl Content {
    /// The file of a part.
    fn file(&self) -> Option<Arc<File>> {
        match self {
            Content::Whole(_) => None,
            Content::Part(file) => file.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Closes the file of a part, elsewhere: giving back what the system has of a large one that nobody else knows takes as
    /// long as all that is left of a run.
    fn close(&self) {
        if let Content::Part(file) = self {
            let file = file.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Without a thread it is closed here.
            let _ = std::thread::Builder::new().spawn(|| drop(file));
        }
    }
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
        let text = read_own(store, stamp.path())?.unwrap_or_default();
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
        Some(LockFile { stamp, content: Content::Part(Mutex::new(Some(file.into()))), digest: digest.into() })
    }

    /// Whether the file that is open has the digest that it should have. One that was read as a whole is what it is.
    pub fn is_as_known(&self) -> bool {
        let Content::Part(_) = &self.content else { return true };
        let now = |mut file: &File| file.rewind().and_then(|()| Digest::of_all_in(file)).ok();
        self.content.file().is_some_and(|file| now(&file).as_ref() == self.digest.get())
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
            Content::Part(_) => {
                let file = self.content.file()?;
                let length = file.metadata().ok()?.len();
                Lock::of_some(length, &|range| read_at(&file, range).ok(), tasks)
            }
        }
    }

    /// Writes a lock that was made from this one, unless it says what is there already. Of a part only once.
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
        let written = store.write_by(&path, Durability::Seen, &|| Ok(self.stands()), |to| {
            let digest = new.write(to)?;
            Ok((digest, Stat::of(&to.metadata()?)))
        });
        let (digest, written) = match written {
            Err(error) if is_changed(&error) || !self.stands() => return Ok(None),
            written => written?,
        };
        drop(new);
        self.content.close();
        store.sync_folders()?;
        // Its name is younger than its contents.
        let stat = Stat::at(self.stamp.path())
            .filter(|now| now.is_settled() && Stat { changed: written.changed, ..*now } == written);
        Ok(Some(Recorded::Text { digest, stat }))
    }

    /// What a lock that was made from this one is to say, unless that is there already.
    fn new_text(&self, lock: &Lock) -> io::Result<Option<New>> {
        let is_new = |edited: bool| edited || self.is_gone();
        match (&self.content, lock.edits()) {
            (Content::Whole(old), None) => {
                let text = lock.to_text();
                Ok(is_new(*old != text).then_some(New::Text(text)))
            }
            (Content::Part(_), Some(edits)) => {
                let file = self.content.file();
                let file = file.ok_or_else(|| io::Error::other("a part of a lock is written once"))?;
                Ok(is_new(!edits.is_empty()).then_some(New::Edited(file, edits)))
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
enum New {
    Text(String),
    /// What a file says, but for what stands in some ranges of it.
    Edited(Arc<File>, Vec<(Range<u64>, String)>),
}

impl New {
    /// Writes it, and brings it to the medium; its digest. Of a large file the beginning is hashed, and on its way to the
    /// medium, while the rest is copied.
    fn write(&self, to: &File) -> io::Result<Digest> {
        std::thread::scope(|scope| {
            let (hash, written) = channel();
            let (sync, more) = channel();
            let digest = scope.spawn(move || Digest::of_all_in(Behind { file: to, at: 0, end: 0, written }));
            let synced = scope.spawn(move || more.iter().try_for_each(|()| to.sync_data()));
            // Who has failed does not listen, and says so below.
            let length = match self {
                New::Text(text) => {
                    (&mut &*to).write_all(text.as_bytes())?;
                    text.len() as u64
                }
                New::Edited(from, edits) => copy(from, edits, to, &|length| {
                    let _ = (hash.send(length), sync.send(()));
                })?,
            };
            let _ = hash.send(length);
            drop((hash, sync));
            // An error of a file is told once: the last sync need not have it.
            joined(synced)?;
            to.sync_all()?;
            joined(digest)
        })
    }
}

/// Copies a file, with texts in place of what is in some ranges of it; `written` is told now and then how far it is.
/// Returns the length.
fn copy(
    mut from: &File,
    edits: &[(Range<u64>, String)],
    mut to: &File,
    written: &dyn Fn(u64),
) -> io::Result<u64> {
    let (length, mut at, mut end, mut told) = (from.metadata()?.len(), 0, 0, 0);
    for (range, text) in edits.iter().chain([&(length..length, String::new())]) {
        // One that is shorter by now is not what was read.
        if range.start < at {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        from.seek(SeekFrom::Start(at))?;
        while at < range.start {
            let some = MUCH.min(range.start - at);
            if io::copy(&mut from.take(some), &mut to)? != some {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            (at, end) = (at + some, end + some);
            if end - told >= MUCH {
                told = end;
                written(end);
            }
        }
        to.write_all(text.as_bytes())?;
        (at, end) = (range.end, end + text.len() as u64);
    }
    Ok(end)
}

/// What is read of a file while it is written: as far as it is told that it is, until nobody is left to tell.
struct Behind<'a> {
    file: &'a File,
    at: u64,
    end: u64,
    written: Receiver<u64>,
}

impl Read for Behind<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.end {
            match self.written.recv() {
                Ok(end) => self.end = end,
                Err(_) => return Ok(0),
            }
        }
        let most = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(into.len());
        let read = self.file.read_at(&mut into[..most], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_with_edits_is_spliced_and_hashed_however_large() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let old: Vec<u8> = (0..2 * MUCH + 12_345).map(|at| b'a' + (at % 23) as u8).collect();
        std::fs::write(folder.path().join("old"), &old)?;
        let from = Arc::new(File::open(folder.path().join("old"))?);
        let length = old.len() as u64;
        for edits in [
            vec![],
            vec![(0..0, "front".to_owned())],
            vec![(0..length, "all".to_owned())],
            vec![(7..9, String::new()), (9..9, "more".to_owned()), (MUCH - 1..MUCH + 1, "x".to_owned())],
            vec![(length - 3..length, "end".to_owned()), (length..length, "\n".to_owned())],
        ] {
            let (mut expected, mut at) = (Vec::new(), 0);
            for (range, text) in &edits {
                expected.extend(&old[at..range.start as usize]);
                expected.extend(text.as_bytes());
                at = range.end as usize;
            }
            expected.extend(&old[at..]);
            let mut to = tempfile::tempfile()?;
            let digest = New::Edited(from.clone(), edits.clone()).write(&to)?;
            let mut new = Vec::new();
            to.rewind()?;
            to.read_to_end(&mut new)?;
            assert!(new == expected, "{edits:?}");
            assert_eq!(digest, Digest::of(&expected));
        }
        // Ranges that overlap, or of a text that is shorter by now.
        for range in [8..8, length + 1..length + 1] {
            let to = tempfile::tempfile()?;
            let edits = vec![(7..9, String::new()), (range, String::new())];
            assert!(New::Edited(from.clone(), edits).write(&to).is_err());
        }
        Ok(())
    }
}
