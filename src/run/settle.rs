//! Settling: a new text meets what is on disk. Written, merged, or put beside it; never over a
//! person's words.

use std::collections::BTreeMap;

use crate::context::{LARGEST_DOCUMENT, Shelf};
use crate::digest::{Digest, TextId};
use crate::disk::{Cache, Durability, Entry, Journal, Workspace, is_changed};
use crate::graph::Ix;
use crate::lock::{Lock, Record};
use crate::path::RelPath;
use crate::plan::{Failure, State, Today, Verdict};
use crate::spec::reserved_place;

use super::merge::{Merged, merge};

/// How often a file is moved that somebody saves meanwhile.
const TRIES: usize = 8;

/// What settling changes beside files.
pub(super) struct Books<'a> {
    pub workspace: &'a Workspace,
    pub journal: &'a Journal<'a>,
    pub lock: Lock,
    pub failures: BTreeMap<String, Failure>,
    /// Whether an output was left as it is, since somebody saved it while it was to be written.
    pub saved_meanwhile: bool,
}

impl Books<'_> {
    fn cache(&self) -> Cache<'_> {
        Cache(&self.workspace.store)
    }

    /// A task failed; its record stays.
    pub(super) fn failed(&mut self, ix: Ix, failure: Failure) -> Verdict {
        let message = self.workspace.redactor.clean(&failure.message).into_owned();
        let failure = Failure { message: message.clone(), ..failure };
        self.failures.insert(self.workspace.graph.node(ix).id().to_owned(), failure);
        Verdict::failed(message)
    }

    /// Carries an output whose place was changed over to its new place, a person's words in it as they are.
    /// Tells whether there was one.
    pub(super) fn carry_over(&mut self, ix: Ix, record: &Record) -> Result<bool, String> {
        let node = self.workspace.graph.node(ix);
        let graph = &self.workspace.graph;
        let Ok(old) = RelPath::parse_writable(&record.output) else { return Ok(false) };
        // The lock is data from a repository: only what could be an output, and is nobody's now, moves.
        let other = graph.nodes().any(|(_, other)| {
            other.output.folded() == old.folded() || other.documents().any(|document| document.path == old)
        });
        let ours = old != node.output && !other && old != graph.config.index;
        if !ours
            || reserved_place(&old, &graph.config.tasks).is_some()
            || self.workspace.store.is_aliased(old.as_str())
        {
            return Ok(false);
        }
        let shelf = &self.workspace.shelf;
        let Ok(Some(mut text)) = shelf.text(&old) else { return Ok(false) };
        let record = Record { output: node.output.to_string(), ..record.clone() };
        for _ in 0..TRIES {
            self.put(ix, record.clone(), Some(&text), Durability::Now)?;
            match shelf.remove(&old, Digest::of(&*text)) {
                Ok(()) => return Ok(true),
                // Somebody has just saved it: what is there now is what moves.
                Err(error) if is_changed(&error) => match shelf.text(&old) {
                    Ok(Some(now)) => text = now,
                    _ => return Ok(true),
                },
                Err(error) => return Err(format!("`{old}` cannot be removed: {error}")),
            }
        }
        Err(format!("`{old}` changes all the time (run again once it does not)"))
    }

    /// Brings a missing output back, if its text is stored: the adopted one, else the built one. Without
    /// `cached` a built text comes from git only.
    pub(super) fn restore(
        &mut self,
        ix: Ix,
        record: &Record,
        today: &Today,
        cached: bool,
    ) -> Option<Result<Verdict, String>> {
        let accepted = record.accepted.as_ref().and_then(|id| self.cache().text_anywhere(id));
        let built = || match cached {
            true => self.cache().text_anywhere(record.built.as_ref()?),
            false => crate::disk::blob(self.workspace.store.root(), record.built.as_ref()?),
        };
        let text = accepted.or_else(built)?;
        let output = &self.workspace.graph.node(ix).output;
        let digest = Digest::of(&text);
        // Without the adopted text the built one is the output again.
        let accepted = record.accepted.clone().filter(|accepted| accepted.blake3 == digest);
        let record =
            Record { output: output.to_string(), accepted, parts: today.parts.clone(), ..record.clone() };
        Some(self.put(ix, record, Some(&text), Durability::Now))
    }

    /// A task's new text meets what is on disk now.
    pub(super) fn settle(&mut self, ix: Ix, today: &Today, text: &str, durability: Durability) -> Verdict {
        match self.try_settle(ix, today, text, durability) {
            Ok(verdict) => verdict,
            Err(message) => self.failed(ix, Failure { message, ..Failure::of(today) }),
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
        if text.len() as u64 > LARGEST_DOCUMENT {
            return Err(format!(
                "the output has {} bytes, and {LARGEST_DOCUMENT} are the most that meu reads",
                text.len()
            ));
        }
        if text.is_empty() && Some(ix) == self.workspace.graph.root() {
            return Err("the root task's output is empty (mend its prompt)".into());
        }
        // A person may have edited it since this run looked.
        shelf.look_again(&node.output);
        let on_disk =
            shelf.text(&node.output).map_err(|error| format!("`{}` cannot be read: {error}", node.output))?;
        let digest = on_disk.as_deref().map(Digest::of);
        let old = self.lock.pick(node.id(), digest, Some(today.key())).cloned();
        self.cache().put_text(text);
        let mut record = Record {
            task: node.id().to_owned(),
            output: node.output.to_string(),
            request: today.request,
            parts: today.parts.clone(),
            expect: today.expect,
            built: Some(TextId::of(text)),
            accepted: None,
            approved: old.as_ref().and_then(|old| old.approved),
        };
        // A person's adopted words that are gone from disk are still that person's words.
        let adopted = || old.as_ref()?.accepted.as_ref().and_then(|id| self.cache().text_anywhere(id));
        let ours = on_disk.as_deref().map(str::to_owned).or_else(adopted);
        // What another task left at this place is a base too, and as it left it no person's.
        let here = old.as_ref().filter(|old| old.output == node.output.as_str());
        let base_of =
            here.or_else(|| self.lock.other_record(node.id(), node.output.as_str())).or(old.as_ref());
        let base = base_of.and_then(|record| record.built.clone());
        let is_made = |ours: &str| {
            let text = Digest::of(ours);
            base.as_ref().is_some_and(|id| id.blake3 == text)
                || [&self.lock, &self.workspace.lock]
                    .iter()
                    .any(|lock| lock.other_maker(node.id(), node.output.as_str(), text).is_some())
        };
        if ours.as_deref().is_none_or(is_made) {
            let write = on_disk.as_deref() != Some(text);
            return self.put(ix, record, write.then_some(text), durability);
        }
        let ours = ours.unwrap_or_default();
        let was_built = base.is_some();
        let base = base.and_then(|id| self.cache().text_anywhere(&id));
        match merge(base.as_deref(), &ours, text) {
            Merged::Clean(merged) => {
                let write = on_disk.as_deref() != Some(merged.as_str());
                // The same answer to the same request leaves an adoption as it is.
                record.accepted = old
                    .filter(|old| old.request == today.request)
                    .and_then(|old| old.accepted)
                    .filter(|accepted| accepted.blake3 == Digest::of(&merged));
                self.put(ix, record, write.then_some(merged.as_str()), Durability::Now)
            }
            Merged::Conflict => {
                if on_disk.is_none() {
                    // The person's adopted words come back first.
                    shelf.write(&node.output, None, &ours, Durability::Now).map_err(|error| {
                        format!("`{}` cannot be written: {error} (mend that, then run again)", node.output)
                    })?;
                }
                let beside = self.write_beside(&node.output, text)?;
                let id = node.id();
                let (why, back) = match base {
                    Some(_) => ("your edits and the new answer collide", format!("; or `meu restore {id}`")),
                    None if was_built => {
                        ("what the edits were made from is neither in the cache nor in git", String::new())
                    }
                    None => ("the text there is not one that meu wrote", String::new()),
                };
                let message = format!(
                    "{why}; `{}` is as it was, the new answer is in `{beside}` (take what you want of it over, \
                     then `meu adopt {id}`{back})",
                    node.output
                );
                let conflict = Some(TextId::of(text));
                Ok(self.failed(ix, Failure { message, conflict, ..Failure::of(today) }))
            }
        }
    }

    /// Writes an output if there is something to write, and its record.
    fn put(
        &mut self,
        ix: Ix,
        mut record: Record,
        write: Option<&str>,
        durability: Durability,
    ) -> Result<Verdict, String> {
        let node = self.workspace.graph.node(ix);
        let shelf = &self.workspace.shelf;
        if !node.task.approval {
            record.approved = None;
        }
        // What cannot be read cannot be kept, and what is not kept is not replaced.
        let unread = |error| format!("`{}` cannot be read, so it is not replaced: {error}", node.output);
        // As it was when this was decided: what somebody has changed since is not replaced either.
        let before = shelf.digest(&node.output).map_err(unread)?;
        if let Some(writes) = write.map(Digest::of).or(before) {
            let entry = Entry::Record { record: Box::new(record.clone()), before, writes };
            self.journal
                .add(&entry, false)
                .map_err(|error| format!("the journal cannot be written: {error}"))?;
        }
        if let Some(text) = write {
            if let Some(old) = shelf.text(&node.output).map_err(unread)? {
                self.cache().keep_text(&old).map_err(|error| {
                    format!("`{}` is left as it is, since its text cannot be kept: {error}", node.output)
                })?;
            }
            if let Err(error) = shelf.write(&node.output, before, text, durability) {
                let mut mend = "mend that, then ";
                if is_changed(&error) {
                    self.saved_meanwhile = true;
                    mend = "";
                    // Else what a person has there would count as an edit of it, if the run were cut off.
                    let refused = Entry::Refused { task: node.id().to_owned(), writes: Digest::of(text) };
                    let _ = self.journal.add(&refused, false);
                }
                return Err(format!("`{}` cannot be written: {error} ({mend}run again)", node.output));
            }
        }
        let on_disk = shelf.digest(&node.output).ok().flatten();
        let state = if node.task.approval && record.approved != on_disk {
            State::Awaiting
        } else if on_disk.is_some_and(|text| record.knows(text)) {
            State::Fresh
        } else {
            State::Edited
        };
        self.failures.remove(node.id());
        self.lock.put(record);
        Ok(Verdict { state, reasons: Vec::new(), on: Vec::new(), message: None, unchanged: Some(true) })
    }

    /// Puts an answer beside an edited output. What a person wrote there is never overwritten.
    fn write_beside(&self, output: &RelPath, text: &str) -> Result<RelPath, String> {
        let shelf = &self.workspace.shelf;
        for beside in output.new_answers() {
            shelf.look_again(&beside);
            let there = shelf.text(&beside).map_err(|error| format!("`{beside}` cannot be read: {error}"))?;
            let ours_to_replace = match &there {
                None => true,
                Some(there) if **there == *text => return Ok(beside),
                // An answer that was put there before and that nobody touched is in the cache.
                Some(there) => self.cache().text(Digest::of(&**there)).is_some(),
            };
            if ours_to_replace {
                shelf
                    .write(&beside, there.as_deref().map(Digest::of), text, Durability::Now)
                    .map_err(|error| format!("`{beside}` cannot be written: {error}"))?;
                return Ok(beside);
            }
        }
        Err(format!("there are a hundred unresolved answers beside `{output}`; remove some"))
    }
}
