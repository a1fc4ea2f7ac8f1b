//! The retrieved tier: the passages of documents and outputs that a task's title and prompt are about.
//!
//! With `embed` the ranks by words and by vectors are fused (reciprocal rank fusion: Cormack and others,
//! SIGIR 2009).

use crate::graph::Node;
use crate::path::RelPath;
use crate::spec::{Embed, ItemRef, Retrieve};
use crate::text::{Passage, passages, portion};

use super::search::{Found, search};
use super::{Candidate, Hit, Shelf, Source, Trouble};

/// How many passages that nearly made it are told.
const NEARLY: usize = 10;

/// The constant of rank fusion, as its authors have it, and how many ranks of each list count.
const FUSION: f64 = 60.0;
const RANKS: usize = 100;

/// The most characters of a passage that a vector is made of.
const EMBEDDED: usize = 8000;

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
    settings: &Retrieve,
    limit: usize,
    skip: impl Fn(&ItemRef) -> bool,
    shelf: &dyn Shelf,
) -> Result<Vec<(&'a Candidate, Hit, String)>, Trouble> {
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
    let depth = if settings.embed.is_some() { limit.max(RANKS) } else { limit };
    let mut found = {
        let corpus = shelf.corpus();
        search(&corpus, &numbers, query, settings.ranking, depth, |text, _| {
            !skip(&texts[text].candidate.item)
        })
    };
    if let Some(embed) = &settings.embed {
        let near = nearest(&mut texts, query, embed, &skip, shelf)?;
        found = fused(found, near);
        found.truncate(limit);
    }
    let mut hits = Vec::with_capacity(found.len());
    for (at, found) in found.into_iter().enumerate() {
        let text = &mut texts[found.text];
        let candidate = text.candidate;
        let Some(passage) = text.passage(found.nth, shelf) else { continue };
        let item = ItemRef { subject: candidate.item.subject.clone(), heading: passage.address.clone() };
        let hit = Hit { item, rank: at + 1, score: found.score, matched: found.matched, passed_over: None };
        hits.push((candidate, hit, passage.text.trim_end().to_owned()));
    }
    Ok(hits)
}

/// The passages by how near their vectors are to the query's, the nearest first.
fn nearest(
    texts: &mut [Text<'_>],
    query: &str,
    embed: &Embed,
    skip: &impl Fn(&ItemRef) -> bool,
    shelf: &dyn Shelf,
) -> Result<Vec<(usize, usize)>, Trouble> {
    let mut asked = vec![query.chars().take(EMBEDDED).collect::<String>()];
    let mut places = Vec::new();
    for (at, text) in texts.iter_mut().enumerate().filter(|(_, text)| !skip(&text.candidate.item)) {
        let mut nth = 0;
        while let Some(passage) = text.passage(nth, shelf) {
            let heads = passage.headings.join("\n");
            asked.push(format!("{heads}\n{}", passage.text).chars().take(EMBEDDED).collect());
            places.push((at, nth));
            nth += 1;
        }
    }
    let vectors = shelf.vectors(embed, &asked)?;
    let Some((query, passages)) = vectors.split_first() else { return Ok(Vec::new()) };
    let mut near: Vec<(f64, (usize, usize))> =
        passages.iter().map(|vector| cosine(query, vector)).zip(places).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    Ok(near.into_iter().map(|(_, place)| place).collect())
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let norm = libm::sqrt(dot(a, a)) * libm::sqrt(dot(b, b));
    if norm > 0.0 { dot(a, b) / norm } else { 0.0 }
}

/// Two rankings made one.
fn fused(words: Vec<Found>, near: Vec<(usize, usize)>) -> Vec<Found> {
    let part = |rank: usize| 1.0 / (FUSION + (rank + 1) as f64);
    let mut all: Vec<Found> = words.into_iter().take(RANKS).collect();
    for (rank, found) in all.iter_mut().enumerate() {
        found.score = part(rank);
    }
    for (rank, (text, nth)) in near.into_iter().take(RANKS).enumerate() {
        match all.iter_mut().find(|found| (found.text, found.nth) == (text, nth)) {
            Some(found) => found.score += part(rank),
            None => all.push(Found { text, nth, score: part(rank), matched: Vec::new() }),
        }
    }
    all.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| (a.text, a.nth).cmp(&(b.text, b.nth))));
    all
}

/// The passages of the retrieved tier with their texts, and all that is to be told of the search.
type Retrieved = (Vec<(Candidate, String)>, Vec<Hit>);

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
) -> Result<Retrieved, Trouble> {
    let settings = &node.policy.retrieve;
    let limit = settings.k + taken.len() + NEARLY;
    // All passages of what is in whole are in; they would only push others off the list.
    let whole = |item: &ItemRef| taken.iter().any(|(known, _)| known.item == *item);
    let found = look_up(searched, query, settings, limit, whole, shelf)?;
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
    Ok((chosen, hits))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_rankings_are_fused_by_their_ranks() {
        let found = |text| Found { text, nth: 0, score: 9.0, matched: Vec::new() };
        let all = fused(vec![found(0), found(1)], vec![(1, 0), (2, 0)]);
        let scores: Vec<(usize, f64)> = all.into_iter().map(|found| (found.text, found.score)).collect();
        // 1 is second by words and first by vectors, 0 first by words alone, 2 second by vectors alone.
        assert_eq!(scores, [(1, 1.0 / 62.0 + 1.0 / 61.0), (0, 1.0 / 61.0), (2, 1.0 / 62.0)]);
    }

    #[test]
    fn the_cosine_is_that_of_the_angle() {
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), 0.0);
        assert_eq!(cosine(&[3.0, 4.0], &[3.0, 4.0]), 1.0);
        assert_eq!(cosine(&[0.0], &[1.0]), 0.0);
    }
}
