//! A person's decisions about outputs: adopt, restore, approve. Each takes effect in the lock at once.

use crate::context::Shelf;
use crate::diag::Error;
use crate::digest::{Digest, TextId};
use crate::disk::{Cache, Durability, Entry, Journal, Workspace, write_failures};
use crate::graph::Ix;
use crate::lock::{Lock, Record};
use crate::path::RelPath;

use super::Survey;

pub(super) fn failed(error: std::io::Error, what: &str) -> Error {
    Error::failed(format!("{what} cannot be written: {error}"))
}

/// Writes the lock, the journal's records with it.
pub(super) fn commit(workspace: &Workspace, lock: &Lock) -> Result<(), Error> {
    workspace.replay.keep(&Cache(&workspace.store));
    workspace.store.sync_written().map_err(|error| failed(error, "the output"))?;
    let path = RelPath::parse("meu.lock").map_err(|problem| Error::failed(problem.message()))?;
    workspace
        .store
        .write(&path, &lock.to_text(), Durability::Now)
        .map_err(|error| failed(error, "meu.lock"))?;
    workspace.store.sync_written().map_err(|error| failed(error, "meu.lock"))?;
    Journal::new(&workspace.store).end().map_err(|error| failed(error, "the journal"))
}

/// The text of an output, and its digest.
fn output_of(workspace: &Workspace, ix: Ix) -> Result<(String, Digest), Error> {
    let node = workspace.graph.node(ix);
    match workspace.shelf.text(&node.output) {
        Ok(Some(text)) => Ok((text.to_string(), Digest::of(&*text))),
        Ok(None) => {
            Err(Error::failed(format!("`{}` has no output yet: there is no `{}`", node.id(), node.output))
                .help(format!("`meu run {}` makes it", node.id())))
        }
        Err(error) => Err(Error::failed(format!("`{}` cannot be read: {error}", node.output))),
    }
}

/// What is on disk is the output for today's request. Returns what was done, a line a task.
pub fn adopt(workspace: &Workspace, tasks: &[Ix]) -> Result<Vec<String>, Error> {
    let mut lock = workspace.lock.clone();
    let mut failures = workspace.failures.clone();
    let cache = Cache(&workspace.store);
    let mut lines = Vec::new();
    for ix in tasks {
        lock.forget_broken(workspace.graph.node(*ix).id());
    }
    let mut survey = Survey::new(workspace, None);
    for ix in workspace.graph.order().iter().copied() {
        let look = survey.look(ix, &lock, &failures);
        let node = workspace.graph.node(ix);
        if tasks.contains(&ix) && node.duplicate_of.is_none() {
            let (text, digest) = output_of(workspace, ix)?;
            let Some(today) = look.today else {
                return Err(Error::failed(format!(
                    "`{}` cannot be adopted: what it requires is not up to date",
                    node.id()
                ))
                .help(format!(
                    "`meu run {}` brings that up to date; `meu why {}` tells more",
                    node.id(),
                    node.id()
                )));
            };
            cache.put_text(&text);
            let conflict = failures.get(node.id()).is_some_and(|failure| failure.conflict);
            let answer = conflict
                .then(|| cache.answer(today.request))
                .flatten()
                .map(|(_, answer)| TextId::of(&answer));
            let built = answer.or_else(|| look.record.as_ref().map(|old| old.built.clone()));
            let built = built.unwrap_or_else(|| TextId::of(&text));
            let accepted = (built.blake3 != digest).then(|| TextId::of(&text));
            let approved = look.record.as_ref().and_then(|old| old.approved);
            lock.put(Record {
                task: node.id().to_owned(),
                output: node.output.to_string(),
                request: today.request,
                parts: today.parts,
                built,
                accepted,
                approved,
            });
            failures.remove(node.id());
            lines.push(format!("adopted {} as the output of {}", node.output, node.id()));
            let look = survey.look(ix, &lock, &failures);
            survey.decided(ix, look.verdict);
        } else {
            survey.decided(ix, look.verdict);
        }
    }
    commit(workspace, &lock)?;
    write_failures(&workspace.store, &failures).map_err(|error| failed(error, "the failures"))?;
    workspace.shelf.save();
    Ok(lines)
}

/// The output goes back to the built text; what was there is kept in the cache.
pub fn restore(workspace: &Workspace, tasks: &[Ix]) -> Result<Vec<String>, Error> {
    let mut lock = workspace.lock.clone();
    let mut failures = workspace.failures.clone();
    let cache = Cache(&workspace.store);
    let journal = Journal::new(&workspace.store);
    let mut lines = Vec::new();
    for ix in tasks.iter().copied() {
        let node = workspace.graph.node(ix);
        let on_disk = workspace.shelf.digest(&node.output).ok().flatten();
        let record = lock.pick(node.id(), on_disk, None).or(lock.records(node.id()).first()).cloned();
        let Some(record) = record else {
            return Err(Error::failed(format!(
                "`{}` was never built, so there is nothing to restore",
                node.id()
            ))
            .help(format!("`meu run {}` builds it", node.id())));
        };
        let Some(text) = cache.text_anywhere(&record.built) else {
            return Err(Error::failed(format!(
                "the built text of `{}` is neither in the cache nor in git",
                node.id()
            ))
            .help(format!("`meu run --force {}` makes it anew", node.id())));
        };
        let mut line = format!("{} is the built text again", node.output);
        if let Ok(Some(old)) = workspace.shelf.text(&node.output)
            && *old != *text
        {
            let digest = cache.put_text(&old);
            line.push_str(&format!("; what was there is kept as {digest} (`meu cat {digest}` prints it)"));
        }
        let record = Record { accepted: None, ..record };
        let entry = Entry::Record { record: Box::new(record.clone()), writes: Some(Digest::of(&text)) };
        workspace.store.make_meu()?;
        journal.add(&entry, false).map_err(|error| failed(error, "the journal"))?;
        workspace
            .shelf
            .write(&node.output, &text, Durability::Now)
            .map_err(|error| failed(error, node.output.as_str()))?;
        failures.remove(node.id());
        lock.put(record);
        lines.push(line);
    }
    commit(workspace, &lock)?;
    write_failures(&workspace.store, &failures).map_err(|error| failed(error, "the failures"))?;
    workspace.shelf.save();
    Ok(lines)
}

/// A person approves the outputs as they are on disk.
pub fn approve(workspace: &Workspace, tasks: &[Ix]) -> Result<Vec<String>, Error> {
    let mut lock = workspace.lock.clone();
    let mut lines = Vec::new();
    for ix in tasks.iter().copied() {
        let node = workspace.graph.node(ix);
        if !node.task.approval {
            return Err(Error::failed(format!("`{}` asks for no approval", node.id()))
                .help("set `approval = true` in its file"));
        }
        let (_, digest) = output_of(workspace, ix)?;
        let Some(record) = lock.pick(node.id(), Some(digest), None).cloned() else {
            return Err(Error::failed(format!("`{}` was not built by meu yet", node.id())).help(format!(
                "`meu run {0}` builds it, `meu adopt {0}` takes the text as it is",
                node.id()
            )));
        };
        lock.put(Record { approved: Some(digest), ..record });
        lines.push(format!("approved {} as it is ({})", node.output, digest.short()));
    }
    commit(workspace, &lock)?;
    workspace.shelf.save();
    Ok(lines)
}
