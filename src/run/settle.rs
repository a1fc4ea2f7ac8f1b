//! Settling: a new text meets what is on disk. Written, merged, or put beside it; never over a
//! person's words.

use std::collections::BTreeMap;

use crate::context::Shelf;
use crate::digest::{Digest, TextId};
use crate::disk::{Cache, Durability, Entry, Journal, Workspace};
use crate::graph::Ix;
use crate::lock::{Lock, Record};
use crate::path::RelPath;
use crate::plan::{Failure, State, Today, Verdict};

use super::merge::{Merged, merge};

/// What settling changes beside files.
pub(super) struct Books<'a> {
    pub workspace: &'a Workspace,
    pub journal: &'a Journal<'a>,
    pub lock: Lock,
    pub failures: BTreeMap<String, Failure>,
}

impl Books<'_> {
    fn cache(&self) -> Cache<'_> {
        Cache(&self.workspace.store)
    }

    /// A task failed; its record stays.
    pub(super) fn failed(
        &mut self,
        ix: Ix,
        request: Option<Digest>,
        message: String,
        conflict: bool,
    ) -> Verdict {
        let id = self.workspace.graph.node(ix).id().to_owned();
        let failure = Failure { request, message: message.clone(), conflict };
        self.failures.insert(id, failure);
        Verdict {
            state: State::Failed,
            reasons: Vec::new(),
            on: Vec::new(),
            message: Some(message),
            unchanged: None,
        }
    }

    /// Brings a missing output back, if its text is stored.
    pub(super) fn restore(&mut self, ix: Ix, record: &Record) -> Option<Result<Verdict, String>> {
        let accepted = record.accepted.as_ref().and_then(|id| self.cache().text_anywhere(id));
        let text = accepted.or_else(|| self.cache().text_anywhere(&record.built))?;
        let output = &self.workspace.graph.node(ix).output;
        let digest = Digest::of(&text);
        // Without the adopted text the built one is the output again.
        let accepted = record.accepted.clone().filter(|accepted| accepted.blake3 == digest);
        let record = Record { output: output.to_string(), accepted, ..record.clone() };
        Some(self.put(ix, record, Some(&text), Durability::Now))
    }

    /// A task's new text meets what is on disk now.
    pub(super) fn settle(&mut self, ix: Ix, today: &Today, text: &str, durability: Durability) -> Verdict {
        match self.try_settle(ix, today, text, durability) {
            Ok(verdict) => verdict,
            Err(message) => self.failed(ix, Some(today.request), message, false),
        }
    }

    fn try_settle(
        &mut self,
        ix: Ix,
        today: &Today,
        text: &str,
        durability: Durability,
    ) -> Result<Verdict, String> {
        let node = self.workspace.graph.node(ix);
        let shelf = &self.workspace.shelf;
        // A person may have edited it since this run looked.
        shelf.look_again(&node.output);
        let on_disk =
            shelf.text(&node.output).map_err(|error| format!("`{}` cannot be read: {error}", node.output))?;
        let digest = on_disk.as_deref().map(Digest::of);
        let old = self.lock.pick(node.id(), digest, Some(today.request)).cloned();
        self.cache().put_text(text);
        let record = Record {
            task: node.id().to_owned(),
            output: node.output.to_string(),
            request: today.request,
            parts: today.parts.clone(),
            built: TextId::of(text),
            accepted: None,
            approved: old.as_ref().and_then(|old| old.approved),
        };
        // A person's adopted words that are gone from disk are still that person's words.
        let adopted = || old.as_ref()?.accepted.as_ref().and_then(|id| self.cache().text_anywhere(id));
        let ours = on_disk.as_deref().map(str::to_owned).or_else(adopted);
        let built = old.as_ref().map(|old| old.built.clone());
        let untouched =
            ours.as_deref().is_none_or(|ours| built.as_ref().is_some_and(|id| id.blake3 == Digest::of(ours)));
        if untouched {
            let write = on_disk.as_deref() != Some(text);
            return self.put(ix, record, write.then_some(text), durability);
        }
        let ours = ours.unwrap_or_default();
        let base = built.and_then(|id| self.cache().text_anywhere(&id));
        match merge(base.as_deref(), &ours, text) {
            Merged::Clean(merged) => {
                let write = on_disk.as_deref() != Some(merged.as_str());
                self.put(ix, record, write.then_some(merged.as_str()), Durability::Now)
            }
            Merged::Conflict => {
                let beside = self.write_beside(&node.output, text)?;
                let id = node.id();
                let why = match base {
                    Some(_) => "your edits and the new answer collide",
                    None => "the text there is not one that meu wrote",
                };
                let back = match base {
                    Some(_) => format!("; or `meu restore {id}`"),
                    None => String::new(),
                };
                let message = format!(
                    "{why}; `{}` is as it was, the new answer is in `{beside}` (take what you want of it over, \
                     then `meu adopt {id}`{back})",
                    node.output
                );
                Ok(self.failed(ix, Some(today.request), message, true))
            }
        }
    }

    /// Writes an output if there is something to write, and its record.
    fn put(
        &mut self,
        ix: Ix,
        record: Record,
        write: Option<&str>,
        durability: Durability,
    ) -> Result<Verdict, String> {
        let node = self.workspace.graph.node(ix);
        let shelf = &self.workspace.shelf;
        let entry = Entry::Record { record: Box::new(record.clone()), writes: write.map(Digest::of) };
        self.journal.add(&entry, false).map_err(|error| format!("the journal cannot be written: {error}"))?;
        if let Some(text) = write {
            if let Ok(Some(old)) = shelf.text(&node.output) {
                self.cache().put_text(&old);
            }
            shelf.write(&node.output, text, durability).map_err(|error| {
                format!("`{}` cannot be written: {error} (mend that, then run again)", node.output)
            })?;
        }
        let on_disk = shelf.digest(&node.output).ok().flatten();
        let state = if !on_disk.is_some_and(|text| record.knows(text)) {
            if node.task.approval && record.approved != on_disk { State::Awaiting } else { State::Edited }
        } else if node.task.approval && record.approved != on_disk {
            State::Awaiting
        } else {
            State::Fresh
        };
        self.failures.remove(node.id());
        self.leave_old_place(ix);
        self.lock.put(record);
        Ok(Verdict { state, reasons: Vec::new(), on: Vec::new(), message: None, unchanged: Some(true) })
    }

    /// An output that moved leaves no copy behind, unless a person wrote there.
    fn leave_old_place(&self, ix: Ix) {
        let node = self.workspace.graph.node(ix);
        for old in self.lock.records(node.id()).iter().filter(|old| old.output != node.output.as_str()) {
            let Ok(path) = RelPath::parse(&old.output) else { continue };
            let taken = self.workspace.graph.nodes().any(|(_, other)| other.output.folded() == path.folded());
            let known = self.workspace.shelf.digest(&path).ok().flatten().is_some_and(|text| old.knows(text));
            if !taken && known && path != self.workspace.graph.config.index {
                // Its text is in the cache and at the new place; a copy that stays is only untidy.
                let _ = self.workspace.store.remove(&path);
                self.workspace.shelf.look_again(&path);
            }
        }
    }

    /// Puts an answer beside an edited output. What a person wrote there is never overwritten.
    fn write_beside(&self, output: &RelPath, text: &str) -> Result<RelPath, String> {
        let shelf = &self.workspace.shelf;
        for number in 1..100 {
            let word = if number == 1 { "new".to_owned() } else { format!("new.{number}") };
            let beside = output.with_infix(&word);
            shelf.look_again(&beside);
            let there = shelf.text(&beside).map_err(|error| format!("`{beside}` cannot be read: {error}"))?;
            let ours_to_replace = match &there {
                None => true,
                Some(there) if **there == *text => return Ok(beside),
                // An answer that was put there before and that nobody touched is in the cache.
                Some(there) => self.cache().text(Digest::of(&**there)).is_some(),
            };
            if ours_to_replace {
                self.workspace
                    .store
                    .write(&beside, text, Durability::Now)
                    .map_err(|error| format!("`{beside}` cannot be written: {error}"))?;
                shelf.look_again(&beside);
                return Ok(beside);
            }
        }
        Err(format!("there are a hundred unresolved answers beside `{output}`; remove some"))
    }
}
