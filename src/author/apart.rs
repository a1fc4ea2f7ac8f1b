//! A task taken apart: it becomes the assembly of its parts, and they take over what it read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml_edit::{Array, Value};

use super::merge::KEYS;
use super::{Part, Place, Sketch, task_files};
use crate::diag::Error;
use crate::graph::{Dep, Graph, Ix};
use crate::spec::{Runner, TaskText};

/// What taking a task apart proposes.
#[derive(Clone, Debug)]
pub struct Apart {
    /// Task texts by id: the task itself, and its parts.
    pub tasks: BTreeMap<String, String>,
    /// The task as it is now.
    pub base: String,
    /// What could not be carried over, a line each.
    pub left: Vec<String>,
    /// What the task read, which its parts read now.
    pub reads: Reads,
}

/// What a task reads: the ids of tasks, and documents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reads {
    requires: Vec<String>,
    refers: Vec<String>,
    inputs: Vec<String>,
}

/// Whether a task can be taken apart at all.
pub fn check_apart(graph: &Graph, ix: Ix) -> Result<(), Error> {
    let node = graph.node(ix);
    let why = match &node.task.run {
        _ if node.task.root => "it is the root task",
        _ if node.duplicate_of.is_some() => "it is a duplicate",
        Runner::Program(_) => "a program makes it",
        Runner::Manual => "a person writes it",
        Runner::Model | Runner::Template | Runner::Assemble => return Ok(()),
    };
    Err(Error::failed(format!("`{}` cannot be taken apart: {why}", node.id())))
}

/// The task files that make a task the assembly of a sketch's parts. `earlier` is what it read when it was taken
/// apart before.
pub fn take_apart(
    graph: &Graph,
    ix: Ix,
    mut sketch: Sketch,
    place: &Place,
    earlier: Reads,
) -> Result<Apart, Error> {
    let node = graph.node(ix);
    let (id, source) = (node.id(), &node.task.id.source);
    let wrong = |message: String| Error::failed(format!("{} cannot be read: {message}", source.path));
    let mut now = TaskText::of(&node.task, graph.config.tasks.as_str(), &source.text).map_err(wrong)?;
    let mut own = TaskText::new("", None).map_err(wrong)?;
    for key in KEYS {
        own.set(key, now.value(key)).map_err(wrong)?;
    }
    let base = own.text();
    let ids = |deps: &[Dep]| deps.iter().map(|dep| dep.name(graph)).collect();
    let own_part = |other: &str| other.strip_prefix(id).is_some_and(|rest| rest.starts_with('/'));
    let outside = |ids: Vec<String>| ids.into_iter().filter(|other| !own_part(other)).collect();
    let reads = match node.task.run {
        // What joins its parts already has handed on what it read, if it was taken apart and not written so.
        Runner::Assemble if earlier != Reads::default() => earlier,
        _ => Reads {
            requires: outside(ids(&node.requires)),
            refers: ids(&node.refers),
            inputs: node.task.inputs.iter().map(|input| input.value.clone()).collect(),
        },
    };
    // Not what the parts call by the same name.
    let outer = |ids: &[String]| -> Vec<String> { ids.iter().map(|id| format!("/{id}")).collect() };
    for part in sketch.parts.iter_mut().filter(|part| part.requires.is_empty()) {
        part.requires = outer(&reads.requires);
    }
    inherit(&mut sketch.parts, &outer(&reads.refers), &reads.inputs);
    let (files, left) = task_files(&sketch, place);
    let parts: Array = files
        .iter()
        .map(|file| file.id.as_str())
        .filter(|part| {
            part.strip_prefix(id)
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|name| !name.contains('/'))
        })
        .collect();
    // Parts that a person wrote are joined still.
    let mut parts: Array = parts;
    for dep in node.requires.iter().map(|dep| graph.node(dep.task).id()).filter(|other| own_part(other)) {
        if !place.known_before.contains(dep) && !parts.iter().any(|part| part.as_str() == Some(dep)) {
            parts.push(dep);
        }
    }
    own.set("requires", Some(Value::Array(parts))).map_err(wrong)?;
    own.set("run", Some(Runner::Assemble.word().into())).map_err(wrong)?;
    for key in ["refers", "inputs"] {
        own.set(key, None).map_err(wrong)?;
    }
    let mut tasks: BTreeMap<String, String> = files.into_iter().map(|file| (file.id, file.text)).collect();
    tasks.insert(id.to_owned(), own.text());
    Ok(Apart { tasks, base, left, reads })
}

/// Every task that is done at one go reads what the whole read.
fn inherit(parts: &mut [Part], refers: &[String], inputs: &[String]) {
    for part in parts {
        if part.parts.is_empty() {
            part.refers.extend(refers.iter().filter(|refer| !part.requires.contains(refer)).cloned());
            part.inputs.extend(inputs.iter().cloned());
        }
        inherit(&mut part.parts, refers, inputs);
    }
}
