//! From candidates to a bundle: read the texts, leave out what the prompt takes in place, fill.

use std::collections::HashSet;

use crate::graph::{Graph, Ix};
use crate::text::{find_section, words};

use super::prompt::no_heading;
use super::{Bundle, Candidate, Dropped, Gathered, Prompt, Shelf, Source, Trouble, budget};

/// Puts the bundle of a task together.
pub fn assemble(
    graph: &Graph,
    ix: Ix,
    gathered: &Gathered,
    prompt: &Prompt,
    shelf: &dyn Shelf,
) -> Result<Bundle, Trouble> {
    let node = graph.node(ix);
    let mut dropped = gathered.dropped.clone();
    let mut candidates = Vec::new();
    for candidate in &gathered.candidates {
        let reason = if prompt.in_place.iter().any(|(taken, _)| taken.item == candidate.item) {
            Err("in the prompt already".to_owned())
        } else {
            text_of(graph, candidate, shelf)?
        };
        match reason {
            Ok(text) => candidates.push((candidate.clone(), text)),
            Err(reason) => dropped.push(Dropped {
                item: candidate.item.clone(),
                tier: candidate.tier,
                reason,
                tokens_full: 0,
            }),
        }
    }
    let query: HashSet<String> = words(&node.task.title).chain(words(&prompt.own)).collect();
    let mut bundle = budget::fill(&node.policy, candidates, &query, shelf)?;
    dropped.append(&mut bundle.dropped);
    bundle.dropped = dropped;
    Ok(bundle)
}

/// A candidate's text, or the reason why it is left out.
fn text_of(
    graph: &Graph,
    candidate: &Candidate,
    shelf: &dyn Shelf,
) -> Result<Result<String, String>, Trouble> {
    let (path, output_of, literal) = match &candidate.source {
        Source::Card(ix) => return Ok(Ok(super::card(graph, *ix))),
        Source::File { path, output_of, literal } => (path, output_of, *literal),
    };
    let text = match shelf.text(path) {
        Ok(Some(text)) => text,
        Ok(None) if output_of.is_some() => return Ok(Err("never built".into())),
        Ok(None) if !literal => return Ok(Err("there is no such file".into())),
        Ok(None) => {
            return Err(Trouble::new(
                format!("no document `{path}`"),
                "put it there, or take it out of the task",
            ));
        }
        Err(error) if !literal => return Ok(Err(error.to_string())),
        Err(error) => {
            return Err(Trouble::new(format!("`{path}` cannot be read: {error}"), "mend or remove it"));
        }
    };
    match &candidate.item.heading {
        None => Ok(Ok(text.trim_end().to_owned())),
        Some(heading) => match find_section(&text, heading) {
            Some(section) => Ok(Ok(section.trim_end().to_owned())),
            None if !literal && output_of.is_none() => Ok(Err(format!("it has no heading `{heading}`"))),
            None => Err(no_heading(path.as_str(), heading, &text)),
        },
    }
}
