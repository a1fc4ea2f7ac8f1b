//! The retrieved tier: the passages of documents and outputs that a task's title and prompt are about.

use crate::graph::Node;
use crate::path::RelPath;
use crate::spec::{ItemRef, Ranking};
use crate::text::{Passage, passages, portion};

use super::search::search;
use super::{Candidate, Hit, Shelf, Source};

/// How many passages that nearly made it are told.
const NEARLY: usize = 10;

/// What is searched: its path, and its passages once somebody asked for them.
struct Text<'a> {
    candidate: &'a Candidate,
    path: &'a RelPath,
    passages: Option<Vec<Passage>>,
}

impl Text<'_> {
    fn passage(&mut self, nth: usize, shelf: &dyn Shelf) -> Option<&Passage> {
        if self.passages.is_none() {
            let text = shelf.text(self.path).ok().flatten()?;
            self.passages = Some(passages(self.path.as_str(), &text));
        }
        self.passages.as_ref()?.get(nth)
    }
}

/// The best passages of some texts for a query, the best first, with their texts; at most `limit`, and
/// none of a text that `skip` names.
pub fn look_up<'a>(
    searched: &'a [Candidate],
    query: &str,
    ranking: Ranking,
    limit: usize,
    skip: impl Fn(&ItemRef) -> bool,
    shelf: &dyn Shelf,
) -> Vec<(&'a Candidate, Hit, String)> {
    let mut texts: Vec<Text<'a>> = Vec::new();
    let mut numbers = Vec::new();
    for candidate in searched {
        let Source::File { path, .. } = &candidate.source else { continue };
        // What a glob found and what was never built may give no text.
        let Ok(Some(digest)) = shelf.digest(path) else { continue };
        let known = shelf.corpus().find(digest, path.as_str());
        let number = match known {
            Some(known) => known,
            None => match shelf.text(path) {
                Ok(Some(text)) => shelf.corpus().add(digest, path.as_str(), &text),
                _ => continue,
            },
        };
        texts.push(Text { candidate, path, passages: None });
        numbers.push(number);
    }
    let found = {
        let corpus = shelf.corpus();
        search(&corpus, &numbers, query, ranking, limit, |text, _| !skip(&texts[text].candidate.item))
    };
    let mut hits = Vec::with_capacity(found.len());
    for (at, found) in found.into_iter().enumerate() {
        let text = &mut texts[found.text];
        let candidate = text.candidate;
        let Some(passage) = text.passage(found.nth, shelf) else { continue };
        let item = ItemRef { subject: candidate.item.subject.clone(), heading: passage.address.clone() };
        let hit = Hit { item, rank: at + 1, score: found.score, matched: found.matched, passed_over: None };
        hits.push((candidate, hit, passage.text.trim_end().to_owned()));
    }
    hits
}

/// The passages of the retrieved tier, by reference, with their texts; and all that is to be told of the
/// search. `taken` is what is in already.
///
/// By reference and not by rank: which of them is a little more relevant than another changes no request.
pub(super) fn retrieve(
    node: &Node,
    searched: &[Candidate],
    query: &str,
    taken: Vec<&(Candidate, String)>,
    shelf: &dyn Shelf,
) -> (Vec<(Candidate, String)>, Vec<Hit>) {
    let settings = &node.policy.retrieve;
    let limit = settings.k + taken.len() + NEARLY;
    // All passages of what is in whole are in; they would only push others off the list.
    let whole = |item: &ItemRef| taken.iter().any(|(known, _)| known.item == *item);
    let found = look_up(searched, query, settings.ranking, limit, whole, shelf);
    let least = found.first().map_or(0.0, |(_, best, _)| best.score * settings.min_score);
    let mut chosen: Vec<(Candidate, String)> = Vec::new();
    let mut hits: Vec<Hit> = Vec::new();
    for (of, mut hit, body) in found {
        let holds = |known: &ItemRef, text: &str| known.subject == hit.item.subject && text.contains(&body);
        let excluded = || {
            node.exclude.iter().any(|item| {
                item.covers(&hit.item)
                    || section(item, of, shelf).is_some_and(|section| holds(item, &section))
            })
        };
        hit.passed_over =
            if let Some((known, _)) = taken.iter().find(|(known, text)| holds(&known.item, text)) {
                Some(format!("in already, as `{}`", known.item))
            } else if excluded() {
                Some("excluded".to_owned())
            } else if chosen.len() >= settings.k {
                Some(format!("`k` is {}", settings.k))
            } else if hit.score < least {
                Some(format!("below `min_score`, {} of the best", settings.min_score))
            } else {
                chosen.push((Candidate { item: hit.item.clone(), ..of.clone() }, body));
                None
            };
        hits.push(hit);
    }
    chosen.sort_by_cached_key(|(candidate, _)| candidate.item.to_string());
    let last = hits.iter().rposition(|hit| hit.passed_over.is_none()).map_or(0, |last| last + 1);
    hits.truncate(last + NEARLY);
    (chosen, hits)
}

/// The section that an item names, if it is one of a searched text.
fn section(item: &ItemRef, of: &Candidate, shelf: &dyn Shelf) -> Option<String> {
    let Source::File { path, .. } = &of.source else { return None };
    if item.subject != of.item.subject {
        return None;
    }
    let text = shelf.text(path).ok().flatten()?;
    Some(portion(path.as_str(), &text, Some(item.heading.as_deref()?))?.into_owned())
}
