//! What is looked at once a project is read: what no task file alone can show, as links on the disk, git, schemas and
//! documents that give no text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::context::Shelf;
use crate::diag::{Diagnostic, Sink};
use crate::graph::Graph;
use crate::model::Schema;
use crate::path::RelPath;

use super::{DiskShelf, Store, tracks_meu};

/// A `.meu/` that came with the repository could bring answers that nobody gave.
pub(super) fn check_tracked(store: &Store, sink: &Sink) {
    let refused = match tracks_meu(store) {
        Some(false) => return,
        Some(true) => Diagnostic::error("`.meu/` is tracked by git, and it must never come with a repository")
            .help("`git rm -r --cached .meu`, and add `.meu/` to .gitignore"),
        None => Diagnostic::error("git does not say whether it tracks `.meu/`, which must never come with a repository")
            .help("see what `git ls-files .meu` says: git may not be installed, or not trust the folder's owner (`git config --global --add safe.directory FOLDER`)"),
    };
    sink.push(refused);
}

/// No output may lie behind a symlink: what is there could be git's own.
pub(super) fn check_output_folders(store: &Store, graph: &Graph, sink: &Sink) {
    let mut known: BTreeMap<&str, bool> = BTreeMap::new();
    for (_, node) in graph.nodes() {
        let folder = node.output.folder();
        if *known.entry(folder).or_insert_with(|| store.is_aliased(folder)) {
            let place =
                node.task.output.as_ref().map_or_else(|| node.task.id.place(), |output| output.place());
            sink.push(
                Diagnostic::error(format!("the output `{}` lies behind a symlink", node.output))
                    .at(place)
                    .help("choose another place, or replace the symlink by a folder"),
            );
        }
    }
}

/// Schemas that outputs must fit are there, and are schemas.
pub(super) fn check_schemas(graph: &Graph, shelf: &DiskShelf, sink: &Sink) {
    let mut known: BTreeMap<&RelPath, Option<String>> = BTreeMap::new();
    for (_, node) in graph.nodes() {
        let Some(schema) = node.task.expect.as_ref().and_then(|expect| expect.schema.as_ref()) else {
            continue;
        };
        let made = graph.nodes().any(|(_, other)| other.output == schema.value)
            || graph.config.index == schema.value;
        if made {
            sink.push(
                Diagnostic::error(format!("the schema `{}` is what a task makes", schema.value))
                    .at(schema.place())
                    .help("a measure that a run may change measures nothing; keep the schema as a document of its own"),
            );
            continue;
        }
        let wrong = known.entry(&schema.value).or_insert_with(|| match shelf.text(&schema.value) {
            Ok(Some(text)) => Schema::parse(&text).err(),
            Ok(None) => Some("it is not there".into()),
            Err(error) => Some(error.to_string()),
        });
        if let Some(wrong) = wrong {
            sink.push(
                Diagnostic::error(format!("the schema `{}` cannot be used: {wrong}", schema.value))
                    .at(schema.place())
                    .help("name a file of the project that holds a JSON Schema"),
            );
        }
    }
}

/// A document that only a glob brought in and that gives no text is left out, with a word about it.
pub(super) fn check_globbed(graph: &Graph, shelf: &DiskShelf, sink: &Sink) {
    let mut told = BTreeSet::new();
    let mut lists = BTreeSet::new();
    for (_, node) in graph.nodes() {
        let inputs = node.inputs.iter().filter(|input| !input.literal).map(|input| &input.path);
        // Tasks of one list of globs share the documents that are searched.
        let searched = lists.insert(Arc::as_ptr(&node.searched)).then_some(&*node.searched);
        for path in inputs.chain(searched.into_iter().flatten()) {
            if let Err(error) = shelf.digest(path)
                && told.insert(path)
            {
                sink.push(Diagnostic::warning(format!("`{path}` is left out: {error}")));
            }
        }
    }
}
