//! `meu.lock`: records as text, and what a merge may have left of them.
//!
//! JSON Lines: a header with the format's version, then a line a task, sorted by id. No times, no
//! counters, no absolute paths. git merges the file with `merge=union`; what that leaves (a line or
//! the header twice, conflict markers) is read without complaint, and which of a task's lines counts
//! is decided where the file on disk is known ([`Lock::pick`]). About 700 bytes a task.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

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
    /// The records, as they were read, of tasks that have others since.
    before: BTreeMap<String, Vec<Record>>,
    /// The tasks that have, or had, a record at a place, in order.
    places: HashMap<String, Vec<String>>,
    /// Where only the records of some tasks were read: their lines, in order.
    part: Option<Vec<Line>>,
}

/// The line of a task, its end included, and where in the lock it is; empty where it belongs if there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    task: String,
    at: Range<u64>,
    text: String,
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
            match serde_json::from_str::<Record>(line) {
                Ok(record) => {
                    lock.place(&record);
                    let records = lock.records.entry(record.task.clone());
                    // Most have one, and there are as many as tasks.
                    let records = records.or_insert_with(|| Vec::with_capacity(1));
                    lock.changed |= last.as_ref().is_some_and(|last| *last >= record.task);
                    last = Some(record.task.clone());
                    if !records.contains(&record) {
                        records.push(record);
                    }
                }
                Err(error) => match serde_json::from_str::<Header>(line) {
                    Ok(header) if header.meu_lock > VERSION => return Err(Newer(header.meu_lock)),
                    Ok(_) => {}
                    Err(_) => lock.broken.push(Broken {
                        line: number + 1,
                        task: task_of(line),
                        message: error.to_string(),
                        text: line.to_owned(),
                    }),
                },
            }
        }
        lock.changed |= !lock.broken.is_empty() || text.lines().count() != lock.records.len() + 1;
        // A torn line beside a whole one of its task is what a merge left.
        lock.broken.retain(|broken| broken.task.as_ref().is_none_or(|task| !lock.records.contains_key(task)));
        Ok(lock)
    }

    /// Reads the records of some tasks, given in order, out of a lock that is whole: as [`Lock::to_text`] writes it,
    /// with one record a task. It is `length` bytes long, of which `read` gives any. `None` if one cannot be read.
    pub fn of_some<'a>(
        length: u64,
        read: &dyn Fn(Range<u64>) -> Option<Vec<u8>>,
        tasks: impl Iterator<Item = &'a str>,
    ) -> Option<Lock> {
        let tasks: Vec<&str> = tasks.collect();
        let all = (tasks.len() as u64 * LOOKED_AT > length).then(|| read(0..length));
        let of_all = |range: Range<u64>| Some(all.as_ref()?.as_ref()?.get(as_usize(range)?)?.to_vec());
        let text = Text { length, read: if all.is_some() { &of_all } else { read } };
        let mut lock = Lock::default();
        let mut lines = Vec::new();
        let (head, header) = text.line_at(0, 0)?;
        // Lines that end otherwise are another system's.
        let is_plain = !header.contains('\r');
        serde_json::from_str::<Header>(&header).ok().filter(|it| is_plain && it.meu_lock <= VERSION)?;
        let mut from = head.end;
        for task in tasks {
            let (at, line) = text.find(from, task)?;
            if !line.is_empty() {
                let record: Record = serde_json::from_str(&line).ok()?;
                if record.task != task {
                    return None;
                }
                lock.place(&record);
                lock.records.insert(task.to_owned(), vec![record]);
            }
            from = at.end;
            lines.push(Line { task: task.to_owned(), at, text: line });
        }
        lock.part = Some(lines);
        Some(lock)
    }

    /// Forgets the lines of a task that cannot be read.
    pub fn forget_broken(&mut self, task: &str) {
        self.changed = true;
        self.broken.retain(|broken| broken.task.as_deref() != Some(task));
    }

    /// The lock as text; of a part see [`Lock::edits`].
    pub fn to_text(&self) -> String {
        let header = serde_json::to_string(&Header { meu_lock: VERSION }).unwrap_or_default();
        let mut broken: Vec<(&str, &str)> = self
            .broken
            .iter()
            .map(|broken| (broken.task.as_deref().unwrap_or(""), broken.text.as_str()))
            .collect();
        broken.sort_unstable();
        let mut broken = broken.into_iter().peekable();
        let mut text = header + "\n";
        let mut add = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        // Lines by task, and those of one task by themselves.
        for (task, records) in &self.records {
            while let Some((_, line)) = broken.next_if(|(of, _)| *of < task.as_str()) {
                add(line);
            }
            let mut lines: Vec<String> = records.iter().map(Record::line).collect();
            while let Some((_, line)) = broken.next_if(|(of, _)| of == task) {
                lines.push(line.to_owned());
            }
            lines.sort_unstable();
            lines.iter().for_each(|line| add(line));
        }
        broken.for_each(|(_, line)| add(line));
        text
    }

    /// Of a part: what stands where in the lock from now on, in order. `None` if all of the lock was read.
    pub fn edits(&self) -> Option<Vec<(Range<u64>, String)>> {
        let now = |task: &str| self.records(task).iter().map(|record| record.line() + "\n").collect();
        let edits = self.part.as_ref()?.iter().map(|line| (line, now(&line.task)));
        let changed = edits.filter(|(line, text): &(_, String)| line.text != *text);
        Some(changed.map(|(line, text)| (line.at.clone(), text)).collect())
    }

    /// Takes over what changed in another lock since it was read. Of a task that has other records here than were read
    /// there, both count: which one, is decided where the file on disk is known.
    pub fn take_over(&mut self, other: &Lock) {
        for (task, before) in &other.before {
            let mut records = other.records(task).to_vec();
            let own = self.records.remove(task).filter(|own| own != before).unwrap_or_default();
            records.extend(own.into_iter().filter(|own| !other.records(task).contains(own)));
            self.changed = true;
            records.iter().for_each(|record| self.place(record));
            if !records.is_empty() {
                self.records.insert(task.clone(), records);
            }
        }
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
        let tasks = self.places.entry(record.output.clone()).or_insert_with(|| Vec::with_capacity(1));
        if let Err(at) = tasks.binary_search(&record.task) {
            tasks.insert(at, record.task.clone());
        }
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
        self.place(&record);
        let task = record.task.clone();
        let before = self.records.insert(task.clone(), vec![record]);
        self.note(task, before);
    }

    /// Whether there is anything to write.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Forgets a task.
    pub fn remove(&mut self, task: &str) {
        let before = self.records.remove(task);
        self.note(task.to_owned(), before);
    }

    /// Notes that a task has other records than were read.
    fn note(&mut self, task: String, before: Option<Vec<Record>>) {
        self.changed = true;
        self.before.entry(task).or_insert(before.unwrap_or_default());
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

/// So many bytes are read about to find the line of a task: of more tasks than that pays for, all is read.
const LOOKED_AT: u64 = 32 * 1024;

fn as_usize(range: Range<u64>) -> Option<Range<usize>> {
    Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

/// The text of a lock, of which any bytes can be read.
struct Text<'a> {
    length: u64,
    read: &'a dyn Fn(Range<u64>) -> Option<Vec<u8>>,
}

impl Text<'_> {
    /// The line of a task, its end included, in the sorted lines from `from` on; empty where it belongs if it has none.
    /// `None` if a line is not as this meu writes it.
    fn find(&self, from: u64, task: &str) -> Option<(Range<u64>, String)> {
        // The line begins at or after `low`, and before `high`.
        let (mut low, mut high) = (from, self.length);
        while low < high {
            let (at, line) = self.line_at(low + (high - low) / 2, low)?;
            match task_of_record(&line)?.cmp(task) {
                Ordering::Equal => return Some((at, line)),
                Ordering::Less => low = at.end,
                Ordering::Greater => high = at.start,
            }
        }
        Some((low..low, String::new()))
    }

    /// The line that a byte is in, its end included. No line begins before `from` and ends after it.
    fn line_at(&self, at: u64, from: u64) -> Option<(Range<u64>, String)> {
        let mut reach = 2048;
        loop {
            let (start, end) = (at.saturating_sub(reach).max(from), (at + reach).min(self.length));
            let bytes = (self.read)(start..end)?;
            let (before, after) = bytes.split_at_checked(usize::try_from(at - start).ok()?)?;
            let first = match before.iter().rposition(|byte| *byte == b'\n') {
                Some(found) => Some(found + 1),
                None => (start == from).then_some(0),
            };
            let last = after.iter().position(|byte| *byte == b'\n').map(|found| before.len() + found + 1);
            if let (Some(first), Some(last)) = (first, last) {
                let line = String::from_utf8(bytes.get(first..last)?.to_vec()).ok()?;
                return Some((start + first as u64..start + last as u64, line));
            }
            // The last line has an end, too.
            if start == from && end == self.length {
                return None;
            }
            reach *= 4;
        }
    }
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

    fn some(text: &str, tasks: &[&str]) -> Option<Lock> {
        let read =
            |range: Range<u64>| Some(text.as_bytes().get(range.start as usize..range.end as usize)?.to_vec());
        Lock::of_some(text.len() as u64, &read, tasks.iter().copied())
    }

    fn edited(text: &str, lock: &Lock) -> String {
        let mut text = text.to_owned();
        for (range, line) in lock.edits().unwrap_or_default().into_iter().rev() {
            text.replace_range(range.start as usize..range.end as usize, &line);
        }
        text
    }

    #[test]
    fn some_records_are_read_and_written_among_the_others() {
        // Some lines are longer than what is read at a time.
        let long = |id: &str| record(id, "r", id).output.len().max(if id == "b/c" { 9000 } else { 0 });
        let ids = ["a", "b", "b/c", "d", "e"];
        let all: Vec<Record> =
            ids.iter().map(|id| Record { output: "o".repeat(long(id)), ..record(id, "r", id) }).collect();
        let text = lock(&all);
        for wanted in [&["a"][..], &["b/c"], &["e"], &["a", "b", "e"], &["0", "b/b", "f"], &[], &ids] {
            let mut some = some(&text, wanted).unwrap_or_default();
            let known: Vec<&str> = wanted.iter().copied().filter(|id| ids.contains(id)).collect();
            assert_eq!(some.tasks().collect::<Vec<_>>(), known, "of {wanted:?}");
            assert_eq!(some.edits(), Some(Vec::new()), "of {wanted:?}");
            let mut whole = Lock::parse(&text).unwrap_or_default();
            for id in wanted {
                for lock in [&mut some, &mut whole] {
                    lock.put(record(id, "new", "text"));
                }
            }
            assert_eq!(some.is_changed(), whole.is_changed());
            assert_eq!(edited(&text, &some), whole.to_text(), "of {wanted:?}");
            assert_eq!(some.edits().map(|edits| edits.len()), Some(wanted.len()), "of {wanted:?}");
        }
        let whole = lock(&[record("a", "r", "x")]);
        for (why, text) in [
            ("nothing", ""),
            ("no header", "{\"task\":\"a\"}\n"),
            ("a merge", "{\"meu_lock\":1}\n<<<<<<<\n"),
            ("no record", "{\"meu_lock\":1}\n{\"task\":\"a\"}\n"),
            ("a newer one", "{\"meu_lock\":2}\n"),
            ("no last line end", whole.trim_end()),
            ("other line ends", &whole.replace('\n', "\r\n")),
        ] {
            assert_eq!(some(text, &["a"]), None, "{why}");
        }
    }

    #[test]
    fn what_changed_is_taken_over() {
        let of = |requests: [(&str, &str); 4]| {
            let records = requests.map(|(task, request)| record(task, request, "x"));
            Lock::parse(&lock(&records)).unwrap_or_default()
        };
        let mut mine = of([("a", "r"), ("b", "r"), ("c", "r"), ("d", "r")]);
        mine.put(record("b", "mine", "x"));
        mine.put(record("d", "passing", "x"));
        mine.put(record("d", "mine", "x"));
        mine.put(record("f", "mine", "x"));
        mine.remove("c");
        let mut theirs = of([("a", "theirs"), ("b", "theirs"), ("d", "r"), ("e", "theirs")]);
        theirs.take_over(&mine);
        let both = record("b", "mine", "x").line() < record("b", "theirs", "x").line();
        let first = |mine| if mine == both { "mine" } else { "theirs" };
        let expected = [
            ("a", "theirs"),
            ("b", first(true)),
            ("b", first(false)),
            ("d", "mine"),
            ("e", "theirs"),
            ("f", "mine"),
        ];
        let expected = expected.map(|(task, request)| record(task, request, "x"));
        assert_eq!(theirs.to_text(), lock(&expected));

        let mut theirs = of([("a", "r"), ("b", "r"), ("c", "theirs"), ("d", "r")]);
        theirs.take_over(&mine);
        assert_eq!(theirs.records("c"), [record("c", "theirs", "x")], "what they made anew is not removed");
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
