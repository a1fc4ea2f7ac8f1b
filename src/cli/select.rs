//! Selectors on the command line.

use std::cell::OnceCell;
use std::collections::HashSet;

use crate::diag::Error;
use crate::disk::{self, Workspace};
use crate::graph::{self, Facts, Ix};
use crate::plan::Verdict;
use crate::run::Survey;

struct World<'a> {
    workspace: &'a Workspace,
    verdicts: OnceCell<Vec<Option<Verdict>>>,
}

impl Facts for World<'_> {
    fn state(&self, ix: Ix) -> Result<String, Error> {
        let verdicts = self.verdicts.get_or_init(|| Survey::all(self.workspace, None));
        Ok(verdicts[ix.0].as_ref().map_or("", |verdict| verdict.state.word()).to_owned())
    }

    fn changed(&self, since: &str) -> Result<HashSet<String>, Error> {
        disk::changed_since(self.workspace.store.root(), since)
    }
}

/// The tasks that selectors name; without any, all.
pub(super) fn select(
    workspace: &Workspace,
    selectors: &[String],
    exclude: &[String],
) -> Result<Vec<Ix>, Error> {
    let world = World { workspace, verdicts: OnceCell::new() };
    graph::select(&workspace.graph, &world, selectors, exclude)
}

/// Exactly one task.
pub(super) fn one(workspace: &Workspace, name: &str) -> Result<Ix, Error> {
    match select(workspace, &[name.to_owned()], &[])?.as_slice() {
        [ix] => Ok(*ix),
        several => Err(Error::invalid(format!("`{name}` means {} tasks, and one is wanted", several.len()))),
    }
}
