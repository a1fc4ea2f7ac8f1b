//! `meu.lock`: records as text, and what a merge may have left of them.
//!
//! JSON Lines: a header with the format's version, then a line a task, sorted by id. No times, no
//! counters, no absolute paths. git merges the file with `merge=union`; what that leaves (a line or
//! the header twice, conflict markers) is read without complaint, and which of a task's lines counts
//! is decided where the file on disk is known ([`Lock::pick`]). About 700 bytes a task.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, TextId};
use crate::request::Parts;

/// The newest format that this meu reads, and the one it writes.
pub const VERSION: u64 = 1;

/// What is recorded of a built task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The task's id.
    pub task: String,
    /// The path of its output.
    pub output: String,
    /// The digest of the request that the output answers.
    pub request: Digest,
    /// The parts of that request.
    #[serde(flatten)]
    pub parts: Parts,
    /// The digest of what was expected of the output when it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Digest>,
    /// The last answer, which is the base of merges. There is none while a person adopted a text that
    /// meu never wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built: Option<TextId>,
    /// A text that a person adopted in place of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<TextId>,
    /// The text that a person approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Digest>,
}

impl Record {
    /// Whether a text is the one built or adopted.
    pub fn knows(&self, text: Digest) -> bool {
        self.built_is(text) || self.accepted.as_ref().is_some_and(|accepted| accepted.blake3 == text)
    }

    /// Whether a text is the last answer.
    pub fn built_is(&self, text: Digest) -> bool {
        self.built.as_ref().is_some_and(|built| built.blake3 == text)
    }

    /// The digest of the text that a missing output comes back as.
    pub fn current(&self) -> Option<Digest> {
        self.accepted.as_ref().or(self.built.as_ref()).map(|text| text.blake3)
    }

    /// Its line in the lock.
    pub fn line(&self) -> String {
        // Strings, digests and lists of them always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The line, from 1.
    pub line: usize,
    /// The task that it seems to be of.
    pub task: Option<String>,
    /// What is wrong with it.
    pub message: String,
    /// The line itself, which is kept.
    pub text: String,
}

/// All records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// By id; more than one of a task is what a merge left.
    records: BTreeMap<String, Vec<Record>>,
    /// What could not be read.
    pub broken: Vec<Broken>,
    /// Whether its text would not be the one that was read: it changed since, or a merge left something.
    changed: bool,
    /// The tasks that have, or had, a record at a place.
    places: HashMap<String, BTreeSet<String>>,
    /// The text that it is a part of, where only some records were read.
    around: Option<Around>,
}

/// The text of a lock, and where in it the lines of some tasks are, or belong; in order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Around {
    text: Arc<String>,
    lines: Vec<(String, Range<usize>)>,
}

/// The lock was written by a newer meu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newer(pub u64);

#[derive(Serialize, Deserialize)]
struct Header {
    meu_lock: u64,
}

impl Lock {
    /// Reads a lock.
    pub fn parse(text: &str) -> Result<Lock, Newer> {
        let mut lock = Lock::default();
        let mut last: Option<String> = None;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty()
                || ["<<<<<<<", "|||||||", "=======", ">>>>>>>"].iter().any(|mark| line.starts_with(mark))
            {
                continue;
            }
            if let Ok(header) = serde_json::from_str::<Header>(line) {
                if header.meu_lock > VERSION {
                    return Err(Newer(header.meu_lock));
                }
                continue;
            }
            match serde_json::from_str::<Record>(line) {
                Ok(record) => {
                    lock.place(&record);
                    let records = lock.records.entry(record.task.clone()).or_default();
                    lock.changed |= last.as_ref().is_some_and(|last| *last >= record.task);
                    last = Some(record.task.clone());
                    if !records.contains(&record) {
                        records.push(record);
                    }
                }
                Err(error) => lock.broken.push(Broken {
                    line: number + 1,
                    task: task_of(line),
                    message: error.to_string(),
                    text: line.to_owned(),
                }),
            }
        }
        lock.changed |= !lock.broken.is_empty() || text.lines().count() != lock.records.len() + 1;
        // A torn line beside a whole one of its task is what a merge left.
        lock.broken.retain(|broken| broken.task.as_ref().is_none_or(|task| !lock.records.contains_key(task)));
        Ok(lock)
    }

    /// Reads the records of some tasks, given in order, out of a lock that is whole: as [`Lock::to_text`] writes it,
    /// with one record a task. Its text is that text, with those records as they are. `None` if one cannot be read.
    pub fn of_some<'a>(text: Arc<String>, tasks: impl Iterator<Item = &'a str>) -> Option<Lock> {
        let mut lock = Lock::default();
        let mut lines = Vec::new();
        let mut from = text.find('\n')? + 1;
        serde_json::from_str::<Header>(&text[..from]).ok().filter(|header| header.meu_lock <= VERSION)?;
        for task in tasks {
            let line = find_line(&text, from, task)?;
            if !line.is_empty() {
                let record: Record = serde_json::from_str(&text[line.clone()]).ok()?;
                if record.task != task {
                    return None;
                }
                lock.place(&record);
                lock.records.insert(task.to_owned(), vec![record]);
            }
            from = line.end;
            lines.push((task.to_owned(), line));
        }
        lock.around = Some(Around { text, lines });
        Some(lock)
    }

    /// Forgets the lines of a task that cannot be read.
    pub fn forget_broken(&mut self, task: &str) {
        self.changed = true;
        self.broken.retain(|broken| broken.task.as_deref() != Some(task));
    }

    /// The lock as text.
    pub fn to_text(&self) -> String {
        if let Some(around) = &self.around {
            return self.text_around(around);
        }
        let header = serde_json::to_string(&Header { meu_lock: VERSION }).unwrap_or_default();
        let mut lines: Vec<(&str, String)> = Vec::new();
        for (task, records) in &self.records {
            lines.extend(records.iter().map(|record| (task.as_str(), record.line())));
        }
        for broken in &self.broken {
            lines.push((broken.task.as_deref().unwrap_or(""), broken.text.clone()));
        }
        lines.sort();
        let mut text = header;
        for (_, line) in lines {
            text.push('\n');
            text.push_str(&line);
        }
        text.push('\n');
        text
    }

    fn text_around(&self, around: &Around) -> String {
        let mut text = String::with_capacity(around.text.len() + 4096);
        let mut done = 0;
        for (task, line) in &around.lines {
            text.push_str(&around.text[done..line.start]);
            for record in self.records(task) {
                text.push_str(&record.line());
                text.push('\n');
            }
            done = line.end;
        }
        text.push_str(&around.text[done..]);
        text
    }

    /// The record of a task that counts: the one that knows the text on disk; of several the one of
    /// today's request and of what is expected today, then of today's request, then the first in byte order.
    /// A single record counts by itself, and so does one of today's request if nothing is on disk.
    pub fn pick(
        &self,
        task: &str,
        on_disk: Option<Digest>,
        today: Option<(Digest, Option<Digest>)>,
    ) -> Option<&Record> {
        let records = self.records.get(task)?;
        if let [one] = records.as_slice() {
            return Some(one);
        }
        let known = records.iter().filter(|record| on_disk.is_none_or(|text| record.knows(text)));
        known.min_by_key(|record| {
            let other = today.map(|(request, expect)| (record.request != request, record.expect != expect));
            (other, record.line())
        })
    }

    /// The record of another task that made a text at this very place: meu's own text, no person's.
    pub fn other_maker(&self, task: &str, output: &str, text: Digest) -> Option<&Record> {
        self.others_at(task, output).find(|record| record.built_is(text))
    }

    /// The record of another task that was at this place, whatever its text is now.
    pub fn other_record(&self, task: &str, output: &str) -> Option<&Record> {
        self.others_at(task, output).next()
    }

    fn others_at(&self, task: &str, output: &str) -> impl Iterator<Item = &Record> {
        let here = self.places.get(output).into_iter().flatten().filter(move |id| *id != task);
        let records = here.filter_map(|id| self.records.get(id)).flatten();
        records.filter(move |record| record.output == output)
    }

    /// Notes where a record's output is.
    fn place(&mut self, record: &Record) {
        self.places.entry(record.output.clone()).or_default().insert(record.task.clone());
    }

    /// Whether a line of this task cannot be read.
    pub fn broken_line(&self, task: &str) -> Option<&Broken> {
        self.broken.iter().find(|broken| broken.task.as_deref() == Some(task))
    }

    /// Puts a record in the place of all of its task's.
    pub fn put(&mut self, record: Record) {
        if self.records.get(&record.task).is_some_and(|records| *records == [record.clone()]) {
            return;
        }
        self.changed = true;
        self.place(&record);
        self.records.insert(record.task.clone(), vec![record]);
    }

    /// Whether there is anything to write.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Forgets a task.
    pub fn remove(&mut self, task: &str) {
        self.changed = true;
        self.records.remove(task);
    }

    /// The ids that have a record, in order.
    pub fn tasks(&self) -> impl Iterator<Item = &str> {
        self.records.keys().map(String::as_str)
    }

    /// All records of a task.
    pub fn records(&self, task: &str) -> &[Record] {
        self.records.get(task).map_or(&[], Vec::as_slice)
    }
}

/// The line of a task, its end included, in the sorted lines from `from` on; empty where it belongs if it has none.
/// `None` if a line is not as this meu writes it.
fn find_line(text: &str, from: usize, task: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let end_of = |at: usize| bytes[at..].iter().position(|byte| *byte == b'\n').map(|found| at + found + 1);
    // The line begins at or after `low`, and before `high`.
    let (mut low, mut high) = (from, text.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let start = bytes[low..middle].iter().rposition(|byte| *byte == b'\n').map_or(low, |at| low + at + 1);
        let end = end_of(start)?;
        match task_of_record(&text[start..end])?.cmp(task) {
            Ordering::Equal => return Some(start..end),
            Ordering::Less => low = end,
            Ordering::Greater => high = start,
        }
    }
    Some(low..low)
}

/// The task of a record's line, as this meu writes it.
fn task_of_record(line: &str) -> Option<&str> {
    let id = line.strip_prefix("{\"task\":\"")?.split('"').next()?;
    (!id.contains('\\')).then_some(id)
}

/// The task of a line that is no whole record, as far as it can be told.
fn task_of(line: &str) -> Option<String> {
    let rest = line.split_once("\"task\":\"")?.1;
    let id = rest.split_once('"')?.0;
    (!id.is_empty() && !id.contains('\\')).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(task: &str, request: &str, built: &str) -> Record {
        Record {
            task: task.into(),
            output: format!("out/{task}.md"),
            request: Digest::of(request),
            parts: Parts {
                prompt: Digest::of("p"),
                model: Digest::of("m"),
                template: Digest::of("t"),
                items: Vec::new(),
            },
            built: Some(TextId::of(built)),
            expect: None,
            accepted: None,
            approved: None,
        }
    }

    fn lock(records: &[Record]) -> String {
        let mut text = "{\"meu_lock\":1}\n".to_owned();
        for record in records {
            text.push_str(&record.line());
            text.push('\n');
        }
        text
    }

    #[test]
    fn what_is_written_is_read() {
        let text = lock(&[record("a", "r", "x"), record("b/c", "r", "y")]);
        let read = Lock::parse(&text).unwrap_or_default();
        assert_eq!(read.to_text(), text);
        assert!(!read.is_changed());
        assert_eq!(read.tasks().collect::<Vec<_>>(), ["a", "b/c"]);
    }

    #[test]
    fn what_a_merge_leaves_is_healed() {
        let (old, new) = (record("a", "r1", "x"), record("a", "r2", "y"));
        let text = format!(
            "{}<<<<<<< ours\n{}=======\n{}>>>>>>> theirs\n",
            lock(&[]),
            lock(&[old.clone(), old.clone()]),
            lock(std::slice::from_ref(&new))
        );
        let read = Lock::parse(&text).unwrap_or_default();
        assert!(read.is_changed());
        assert_eq!(read.records("a").len(), 2);
        assert_eq!(read.pick("a", Some(Digest::of("y")), None), Some(&new));
        assert_eq!(read.pick("a", Some(Digest::of("x")), Some((Digest::of("r2"), None))), Some(&old));
        assert_eq!(read.pick("a", Some(Digest::of("z")), Some((Digest::of("r2"), None))), None);
        assert_eq!(read.pick("a", None, Some((Digest::of("r2"), None))), Some(&new));
    }

    #[test]
    fn a_broken_line_is_of_its_task_only_and_is_kept() {
        let whole = record("b", "r", "y");
        let text = format!("{{\"meu_lock\":1}}\n{{\"task\":\"a\",\"output\":\"out/\n{}\n", whole.line());
        let read = Lock::parse(&text).unwrap_or_default();
        assert_eq!(read.broken_line("a").map(|broken| broken.line), Some(2));
        assert_eq!(read.pick("b", None, None), Some(&whole));
        assert_eq!(read.to_text(), text);
    }

    #[test]
    fn some_records_are_read_and_written_among_the_others() {
        let ids = ["a", "b", "b/c", "d", "e"];
        let all: Vec<Record> = ids.iter().map(|id| record(id, "r", id)).collect();
        let text = lock(&all);
        for wanted in [&["a"][..], &["b/c"], &["e"], &["a", "b", "e"], &["0", "b/b", "f"], &[], &ids] {
            let mut some = Lock::of_some(Arc::new(text.clone()), wanted.iter().copied()).unwrap_or_default();
            let known: Vec<&str> = wanted.iter().copied().filter(|id| ids.contains(id)).collect();
            assert_eq!(some.tasks().collect::<Vec<_>>(), known, "of {wanted:?}");
            assert_eq!(some.to_text(), text, "of {wanted:?}");
            let mut whole = Lock::parse(&text).unwrap_or_default();
            for id in wanted {
                for lock in [&mut some, &mut whole] {
                    lock.put(record(id, "new", "text"));
                }
            }
            assert_eq!(some.is_changed(), whole.is_changed());
            assert_eq!(some.to_text(), whole.to_text(), "of {wanted:?}");
        }
        assert_eq!(Lock::of_some(Arc::new("{\"meu_lock\":1}\n<<<<<<<\n".into()), ["a"].into_iter()), None);
        assert_eq!(
            Lock::of_some(Arc::new("{\"meu_lock\":1}\n{\"task\":\"a\"}\n".into()), ["a"].into_iter()),
            None
        );
    }

    #[test]
    fn a_newer_lock_is_refused() {
        assert_eq!(Lock::parse("{\"meu_lock\":2}\n"), Err(Newer(2)));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_a_lock_panic(text in "\\PC{0,300}") {
            let _ = Lock::parse(&text);
        }
    }
}
