//! Carrying an approved proposal out: validated against the project as it stands, then moved in, all or nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::author::{Change, Merging, check_keys, patch};
use crate::context::Shelf;
use crate::diag::{Error, Sink, Source};
use crate::digest::Digest;
use crate::disk::{Begun, Durability, Overlay, Proposal, Proposals, Workspace, is_changed, load_over};
use crate::path::RelPath;
use crate::spec::{TASK_SCHEMA, parse_tasks, schema_line};

use super::person::failed;

/// What approving a proposal would do.
#[derive(Debug)]
pub struct Landing {
    /// What becomes of each task.
    pub changes: Vec<Change>,
    /// The project as it would be.
    pub planned: Workspace,
}

/// Finds out what approving a proposal would do, or all that speaks against it. `chosen` says which tasks.
pub fn landing(
    workspace: &Workspace,
    proposal: &Proposal,
    chosen: &dyn Fn(&str) -> bool,
) -> Result<Landing, Error> {
    let wanted = |texts: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        texts.iter().filter(|(id, _)| chosen(id)).map(|(id, text)| (id.clone(), text.clone())).collect()
    };
    let (proposed, mut base) = (wanted(&proposal.tasks), wanted(&proposal.base));
    // What landed of it is proposed still, and what a person took out of it is left alone.
    let about = &proposal.about;
    base.retain(|id, _| {
        proposed.contains_key(id) || !(about.landed.contains(id) || about.written.contains_key(id))
    });
    let sink = Sink::default();
    for (id, text) in &proposed {
        let source = Arc::new(Source { path: Proposals::shown(&proposal.name, id), text: text.clone() });
        if check_keys(&source, &sink) {
            parse_tasks(&source, id, &sink);
        }
    }
    let problems = sink.into_sorted();
    if !problems.is_empty() {
        return Err(in_proposal(Error::from(problems)));
    }
    let changes = patch(Merging { graph: &workspace.graph, proposed: &proposed, base: &base })?;
    if let Some(change) =
        changes.iter().find(|change| change.old.is_none() && workspace.task_text(&change.file).is_some())
    {
        let (id, file) = (&change.id, &change.file);
        return Err(Error::failed(format!("`{id}` would be in `{file}`, which holds other tasks"))
            .help("give these files of their own first"));
    }
    let overlay: Overlay = changes
        .iter()
        .filter(|change| change.old.is_some() || change.new.is_some())
        .map(|change| (change.file.clone(), change.new.clone()))
        .collect();
    let planned = load_over(workspace.store.root(), &overlay).map_err(|mut error| {
        // What is not in the project yet is in the proposal.
        for place in error.diagnostics.iter_mut().filter_map(|problem| problem.place.as_mut()) {
            let added = changes.iter().find(|change| change.file == place.file && change.old.is_none());
            if let Some(change) = added {
                place.file = Proposals::shown(&proposal.name, &change.id);
            }
        }
        in_proposal(error)
    })?;
    Ok(Landing { changes, planned })
}

fn in_proposal(error: Error) -> Error {
    let message = error.message.replace("in this project", "in this project with the proposal");
    Error { message, ..error }
}

/// The files that are to be written, each after all that its tasks name, then those that go, in the other
/// direction: cut off anywhere the project still holds together, and the next try goes on. Of each file what it
/// holds, and what it will hold.
fn in_order(landing: &Landing) -> Vec<(&str, Option<&String>, Option<&String>)> {
    let Landing { changes, planned } = landing;
    let places: HashMap<&str, usize> =
        planned.graph.order().iter().zip(1..).map(|(ix, at)| (planned.graph.node(*ix).id(), at)).collect();
    // Of several tasks in one file the last change has them all.
    let mut files: BTreeMap<&str, (usize, Option<&String>, Option<&String>)> = BTreeMap::new();
    for change in changes {
        let place = places.get(change.id.as_str()).copied().unwrap_or_default();
        let file = files.entry(&change.file).or_insert((place, change.old.as_ref(), None));
        (file.0, file.2) = (file.0.max(place), change.new.as_ref());
    }
    let mut files: Vec<_> = files.into_iter().filter(|(_, (_, old, new))| old != new).collect();
    files.sort_by_key(|(_, (place, _, new))| (new.is_none(), *place));
    files.into_iter().map(|(file, (_, old, new))| (file, old, new)).collect()
}

/// What landed.
#[derive(Clone, Debug, Default)]
pub struct Landed {
    /// Outputs that were written.
    pub outputs: Vec<RelPath>,
    /// Outputs that were there, and stay as they are.
    pub kept: Vec<RelPath>,
}

/// Puts a file's new text in the place of the old one, or takes the file away.
fn replace(
    workspace: &Workspace,
    path: &RelPath,
    old: Option<&String>,
    new: Option<&String>,
) -> std::io::Result<()> {
    match (old, new) {
        (old, Some(new)) => workspace.store.edit(path, old.map(String::as_str), new),
        (Some(old), None) => workspace.store.remove(path, old),
        (None, None) => Ok(()),
    }
}

/// Moves a proposal in. What landed is what the next one of its name is merged with.
pub fn land(workspace: &Workspace, proposal: &Proposal, landing: &Landing) -> Result<Landed, Error> {
    let Landing { changes, planned } = landing;
    let has_schema = workspace.store.root().join(TASK_SCHEMA).is_file();
    // A new file names the schema, if the project has it.
    let as_written = |file: &str, old: Option<&String>, new: &str| match old.is_none() && has_schema {
        true => format!("{}{new}", schema_line(file, TASK_SCHEMA)),
        false => new.to_owned(),
    };
    let mut rest = proposal.clone();
    let mut begun = Begun::new();
    for change in changes {
        let id = &change.id;
        if let (None, Some(new)) = (&change.old, &change.new) {
            begun.insert(id.clone(), (change.file.clone(), new.clone()));
        }
        if rest.tasks.contains_key(id) {
            // What was there already and did not come from here is somebody's: nothing of it landed.
            if change.old.is_none() || rest.base.contains_key(id) {
                rest.land(id);
            }
            rest.tasks.remove(id);
        } else if change.new.is_none() {
            // What stays is merged again when it is proposed again.
            rest.base.remove(id);
        }
        rest.forget(id);
    }
    let proposals = Proposals(&workspace.store);
    // Whatever becomes of this, it is known what came from here.
    if !begun.is_empty() {
        proposals.begin(&proposal.name, &begun)?;
    }
    // Before anything else: then only what lands can fail, and that is taken back.
    let staged = proposals.stage(&rest).inspect_err(|_| proposals.take_back(&proposal.name))?;
    let mut kept = Vec::new();
    // What was there, and what is there now.
    let mut done: Vec<(RelPath, Option<String>, Option<String>)> = Vec::new();
    let mut outputs = Vec::new();
    let mut carry_out = || -> Result<(), Error> {
        for (id, text) in &proposal.outputs {
            let added =
                changes.iter().any(|change| change.id == *id && change.old.is_none() && change.new.is_some());
            let Some(ix) = planned.graph.find(id).filter(|_| added) else { continue };
            let output = &planned.graph.node(ix).output;
            let text = crate::text::output_form(text);
            let there = workspace.shelf.digest(output).ok().flatten();
            // What is there is a person's.
            if there.is_some_and(|there| there != Digest::of(&text)) {
                kept.push(output.clone());
            } else if there.is_none() && workspace.store.in_the_way(output).is_none() {
                let written = workspace.shelf.write(output, None, &text, Durability::Now);
                if !written.as_ref().is_err_and(is_changed) {
                    done.push((output.clone(), None, Some(text)));
                }
                written.map_err(|error| failed(error, output.as_str()))?;
                outputs.push(output.clone());
            }
        }
        for (file, old, new) in in_order(landing) {
            let path = RelPath::parse_writable(file).map_err(|problem| Error::failed(problem.message()))?;
            let new = new.map(|new| as_written(file, old, new));
            let replaced = replace(workspace, &path, old, new.as_ref());
            // What was left as it is is not taken back: it is somebody's.
            if !replaced.as_ref().is_err_and(is_changed) {
                done.push((path.clone(), old.cloned(), new));
            }
            replaced.map_err(|error| match is_changed(&error) {
                true => Error::failed(format!("`{file}` was changed just now, so nothing landed"))
                    .help(format!("`meu plan show {}`, then approve it again", proposal.name)),
                false => failed(error, file),
            })?;
        }
        Ok(())
    };
    if let Err(error) = carry_out() {
        // All or nothing: what was done, or half done, is taken back.
        for (path, old, new) in done.iter().rev() {
            let _ = replace(workspace, path, new.as_ref(), old.as_ref());
        }
        proposals.take_back(&proposal.name);
        return Err(error);
    }
    staged.commit()?;
    Ok(Landed { outputs, kept })
}
