//! The retrieved tier: the passages of documents and outputs that a task's title and prompt are about.
//!
//! With `embed` the ranks by words and by vectors are fused (reciprocal rank fusion: Cormack and others,
//! SIGIR 2009).

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::digest::Digest;
use crate::graph::Node;
use crate::path::RelPath;
use crate::spec::{Embed, ItemRef, Retrieve};
use crate::text::{Passage, as_named};

use super::search::{Found, search};
use super::{Candidate, Corpus, Hit, Shelf, TextIx, TextKey, Trouble};

/// How many passages that nearly made it are told.
const NEARLY: usize = 10;

/// The constant of rank fusion, as its authors have it, and how many ranks of each list count.
const FUSION: f64 = 60.0;
const RANKS: usize = 100;

/// So many bytes of text are put into the corpus at a time.
const BATCH: usize = 2 * 1024 * 1024;

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
pub fn first<'a>(k: usize) -> impl FnMut(&[(Cow<'a, Candidate>, ItemRef)], f64) -> Judged {
    let mut taken = 0;
    move |_, _| {
        taken += 1;
        if taken <= k { Judged::In(0) } else { Judged::Enough }
    }
}

/// What a search looks through: texts, in order.
pub trait Searched {
    /// How many there are, those that are not there among them.
    fn count(&self) -> usize;

    /// What a text is known by. `None` if it gives none: what a glob found and what was never built may not.
    fn key(&self, text: usize, shelf: &dyn Shelf) -> Option<TextKey>;

    /// The item that it is, whole.
    fn candidate(&self, text: usize) -> Option<Cow<'_, Candidate>>;
}

impl Searched for [Candidate] {
    fn count(&self) -> usize {
        self.len()
    }

    fn key(&self, text: usize, shelf: &dyn Shelf) -> Option<TextKey> {
        let path = self[text].source.path()?;
        Some(TextKey::of(shelf.digest(path).ok()??, path.as_str()))
    }

    fn candidate(&self, text: usize) -> Option<Cow<'_, Candidate>> {
        Some(Cow::Borrowed(&self[text]))
    }
}

/// Texts that the corpus has not, to be taken apart together.
#[derive(Default)]
struct Batch {
    texts: Vec<(TextKey, RelPath, Arc<str>)>,
    bytes: usize,
}

impl Batch {
    fn put(&mut self, key: TextKey, path: RelPath, text: Arc<str>, shelf: &dyn Shelf) {
        self.bytes += text.len();
        self.texts.push((key, path, text));
        if self.bytes >= BATCH {
            self.add(shelf);
        }
    }

    /// Puts them into the corpus.
    fn add(&mut self, shelf: &dyn Shelf) {
        let texts: Vec<_> =
            self.texts.iter().map(|(key, path, text)| (*key, path.as_str(), &**text)).collect();
        shelf.corpus().add(&texts);
        *self = Batch::default();
    }
}

/// The searched texts, as far as they can be read.
struct Texts<'a, S: ?Sized> {
    searched: &'a S,
    /// Which of them, and as what the corpus knows each.
    places: Vec<usize>,
    numbers: Vec<TextIx>,
    shelf: &'a dyn Shelf,
}

impl<'a, S: Searched + ?Sized> Texts<'a, S> {
    fn read(searched: &'a S, shelf: &'a dyn Shelf) -> Self {
        let mut texts = Texts { searched, places: Vec::new(), numbers: Vec::new(), shelf };
        let added = texts.note(&HashMap::new());
        if !added.is_empty() {
            // Only what is settled has a number.
            shelf.corpus().settle();
            (texts.places, texts.numbers) = (Vec::new(), Vec::new());
            texts.note(&added);
        }
        texts
    }

    /// Notes the texts that the corpus has, and puts in the others: their keys by place. `added` are those that were
    /// put in before.
    fn note(&mut self, added: &HashMap<usize, TextKey>) -> HashMap<usize, TextKey> {
        let (mut missing, mut batch) = (HashMap::new(), Batch::default());
        let all = self.searched.count();
        for place in 0..all {
            let key = added.get(&place).copied().or_else(|| self.searched.key(place, self.shelf));
            let Some(key) = key else { continue };
            let known = self.shelf.corpus().find(key);
            if let Some(number) = known {
                self.places.push(place);
                self.numbers.push(number);
                continue;
            }
            let Some(candidate) = self.searched.candidate(place) else { continue };
            let Some(path) = candidate.source.path() else { continue };
            let Ok(Some(text)) = self.shelf.text(path) else { continue };
            // Under the digest of this very text: the file may have changed since it was looked at.
            let key = TextKey::of(Digest::of(&*text), path.as_str());
            batch.put(key, path.clone(), text, self.shelf);
            missing.insert(place, key);
            self.shelf.indexing(place, all);
        }
        batch.add(self.shelf);
        if !missing.is_empty() {
            self.shelf.indexing(all, all);
        }
        missing
    }

    fn candidate(&self, text: usize) -> Option<Cow<'a, Candidate>> {
        self.searched.candidate(self.places[text])
    }

    /// The passages of a text.
    fn passages(&self, text: usize) -> Option<Arc<Vec<Passage>>> {
        let candidate = self.candidate(text)?;
        let path = candidate.source.path()?;
        let body = self.shelf.text(path).ok().flatten()?;
        let key = TextKey::of(Digest::of(&*body), path.as_str());
        Some(self.shelf.corpus().passages(key, path.as_str(), &body))
    }

    /// The items that are a passage of a text, and of all of the same content.
    fn items(&self, text: usize, passage: &Passage) -> Vec<(Cow<'a, Candidate>, ItemRef)> {
        let twins = (0..self.numbers.len()).filter(|twin| self.numbers[*twin] == self.numbers[text]);
        let item = |candidate: Cow<'a, Candidate>| {
            let subject = candidate.item.subject.clone();
            (candidate, ItemRef { subject, heading: passage.address.clone() })
        };
        twins.filter_map(|twin| self.candidate(twin).map(item)).collect()
    }
}

/// A passage: what it is of, what is told of it, its text.
type LookedUp<'a> = (Cow<'a, Candidate>, Hit, String);

/// The best passages of some texts for a query, the best first, as far as `judge` goes: it is given the
/// items that have a passage's text (several where documents are equal), and the score.
pub fn look_up<'a, S: Searched + ?Sized>(
    searched: &'a S,
    query: &str,
    settings: &Retrieve,
    shelf: &'a dyn Shelf,
    mut judge: impl FnMut(&[(Cow<'a, Candidate>, ItemRef)], f64) -> Judged,
) -> Result<Vec<LookedUp<'a>>, Trouble> {
    let mut texts = Texts::read(searched, shelf);
    let mut results = search(&shelf.corpus(), &texts.numbers, query, settings.ranking);
    // What is damaged is made anew, and all if it comes to the worst.
    for drop in [Corpus::drop_damaged, Corpus::clear] {
        if results.is_ok() {
            break;
        }
        drop(&mut shelf.corpus());
        texts = Texts::read(searched, shelf);
        results = search(&shelf.corpus(), &texts.numbers, query, settings.ranking);
    }
    let mut results = results.unwrap_or_default();
    let mut found = std::mem::take(&mut results.found);
    if let Some(embed) = &settings.embed {
        found = fused(found, nearest(&texts, query, embed)?);
    }
    let mut hits = Vec::new();
    for (at, found) in found.into_iter().enumerate() {
        let Some(passages) = texts.passages(found.text) else { continue };
        let Some(passage) = passages.get(found.nth) else { continue };
        let mut items = texts.items(found.text, passage);
        let path = items.first().and_then(|(of, _)| of.source.path());
        let body = path.map_or(passage.text.as_str(), |path| as_named(path.as_str(), &passage.text));
        let (chosen, passed_over) = match judge(&items, found.score) {
            Judged::In(chosen) => (chosen, None),
            Judged::Out(reason) => (0, Some(reason)),
            Judged::Enough => break,
        };
        let (candidate, item) = items.swap_remove(chosen);
        let matched = results.matched(found.text, found.nth);
        let hit = Hit { item, rank: at + 1, score: found.score, matched, passed_over };
        hits.push((candidate, hit, body.to_owned()));
    }
    Ok(hits)
}

/// The passages by how near their vectors are to the query's, the nearest first.
fn nearest<S: Searched + ?Sized>(
    texts: &Texts<'_, S>,
    query: &str,
    embed: &Embed,
) -> Result<Vec<(usize, usize)>, Trouble> {
    let mut asked = vec![query.chars().take(EMBEDDED).collect::<String>()];
    let mut places = Vec::new();
    let mut known = HashSet::new();
    for text in (0..texts.numbers.len()).filter(|text| known.insert(texts.numbers[*text])) {
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
    let hits = look_up(searched, query, settings, shelf, |items, score| {
        let least = *best.get_or_insert(score) * settings.min_score;
        // A passage is in as part of what is in: the same section, one around it, the whole.
        let holds = |known: &Candidate| {
            let is_part =
                |(_, item): &(Cow<'_, Candidate>, ItemRef)| lies_in(item, &known.item, known, shelf);
            known.source.path().is_some() && items.iter().any(is_part)
        };
        let excluded = |(of, item): &(Cow<'_, Candidate>, ItemRef)| {
            node.exclude.iter().any(|excluded| lies_in(item, excluded, of, shelf))
        };
        let late = chosen >= settings.k || score < least;
        beyond += usize::from(late);
        if beyond > NEARLY {
            Judged::Enough
        } else if let Some((known, _)) = taken.iter().find(|(known, _)| holds(known)) {
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
        .map(|(of, hit, body)| {
            (Candidate { item: hit.item.clone(), ..of.clone().into_owned() }, body.clone())
        })
        .collect();
    Ok((chosen, hits.into_iter().map(|(_, hit, _)| hit).collect()))
}

/// Whether an item is another one, or a part of it; both are of the file that a candidate is of.
pub(super) fn lies_in(inner: &ItemRef, outer: &ItemRef, of: &Candidate, shelf: &dyn Shelf) -> bool {
    if inner.subject != outer.subject || inner.subject != of.item.subject {
        return false;
    }
    if inner == outer {
        return true;
    }
    let Some(path) = of.source.path() else { return false };
    let text = shelf.text(path).ok().flatten();
    text.is_some_and(|text| {
        crate::text::lies_in(path.as_str(), &text, inner.heading.as_deref(), outer.heading.as_deref())
    })
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
