//! The journal: answers and intentions, on disk before anything else happens.
//!
//! JSON Lines in `.meu/journal`. An `answer` is synced before its text goes anywhere else. A `record`
//! is what a task's line in the lock will be; it counts once the text that it speaks of is on disk.
//! The journal ends when the lock is written. A torn last line is a line that was never written.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::lock::Record;

use super::cache::Stored;
use super::write::fail_point;
use super::{Cache, Store};

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// An answer came.
    Answer {
        /// The task that asked.
        task: String,
        /// The digest of the request.
        request: Digest,
        /// What is known of the answer.
        stored: Stored,
        /// Its text, in output form.
        text: String,
    },
    /// A task's record changes.
    Record {
        /// The new record.
        record: Box<Record>,
        /// The text that the file had before; `None` if there was no file.
        before: Option<Digest>,
        /// The text that it is about to have, or that stays.
        writes: Digest,
    },
    /// A task's text was not written after all, so that its record does not count, whatever is there by now.
    Refused {
        /// The task.
        task: String,
        /// The text that it was about to have.
        writes: Digest,
    },
}

/// The journal, open for writing.
#[derive(Debug)]
pub struct Journal<'a> {
    store: &'a Store,
    file: Mutex<Option<File>>,
    /// See [`Self::speaks_of_more`].
    speaks_of_more: AtomicBool,
}

impl<'a> Journal<'a> {
    /// A journal that is opened with its first entry.
    pub fn new(store: &'a Store) -> Self {
        // In one that is there already may be anything.
        let speaks_of_more = AtomicBool::new(place(store).exists());
        Journal { store, file: Mutex::new(None), speaks_of_more }
    }

    /// Whether it may speak of more than what this process wrote at its outputs' places: of answers, which the cache has
    /// without a sync and perhaps nothing else, or of outputs of a run that was cut off.
    pub fn speaks_of_more(&self) -> bool {
        self.speaks_of_more.load(Ordering::Relaxed)
    }

    /// Makes sure that the journal can be written, before anybody is asked.
    pub fn open(&self) -> io::Result<()> {
        fail_point("journal")?;
        self.opened(&mut self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner)).map(drop)
    }

    fn opened<'f>(&self, file: &'f mut Option<File>) -> io::Result<&'f mut File> {
        match file {
            Some(file) => Ok(file),
            None => {
                let path = place(self.store);
                let mut new = File::options().append(true).create(true).open(&path)?;
                if !fs::read(&path)?.ends_with(b"\n") {
                    new.write_all(b"\n")?;
                }
                Ok(file.insert(new))
            }
        }
    }

    /// Adds an entry; with `sync` it is on the medium when this returns.
    pub fn add(&self, entry: &Entry, sync: bool) -> io::Result<()> {
        if matches!(entry, Entry::Answer { .. }) {
            self.speaks_of_more.store(true, Ordering::Relaxed);
        }
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let mut guard = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let file = self.opened(&mut guard)?;
        fail_point("journal")?;
        let written = file.write_all(&line).and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        if written.is_err() {
            // It may be torn: whoever opens it again begins a new line.
            *guard = None;
        }
        written?;
        fail_point("journaled")
    }

    /// Ends the journal: lock and cache say it all now, and are on the medium.
    pub fn end(&self) -> io::Result<()> {
        *self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        match fs::remove_file(place(self.store)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

fn place(store: &Store) -> PathBuf {
    store.meu().join("journal")
}

/// What a run that was cut off left.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Answers by their request, the last one counts.
    pub answers: HashMap<Digest, (Stored, String)>,
    /// Records whose text may be on disk, in order: the record, the text before, the text after.
    pub records: Vec<(Record, Option<Digest>, Digest)>,
    /// Whether there is a journal at all.
    pub found: bool,
    /// Whether there is one that cannot be read.
    pub unreadable: bool,
}

/// Reads the journal.
pub fn replay(store: &Store) -> Replay {
    let bytes = match fs::read(place(store)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Replay::default(),
        // What cannot be read now may be read later; it stays.
        Err(_) => return Replay { unreadable: true, ..Replay::default() },
    };
    let mut replay = Replay { found: true, ..Replay::default() };
    for line in bytes.split(|byte| *byte == b'\n') {
        match serde_json::from_slice::<Entry>(line) {
            Ok(Entry::Answer { request, stored, text, .. }) if Digest::of(&text) == stored.text => {
                replay.answers.insert(request, (stored, text));
            }
            Ok(Entry::Record { record, before, writes }) => replay.records.push((*record, before, writes)),
            Ok(Entry::Refused { task, writes }) => {
                replay.records.retain(|(record, _, text)| record.task != task || *text != writes);
            }
            _ => {}
        }
    }
    replay
}

impl Replay {
    /// Keeps all answers in the cache; tells whether they are there now.
    pub fn keep(&self, cache: &Cache<'_>) -> bool {
        let kept =
            self.answers.iter().map(|(request, (stored, text))| cache.put_answer(*request, stored, text));
        // All are tried, whatever became of the first.
        kept.filter(Result::is_err).count() == 0 && !self.unreadable
    }
}
