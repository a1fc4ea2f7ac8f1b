//! What a seal knows of tasks, in numbers: who reads which file, who comes after whom. It tells what a change
//! may reach without a task file being read.
//!
//! Words of four bytes, little endian: how many tasks; for each its place in the order of all, its level, the entries
//! of its file and of its output, whether it needs the whole project. Then four lists for each (their ends, then
//! their numbers): the tasks that come earlier, those that it must be looked at with, the entries of the documents
//! that it reads, the bytes of its id, four a word. Then how many documents are searched by anybody, and their entries;
//! at last for each task marks of how it is tied in, and of its card.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::tree::Entries;
use crate::context::card_of;
use crate::digest::{Digest, Framer};
use crate::disk::Workspace;
use crate::graph::{Ix, Lists, Piece};
use crate::spec::{PolicyPatch, Task};

/// See the head of this file. Tasks are numbered by id, entries as in the tree.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// All tasks, each after those that come earlier.
    order: Vec<u32>,
    pub(super) level: Vec<u32>,
    pub(super) file: Vec<u32>,
    pub(super) output: Vec<u32>,
    needs_whole: Vec<u32>,
    pub(super) earlier: Lists,
    near: Lists,
    pub(super) reads: Lists,
    ids: Lists,
    /// Entries of documents that somebody searches, each once.
    searched: Vec<u32>,
    /// How each task is tied in, and what others read of it itself.
    ties: Vec<Mark>,
    cards: Vec<Mark>,
}

/// The first half of a digest: enough to tell two versions of one task apart.
type Mark = [u32; 4];

impl Table {
    /// The table of a workspace, given the entries of files. `None` if its parts cannot be told apart.
    pub(super) fn of(workspace: &Workspace, entry: &dyn Fn(&Path) -> Option<u32>) -> Option<Table> {
        let (graph, store, lock) = (&workspace.graph, &workspace.store, &workspace.lock);
        // A part writes the other records as they are.
        let written = workspace.lock_file.text()?;
        let in_order = lock.broken.is_empty() && (written.is_empty() || lock.to_text() == written);
        let recorded = |id: &str| {
            let place = graph.find(id).map(|ix| graph.node(ix).output.as_str());
            matches!(lock.records(id), [one] if Some(one.output.as_str()) == place)
        };
        if !in_order || !lock.tasks().all(recorded) || !graph.is_divisible() || graph.is_part() {
            return None;
        }
        let files: std::collections::HashMap<&str, &Path> = workspace
            .listed
            .task_files
            .iter()
            .map(|(shown, path)| (shown.as_str(), path.as_path()))
            .collect();
        let mut table = Table { order: graph.order().iter().map(number).collect(), ..Table::default() };
        // Tasks of one list of globs share the documents that are searched.
        let mut lists = HashSet::new();
        let mut searched = BTreeSet::new();
        for (ix, node) in graph.nodes() {
            table.level.push(u32::try_from(node.level).ok()?);
            table.file.push(entry(files.get(node.task.id.source.path.as_str())?)?);
            table.output.push(entry(&store.full(&node.output))?);
            table.needs_whole.push(u32::from(graph.needs_the_whole(ix)));
            table.earlier.push(graph.ordering(ix).map(|earlier| number(&earlier)));
            table.near.push(graph.neighbours(ix).iter().map(number));
            let reads = node.documents().map(|input| &input.path).chain(node.schema());
            let reads: Option<Vec<u32>> = reads.map(|path| entry(&store.full(path))).collect();
            table.reads.push(reads?);
            table.ids.push(words(node.id()));
            table.ties.push(mark(ties(&node.task)));
            table.cards.push(mark(Digest::of(card_of(&node.task))));
            if !lists.insert(Arc::as_ptr(&node.searched)) {
                continue;
            }
            for path in node.searched.iter() {
                searched.insert(entry(&store.full(path))?);
            }
        }
        table.searched = searched.into_iter().collect();
        Some(table)
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// The id of a task.
    pub(super) fn id(&self, task: usize) -> String {
        let words = self.ids.of(task);
        let mut bytes = Vec::with_capacity(4 * words.len());
        words.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
        String::from_utf8(bytes).unwrap_or_default()
    }

    /// The task of an id.
    pub(super) fn find(&self, id: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.id(middle).as_str().cmp(id) {
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The tasks whose state may be another one than it was, by number: those whose documents or outputs changed, those
    /// of `also`, and all that come after them. `None` if a file is no task's, or a task needs the whole project.
    pub(super) fn reached(&self, changed: &[u32], also: &[usize]) -> Option<Vec<usize>> {
        if changed.iter().any(|entry| self.searched.binary_search(entry).is_ok()) {
            return None;
        }
        let mut reached = vec![false; self.len()];
        also.iter().for_each(|task| reached[*task] = true);
        let (entries, mut known): (Entries, _) = (changed.iter().copied().collect(), BTreeSet::new());
        for (task, reached) in reached.iter_mut().enumerate() {
            let own = self.reads.of(task).iter().chain([&self.output[task]]);
            for entry in own.filter(|entry| entries.has(**entry)) {
                known.insert(*entry);
                *reached = true;
            }
        }
        for task in self.order.iter().map(|task| *task as usize) {
            let above = self.earlier.of(task).iter().any(|earlier| reached[*earlier as usize]);
            reached[task] |= above;
        }
        let reached: Vec<usize> = (0..self.len()).filter(|task| reached[*task]).collect();
        let alone = reached.iter().all(|task| self.needs_whole[*task] == 0);
        (known.len() == changed.len() && alone).then_some(reached)
    }

    /// Takes note of tasks whose files were edited; returns those that may be other tasks' business now, themselves
    /// among them. `None` if they are tied in otherwise than they were, or not all there.
    pub(super) fn edit(&mut self, files: &Entries, edited: &[Task]) -> Option<Vec<usize>> {
        let own = self.file.iter().filter(|file| files.has(**file)).count();
        let mut concerned = Vec::new();
        let mut read_by_others = HashSet::new();
        for task in edited {
            let number = self.find(&task.id.value).filter(|number| files.has(self.file[*number]))?;
            if self.ties[number] != mark(ties(task)) {
                return None;
            }
            concerned.push(number);
            let card = mark(Digest::of(card_of(task)));
            if std::mem::replace(&mut self.cards[number], card) != card {
                read_by_others.insert(number as u32);
            }
        }
        if !read_by_others.is_empty() {
            let reads = |task: &usize| self.near.of(*task).iter().any(|near| read_by_others.contains(near));
            concerned.extend((0..self.len()).filter(reads));
        }
        (own == edited.len()).then_some(concerned)
    }

    /// These tasks, and at their edge all that they must be looked at with.
    pub(super) fn pieces(&self, tasks: &[usize]) -> Vec<Piece> {
        let inner: HashSet<usize> = tasks.iter().copied().collect();
        let near = tasks.iter().flat_map(|task| self.near.of(*task)).map(|near| *near as usize);
        let all: BTreeSet<usize> = near.chain(tasks.iter().copied()).collect();
        let mut places = vec![0; self.len()];
        self.order.iter().enumerate().for_each(|(at, task)| places[*task as usize] = at as u32);
        let piece = |task: usize| Piece {
            id: self.id(task),
            number: task as u32,
            is_edge: !inner.contains(&task),
            place: places[task],
        };
        all.into_iter().map(piece).collect()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = (self.len() as u32).to_le_bytes().to_vec();
        let mut add = |words: &[u32]| bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        [&self.order, &self.level, &self.file, &self.output, &self.needs_whole]
            .into_iter()
            .for_each(|all| add(all));
        for lists in [&self.earlier, &self.near, &self.reads, &self.ids] {
            add(&lists.ends);
            add(&lists.numbers);
        }
        add(&[self.searched.len() as u32]);
        add(&self.searched);
        [&self.ties, &self.cards].into_iter().for_each(|marks| add(marks.as_flattened()));
        bytes
    }

    /// `None` if the bytes are not as they were written; numbers of tasks are what they should be.
    pub(super) fn read(bytes: &[u8]) -> Option<Table> {
        let (mut words, rest) = bytes.as_chunks::<4>();
        let mut take = |many: usize| -> Option<Vec<u32>> {
            let (some, more) = words.split_at_checked(many)?;
            words = more;
            Some(some.iter().map(|word| u32::from_le_bytes(*word)).collect())
        };
        let len = *take(1)?.first()? as usize;
        let mut table = Table {
            order: take(len)?,
            level: take(len)?,
            file: take(len)?,
            output: take(len)?,
            needs_whole: take(len)?,
            ..Table::default()
        };
        for lists in [&mut table.earlier, &mut table.near, &mut table.reads, &mut table.ids] {
            lists.ends = take(len)?;
            lists.numbers = take(lists.ends.last().map_or(0, |end| *end as usize))?;
            if !lists.ends.is_sorted() {
                return None;
            }
        }
        let searched = *take(1)?.first()? as usize;
        table.searched = take(searched)?;
        for marks in [&mut table.ties, &mut table.cards] {
            let words = take(4 * len)?;
            *marks = words.as_chunks::<4>().0.to_vec();
        }
        let tasks = table.order.iter().chain(&table.earlier.numbers).chain(&table.near.numbers);
        let sound = tasks.copied().all(|task| (task as usize) < len);
        (sound && rest.is_empty() && words.is_empty()).then_some(table)
    }
}

/// All of a task that decides what others have to do with it and what it reads: not what its own prompt says, nor
/// whom it asks.
fn ties(task: &Task) -> Digest {
    let mut framer = Framer::new("meu ties v1");
    framer.field(&task.id.value).field(&task.title);
    for links in [&task.requires, &task.refers, &task.relates_to, &task.inputs] {
        framer.count(links.len());
        for link in links {
            framer.field(&link.value);
        }
    }
    framer.maybe(task.duplicates.as_ref().map(|link| &link.value));
    framer.maybe(task.output.as_ref().map(|output| output.value.as_str()));
    for items in [Some(&task.pin), Some(&task.exclude), Some(&task.manual), task.items.as_ref()] {
        framer.maybe(items.map(|items| {
            let names: Vec<String> = items.iter().map(|item| item.value.to_string()).collect();
            format!("{names:?}")
        }));
    }
    let schema = task.expect.as_ref().and_then(|expect| expect.schema.as_ref());
    framer.maybe(schema.map(|schema| schema.value.as_str()));
    let policy = PolicyPatch { retrieve_at: None, ..task.policy.clone() };
    let plain = (task.priority, &task.tags, task.approval, &task.run, task.root, &task.vars, policy);
    framer.field(format!("{plain:?}"));
    framer.finish()
}

fn mark(digest: Digest) -> Mark {
    let (words, _) = digest.as_bytes().as_chunks::<4>();
    [0, 1, 2, 3].map(|at| u32::from_le_bytes(words[at]))
}

fn number(ix: &Ix) -> u32 {
    ix.0 as u32
}

/// A text's bytes in words, with zeros at the end. No id has a zero.
fn words(text: &str) -> impl Iterator<Item = u32> {
    text.as_bytes().chunks(4).map(|some| {
        let mut word = [0; 4];
        word[..some.len()].copy_from_slice(some);
        u32::from_le_bytes(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// a ← b ← c, and d that reads what a reads; entries 0 to 3 are documents, 4 to 7 outputs.
    fn table() -> Table {
        let mut table = Table {
            order: vec![0, 3, 1, 2],
            level: vec![0, 1, 2, 0],
            file: vec![8, 9, 10, 11],
            output: vec![4, 5, 6, 7],
            needs_whole: vec![0, 0, 0, 1],
            searched: vec![12],
            ..Table::default()
        };
        for (earlier, reads, id) in [
            (vec![], vec![0], "a"),
            (vec![0], vec![1], "bb/b"),
            (vec![1], vec![], "cc/cé"),
            (vec![], vec![0, 2], "d"),
        ] {
            table.near.push(earlier.clone());
            table.earlier.push(earlier);
            table.reads.push(reads);
            table.ids.push(words(id));
            table.ties.push(mark(Digest::of(id)));
            table.cards.push(mark(Digest::of("card")));
        }
        table
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = table().to_bytes();
        assert_eq!(Table::read(&bytes), Some(table()));
        for at in 0..bytes.len() {
            assert_eq!(Table::read(&bytes[..at]), None, "cut at {at}");
        }
        for (task, id) in ["a", "bb/b", "cc/cé", "d"].iter().enumerate() {
            assert_eq!(table().id(task), *id);
            assert_eq!(table().find(id), Some(task));
        }
        assert_eq!(table().find("c"), None);
    }

    #[test]
    fn a_change_reaches_readers_and_all_below() {
        let reached = |changed: &[u32], also: &[usize]| table().reached(changed, also);
        assert_eq!(reached(&[1], &[]), Some(vec![1, 2]));
        assert_eq!(reached(&[4], &[]), Some(vec![0, 1, 2]), "an output");
        assert_eq!(reached(&[], &[2]), Some(vec![2]));
        assert_eq!(reached(&[0], &[]), None, "d needs the whole");
        assert_eq!(reached(&[3], &[]), None, "nobody reads it");
        assert_eq!(reached(&[1, 12], &[]), None, "who knows who finds it");
        assert_eq!(reached(&[1, 8], &[]), None, "a task's file");
    }
}
