//! A person's decisions about outputs: adopt, restore, approve. Each takes effect in the lock at once.

use crate::context::Shelf;
use crate::diag::Error;
use crate::digest::{Digest, TextId};
use crate::disk::{
    Cache, Durability, Entry, Journal, RunLog, Workspace, is_changed, run_name, write_failures,
};
use crate::event::Event;
use crate::graph::Ix;
use crate::lock::{Lock, Record};
use crate::path::RelPath;

use super::Survey;

pub(super) fn failed(error: std::io::Error, what: &str) -> Error {
    if is_changed(&error) {
        return Error::failed(format!("{what} was changed just now, and stays as it is"))
            .help("look at it, then say the command again");
    }
    Error::failed(format!("{what} cannot be written: {error}"))
}

/// Writes the lock, the journal's records with it.
pub(super) fn commit(workspace: &Workspace, lock: &Lock) -> Result<(), Error> {
    let kept = workspace.replay.keep(&Cache(&workspace.store));
    // What was decided about may be words that a person saved just now.
    workspace.store.sync_written(true).map_err(|error| failed(error, "the output"))?;
    workspace.lock_file.write(&workspace.store, lock).map_err(|error| failed(error, "meu.lock"))?;
    // An answer that nothing else has stays in the journal.
    if kept {
        Journal::new(&workspace.store).end().map_err(|error| failed(error, "the journal"))?;
    }
    Ok(())
}

/// A duplicate has no output of its own.
fn refuse_duplicate(workspace: &Workspace, ix: Ix) -> Result<(), Error> {
    let node = workspace.graph.node(ix);
    match node.duplicate_of {
        None => Ok(()),
        Some(other) => {
            let other = workspace.graph.node(other).id();
            Err(Error::failed(format!("`{}` is a duplicate of `{other}`", node.id()))
                .help(format!("name `{other}`")))
        }
    }
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

/// What is on disk is the output for today's request. Returns what was done, a line a task. An answer
/// beside it goes if all its words are in what is adopted.
pub fn adopt(workspace: &Workspace, tasks: &[Ix]) -> Result<Vec<String>, Error> {
    adopt_all(workspace, tasks, false)
}

/// As [`adopt`]; an answer beside it goes in any case. Its text is kept in the cache.
pub fn adopt_discarding(workspace: &Workspace, tasks: &[Ix]) -> Result<Vec<String>, Error> {
    adopt_all(workspace, tasks, true)
}

fn adopt_all(workspace: &Workspace, tasks: &[Ix], discard: bool) -> Result<Vec<String>, Error> {
    let mut beside = Vec::new();
    let mut lock = workspace.lock.clone();
    let mut failures = workspace.failures.clone();
    let cache = Cache(&workspace.store);
    let mut lines = Vec::new();
    for ix in tasks {
        refuse_duplicate(workspace, *ix)?;
        lock.forget_broken(workspace.graph.node(*ix).id());
    }
    let mut survey = Survey::new(workspace, None);
    for ix in workspace.graph.order().iter().copied() {
        let look = survey.look(ix, &lock, &failures);
        let node = workspace.graph.node(ix);
        if tasks.contains(&ix) {
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
            beside
                .extend(answers_beside(workspace, &node.output).into_iter().map(|path| (path, text.clone())));
            let answer = failures.get(node.id()).and_then(|failure| failure.conflict.clone());
            let built = answer.or_else(|| look.record.as_ref().and_then(|old| old.built.clone()));
            // A text that meu never wrote has no base: the next answer will not be put in its place.
            let is_built = built.as_ref().is_some_and(|built| built.blake3 == digest);
            let accepted = (!is_built).then(|| TextId::of(&text));
            let approved = look.record.as_ref().and_then(|old| old.approved);
            lock.put(Record {
                task: node.id().to_owned(),
                output: node.output.to_string(),
                request: today.request,
                parts: today.parts,
                expect: today.expect,
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
    for (path, adopted) in beside {
        let Ok(Some(answer)) = workspace.shelf.text(&path) else { continue };
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let kept: std::collections::HashSet<String> = adopted.lines().map(words).collect();
        if discard || answer.lines().map(words).all(|line| line.is_empty() || kept.contains(&line)) {
            let kept = cache.keep_text(&answer);
            lines.push(
                match kept.and_then(|digest| workspace.shelf.remove(&path, digest).map(|()| digest)) {
                    Ok(digest) => format!("removed {path} (`meu cat {digest}` prints it)"),
                    Err(error) => format!("kept {path}: {error}"),
                },
            );
        } else {
            lines.push(format!("kept {path}: not all of its words were taken over (`--discard` removes it)"));
        }
    }
    write_failures(&workspace.store, &failures).map_err(|error| failed(error, "the failures"))?;
    workspace.shelf.save();
    Ok(lines)
}

/// The answers that could not be merged and still lie beside an output.
pub(super) fn answers_beside(workspace: &Workspace, output: &RelPath) -> Vec<RelPath> {
    output.new_answers().filter(|path| workspace.store.full(path).is_file()).collect()
}

/// The texts of an output.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    /// The last answer.
    pub built: Option<String>,
    /// What is on disk.
    pub on_disk: Option<String>,
    /// An answer that could not be merged.
    pub beside: Option<String>,
    /// The text that was approved last.
    pub approved: Option<String>,
}

/// The texts of an output, as far as they are to be had.
pub fn texts_of(workspace: &Workspace, ix: Ix) -> Result<Texts, Error> {
    let node = workspace.graph.node(ix);
    let cache = Cache(&workspace.store);
    let read = |path: &RelPath| match workspace.shelf.text(path) {
        Ok(text) => Ok(text.map(|text| text.to_string())),
        Err(error) => Err(Error::failed(format!("`{path}` cannot be read: {error}"))),
    };
    let on_disk = read(&node.output)?;
    let digest = on_disk.as_deref().map(Digest::of);
    let record = workspace.lock.pick(node.id(), digest, None);
    Ok(Texts {
        built: record.and_then(|record| cache.text_anywhere(record.built.as_ref()?)),
        // The last one is the answer to the last request.
        beside: match answers_beside(workspace, &node.output).last() {
            Some(path) => read(path)?,
            None => None,
        },
        approved: record.and_then(|record| record.approved).and_then(|digest| cache.text(digest)),
        on_disk,
    })
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
        refuse_duplicate(workspace, ix)?;
        let wrong = |error| {
            Error::failed(format!("`{}` cannot be read, so it is not replaced: {error}", node.output))
                .help("move it away first; nothing of it is kept anywhere")
        };
        let on_disk = workspace.shelf.digest(&node.output).map_err(wrong)?;
        let record = lock.pick(node.id(), on_disk, None).or(lock.records(node.id()).first()).cloned();
        let Some(record) = record else {
            return Err(Error::failed(format!(
                "`{}` was never built, so there is nothing to restore",
                node.id()
            ))
            .help(format!("`meu run {}` builds it", node.id())));
        };
        let Some(text) = record.built.as_ref().and_then(|built| cache.text_anywhere(built)) else {
            return Err(Error::failed(format!(
                "the built text of `{}` is neither in the cache nor in git",
                node.id()
            ))
            .help(format!("`meu run --force {}` makes it anew", node.id())));
        };
        if record.output != node.output.as_str() {
            return Err(Error::failed(format!("the output of `{}` has another place now", node.id()))
                .help(format!("`meu run {}` carries it over first", node.id())));
        }
        let mut line = format!("{} is the built text again", node.output);
        if let Some(old) = workspace.shelf.text(&node.output).map_err(wrong)?
            && *old != *text
        {
            let digest =
                cache.keep_text(&old).map_err(|error| failed(error, "what is there to the cache"))?;
            line.push_str(&format!(
                "; what was there is kept as {digest} (`meu cat {digest} > {}` brings it back)",
                node.output
            ));
        }
        let record = Record { accepted: None, ..record };
        let entry =
            Entry::Record { record: Box::new(record.clone()), before: on_disk, writes: Digest::of(&text) };
        workspace.store.make_meu()?;
        journal.add(&entry, false).map_err(|error| failed(error, "the journal"))?;
        workspace
            .shelf
            .write(&node.output, on_disk, &text, Durability::Now)
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
    let mut log = RunLog::new(&workspace.store, &run_name(), workspace.redactor.clone());
    let mut lines = Vec::new();
    for ix in tasks.iter().copied() {
        let node = workspace.graph.node(ix);
        refuse_duplicate(workspace, ix)?;
        if !node.task.approval {
            return Err(Error::failed(format!("`{}` asks for no approval", node.id()))
                .help("set `approval = true` in its file"));
        }
        let (text, digest) = output_of(workspace, ix)?;
        let Some(record) = lock.pick(node.id(), Some(digest), None).cloned() else {
            return Err(Error::failed(format!("`{}` was not built by meu yet", node.id())).help(format!(
                "`meu run {0}` builds it, `meu adopt {0}` takes the text as it is",
                node.id()
            )));
        };
        lock.put(Record { approved: Some(digest), ..record });
        Cache(&workspace.store).put_text(&text);
        let by = crate::disk::who(&workspace.store);
        log.add(&Event::Approved { task: node.id().to_owned(), text: digest, by });
        lines.push(format!("approved {} as it is ({})", node.output, digest.short()));
    }
    commit(workspace, &lock)?;
    workspace.shelf.save();
    Ok(lines)
}
