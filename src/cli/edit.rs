//! Edits of task files by commands: what they share.

use crate::diag::Error;
use crate::disk::{Overlay, Workspace};
use crate::graph::Ix;
use crate::run;
use crate::spec::TaskText;

/// Edits one task's file; it is written only if the project stays whole. Tells whether it changed.
pub(super) fn edit(
    workspace: &Workspace,
    ix: Ix,
    change: impl FnOnce(&mut TaskText) -> Result<bool, String>,
) -> Result<bool, Error> {
    let task = &workspace.graph.node(ix).task;
    let source = &task.id.source;
    let wrong = |message: String| Error::failed(format!("{} cannot be edited: {message}", source.path));
    let mut text = TaskText::of(task, workspace.graph.config.tasks.as_str(), &source.text).map_err(wrong)?;
    if !change(&mut text).map_err(wrong)? {
        return Ok(false);
    }
    run::edit_tasks(workspace, &Overlay::from([(source.path.clone(), Some(text.text()))]))?;
    Ok(true)
}
