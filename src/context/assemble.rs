//! From candidates to a bundle: read the texts, search, leave out what the prompt takes in place, fill.

use crate::graph::{Graph, Ix, Node};
use crate::spec::{ItemRef, Subject, Tier};
use crate::text::portion;

use super::gather::searched;
use super::prompt::no_heading;
use super::retrieve::{lies_in, retrieve};
use super::shorten::Query;
use super::{Bundle, Candidate, Dropped, Gathered, Item, Prompt, Shelf, Source, Trouble, budget};

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
    let mut found: Vec<(Candidate, String)> = Vec::new();
    // How many of what was found stand before the retriever's hits.
    let mut before = 0;
    for (at, candidate) in gathered.candidates.iter().enumerate() {
        let reason = match text_of(graph, candidate, shelf)? {
            Ok(text) => left_out(node, candidate, prompt, &found, shelf).map_or(Ok(text), Err),
            missing => missing,
        };
        match reason {
            Ok(text) => {
                before += usize::from(gathered.retrieved_at.is_some_and(|hits| at < hits));
                found.push((candidate.clone(), text));
            }
            Err(reason) => dropped.push(Dropped {
                item: candidate.item.clone(),
                tier: candidate.tier,
                reason,
                tokens_full: 0,
            }),
        }
    }
    let title_and_prompt = format!("{}\n{}", node.task.title, prompt.own);
    let mut hits = Vec::new();
    if gathered.retrieved_at.is_some() {
        let taken: Vec<_> = prompt.in_place.iter().chain(&found[..before]).collect();
        let (chosen, told) = retrieve(node, &searched(graph, ix), &title_and_prompt, &taken, shelf)?;
        hits = told;
        // What is in by this tier is not in again by a later one.
        let later = found.split_off(before);
        found.extend(chosen);
        for (candidate, text) in later {
            if !found[before..].iter().any(|(known, _)| known.item.covers(&candidate.item)) {
                found.push((candidate, text));
            }
        }
    }
    let query = Query::new(&title_and_prompt);
    // Of a required output that cannot be shortened at least its task's card is there.
    let card = |item: &ItemRef| {
        let is_it = |id: &str| item.subject == Subject::Task(id.to_owned());
        let dep = node.requires.iter().find(|dep| is_it(graph.node(dep.task).id()))?;
        Some(super::card(graph, dep.task))
    };
    let mut bundle = budget::fill(&node.policy, found, &query, &card, shelf)?;
    // Filled in by rank, but sent by reference: which of them is a little more relevant than another
    // changes no request.
    if let Some(first) = bundle.items.iter().position(is_retrieved) {
        let count = bundle.items[first..].iter().take_while(|item| is_retrieved(item)).count();
        bundle.items[first..first + count].sort_by_cached_key(|item| item.item.to_string());
    }
    for hit in hits.iter_mut().filter(|hit| hit.passed_over.is_none()) {
        let lost = bundle.dropped.iter().find(|dropped| dropped.item == hit.item);
        hit.passed_over = lost.map(|dropped| dropped.reason.clone());
    }
    dropped.append(&mut bundle.dropped);
    bundle.dropped = dropped;
    bundle.hits = hits;
    Ok(bundle)
}

/// Why an item is left out whose words are in already, or excluded: a section may be named in several ways, and lie in
/// another.
fn left_out(
    node: &Node,
    candidate: &Candidate,
    prompt: &Prompt,
    found: &[(Candidate, String)],
    shelf: &dyn Shelf,
) -> Option<String> {
    let holds = |known: &Candidate| {
        known.source == candidate.source && lies_in(&candidate.item, &known.item, known, shelf)
    };
    if prompt.in_place.iter().any(|(taken, _)| holds(taken)) {
        return Some("in the prompt already".to_owned());
    }
    // Of whole items this is known by their names.
    candidate.item.heading.as_ref()?;
    if let Some((known, _)) = found.iter().find(|(known, _)| holds(known)) {
        return Some(format!("in already, as `{}`", known.item));
    }
    let is_index = candidate.item.subject == Subject::Index;
    let excluded = node.exclude.iter().any(|excluded| lies_in(&candidate.item, excluded, candidate, shelf));
    (excluded && !is_index).then(|| "excluded".to_owned())
}

fn is_retrieved(item: &Item) -> bool {
    item.tier == Tier::Retrieved && !item.pinned
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
    let heading = candidate.item.heading.as_deref();
    match (portion(path.as_str(), &text, heading), heading) {
        (Some(portion), _) => Ok(Ok(portion.into_owned())),
        (None, Some(heading)) if literal || output_of.is_some() => {
            Err(no_heading(path.as_str(), heading, &text))
        }
        (None, heading) => Ok(Err(format!("it has no heading `{}`", heading.unwrap_or_default()))),
    }
}
