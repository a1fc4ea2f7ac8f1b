//! The retrieved tier: the passages of documents and outputs that a task's title and prompt are about.
//!
//! With `embed` the ranks by words and by vectors are fused (reciprocal rank fusion: Cormack and others,
//! SIGIR 2009).

use std::collections::HashMap;
use std::sync::Arc;

use crate::digest::Digest;
use crate::graph::Node;
use crate::path::RelPath;
use crate::spec::{Embed, ItemRef, Retrieve};
use crate::text::{Passage, portion};

use super::search::{Found, matched, search};
use super::{Candidate, Hit, Shelf, Source, TextIx, Trouble};

/// How many passages that nearly made it are told.
const NEARLY: usize = 10;

/// The constant of rank fusion, as its authors have it, and how many ranks of each list count.
const FUSION: f64 = 60.0;
const RANKS: usize = 100;

/// The most characters of a passage that a vector is made of.
const EMBEDDED: usize = 8000;

/// What becomes of a passage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It is taken, as this one of the items that have its text.
    In(usize),
    /// It is not, for this reason.
    Out(String),
    /// It is not, and no other need be looked at.
    Enough,
}

/// The judge that takes the first `k`, whatever they are.
pub fn first<'a>(k: usize) -> impl FnMut(&[(&'a Candidate, ItemRef)], f64, &str) -> Judged {
    let mut taken = 0;
    move |_, _, _| {
        taken += 1;
        if taken <= k { Judged::In(0) } else { Judged::Enough }
    }
}

/// The searched texts, as far as they can be read.
struct Texts<'a, 's> {
    candidates: Vec<&'a Candidate>,
    paths: Vec<&'a RelPath>,
    numbers: Vec<TextIx>,
    /// For each text those of the same content, itself among them.
    twins: HashMap<TextIx, Vec<usize>>,
    shelf: &'s dyn Shelf,
}

impl<'a, 's> Texts<'a, 's> {
    fn read(searched: &'a [Candidate], shelf: &'s dyn Shelf) -> Self {
        let mut texts = Texts {
            candidates: Vec::new(),
            paths: Vec::new(),
            numbers: Vec::new(),
            twins: HashMap::new(),
            shelf,
        };
        for candidate in searched {
            let Source::File { path, .. } = &candidate.source else { continue };
            // What a glob found and what was never built may give no text.
            let Ok(Some(digest)) = shelf.digest(path) else { continue };
            let known = shelf.corpus().find(digest, path.as_str());
            let number = match known {
                Some(known) => known,
                None => match shelf.text(path) {
                    // Under the digest of this very text: the file may have changed since it was looked at.
                    Ok(Some(text)) => shelf.corpus().add(Digest::of(&*text), path.as_str(), &text),
                    _ => continue,
                },
            };
            texts.twins.entry(number).or_default().push(texts.numbers.len());
            texts.candidates.push(candidate);
            texts.paths.push(path);
            texts.numbers.push(number);
        }
        texts
    }

    fn passages(&self, text: usize) -> Option<Arc<Vec<Passage>>> {
        let body = self.shelf.text(self.paths[text]).ok().flatten()?;
        Some(self.shelf.corpus().passages(self.numbers[text], self.paths[text].as_str(), &body))
    }

    fn item(&self, text: usize, passage: &Passage) -> ItemRef {
        ItemRef { subject: self.candidates[text].item.subject.clone(), heading: passage.address.clone() }
    }
}

/// A passage: what it is of, what is told of it, its text.
type LookedUp<'a> = (&'a Candidate, Hit, String);

/// The best passages of some texts for a query, the best first, as far as `judge` goes: it is given the
/// items that have a passage's text (several where documents are equal), the score, and the text.
pub fn look_up<'a>(
    searched: &'a [Candidate],
    query: &str,
    settings: &Retrieve,
    shelf: &dyn Shelf,
    mut judge: impl FnMut(&[(&'a Candidate, ItemRef)], f64, &str) -> Judged,
) -> Result<Vec<LookedUp<'a>>, Trouble> {
    let texts = Texts::read(searched, shelf);
    let mut found = search(&shelf.corpus(), &texts.numbers, query, settings.ranking);
    if let Some(embed) = &settings.embed {
        found = fused(found, nearest(&texts, query, embed)?);
    }
    let mut hits = Vec::new();
    let mut places = Vec::new();
    for (at, found) in found.into_iter().enumerate() {
        let Some(passages) = texts.passages(found.text) else { continue };
        let Some(passage) = passages.get(found.nth) else { continue };
        let twins = &texts.twins[&texts.numbers[found.text]];
        let items: Vec<_> =
            twins.iter().map(|twin| (texts.candidates[*twin], texts.item(*twin, passage))).collect();
        let body = passage.text.trim_end();
        let (chosen, passed_over) = match judge(&items, found.score, body) {
            Judged::In(chosen) => (chosen, None),
            Judged::Out(reason) => (0, Some(reason)),
            Judged::Enough => break,
        };
        let (candidate, item) = items[chosen].clone();
        let hit = Hit { item, rank: at + 1, score: found.score, matched: Vec::new(), passed_over };
        hits.push((candidate, hit, body.to_owned()));
        places.push((found.text, found.nth));
    }
    let matched = matched(&shelf.corpus(), &texts.numbers, query, places.into_iter());
    for ((_, hit, _), matched) in hits.iter_mut().zip(matched) {
        hit.matched = matched;
    }
    Ok(hits)
}

/// The passages by how near their vectors are to the query's, the nearest first.
fn nearest(texts: &Texts<'_, '_>, query: &str, embed: &Embed) -> Result<Vec<(usize, usize)>, Trouble> {
    let mut asked = vec![query.chars().take(EMBEDDED).collect::<String>()];
    let mut places = Vec::new();
    for text in 0..texts.numbers.len() {
        if texts.twins[&texts.numbers[text]][0] != text {
            continue;
        }
        for (nth, passage) in texts.passages(text).iter().flat_map(|passages| passages.iter().enumerate()) {
            let heads = passage.headings.join("\n");
            asked.push(format!("{heads}\n{}", passage.text).chars().take(EMBEDDED).collect());
            places.push((text, nth));
        }
    }
    let vectors = texts.shelf.vectors(embed, &asked)?;
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
            None => all.push(Found { text, nth, score: part(rank) }),
        }
    }
    all.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| (a.text, a.nth).cmp(&(b.text, b.nth))));
    all
}

/// The passages of the retrieved tier with their texts, and all that is to be told of the search.
type Retrieved = (Vec<(Candidate, String)>, Vec<Hit>);

/// The passages of the retrieved tier, the best first, with their texts; and all that is to be told of
/// the search. `taken` is what is in already.
pub(super) fn retrieve(
    node: &Node,
    searched: &[Candidate],
    query: &str,
    taken: &[&(Candidate, String)],
    shelf: &dyn Shelf,
) -> Result<Retrieved, Trouble> {
    let settings = &node.policy.retrieve;
    let mut best = None;
    let (mut chosen, mut beyond) = (0, 0);
    let hits = look_up(searched, query, settings, shelf, |items, score, body| {
        let least = *best.get_or_insert(score) * settings.min_score;
        // A passage is in as part of what is in: the same section, one around it, the whole.
        let holds = |known: &Candidate, text: &str| {
            items.iter().any(|(_, item)| item.subject == known.item.subject) && text.contains(body)
        };
        let excluded = |(of, item): &(&Candidate, ItemRef)| {
            node.exclude.iter().any(|excluded| {
                excluded.covers(item)
                    || section(excluded, of, shelf).is_some_and(|section| section.contains(body))
            })
        };
        let late = chosen >= settings.k || score < least;
        beyond += usize::from(late);
        if beyond > NEARLY {
            Judged::Enough
        } else if let Some((known, _)) = taken.iter().find(|(known, text)| holds(known, text)) {
            Judged::Out(format!("in already, as `{}`", known.item))
        } else {
            match items.iter().position(|item| !excluded(item)) {
                None => Judged::Out("excluded".to_owned()),
                Some(_) if chosen >= settings.k => Judged::Out(format!("`k` is {}", settings.k)),
                Some(_) if late => {
                    Judged::Out(format!("below `min_score`, {} of the best", settings.min_score))
                }
                Some(item) => {
                    chosen += 1;
                    Judged::In(item)
                }
            }
        }
    })?;
    let taken = hits.iter().filter(|(_, hit, _)| hit.passed_over.is_none());
    let chosen = taken
        .map(|(of, hit, body)| (Candidate { item: hit.item.clone(), ..(*of).clone() }, body.clone()))
        .collect();
    Ok((chosen, hits.into_iter().map(|(_, hit, _)| hit).collect()))
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
        let found = |text| Found { text, nth: 0, score: 9.0 };
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
