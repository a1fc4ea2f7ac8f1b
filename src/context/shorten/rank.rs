//! Which units of a text matter most: to a query, and by themselves.
//!
//! To a query: BM25 of each unit, smoothed over its neighbours, since what is said of a matter stands
//! around the words that name it. By themselves: words that many units share (the centroid of Radev and
//! others, "Centroid-based summarization", 2004), and the place, since texts say first what they are
//! about. Whatever is said already counts half.

use std::collections::{BTreeMap, BinaryHeap};

use crate::text::{Language, Unit, UnitKind, terms};

use super::super::search::{WORDS, rarity, saturated};

/// How far, in terms, a hit lends its weight to what stands around it.
const REACH: f64 = 200.0;
/// What the neighbourhood counts beside the unit's own words, and what a heading lends to its section.
const AROUND: f64 = 2.0;
const HEADING: f64 = 0.5;
/// What centrality and place count beside relevance.
const CENTRAL: f64 = 1.0;
const PLACE: f64 = 0.3;
const RELEVANT: f64 = 4.0;
/// What a word counts that was said already.
const AGAIN: f64 = 0.5;

type Term = usize;

/// The units that can be chosen, the best first: each after those that leave less to say.
pub(super) fn rank(text: &str, units: &[Unit], query: &str) -> Vec<usize> {
    let language = Language::of(text);
    let mut numbers: BTreeMap<String, Term> = BTreeMap::new();
    let bags: Vec<Vec<Term>> = units
        .iter()
        .map(|unit| {
            let terms = terms(&text[unit.range.clone()], language);
            terms
                .into_iter()
                .map(|term| {
                    let next = numbers.len();
                    *numbers.entry(term).or_insert(next)
                })
                .collect()
        })
        .collect();
    let mut wanted = vec![0.0; numbers.len()];
    for term in terms(query, language) {
        if let Some(number) = numbers.get(&term) {
            wanted[*number] += 1.0;
        }
    }
    let bodies: Vec<usize> =
        (0..units.len()).filter(|at| !matches!(units[*at].kind, UnitKind::Heading(_))).collect();
    let relevance = scaled(relevance(units, &bags, &bodies, &wanted));
    let place = place(units, &bodies);
    Chooser::new(&bags, &bodies, |at| RELEVANT * relevance[at] + PLACE * place[at]).choose()
}

/// How many units have each term.
fn frequencies(bags: &[Vec<Term>], bodies: &[usize], terms: usize) -> Vec<f64> {
    let mut found = vec![0.0; terms];
    let mut seen = vec![usize::MAX; terms];
    for at in bodies {
        for term in &bags[*at] {
            if std::mem::replace(&mut seen[*term], *at) != *at {
                found[*term] += 1.0;
            }
        }
    }
    found
}

/// For each unit what it and its neighbours have to do with the query.
fn relevance(units: &[Unit], bags: &[Vec<Term>], bodies: &[usize], wanted: &[f64]) -> Vec<f64> {
    let mut relevance = vec![0.0; units.len()];
    if wanted.iter().all(|weight| *weight == 0.0) {
        return relevance;
    }
    let found = frequencies(bags, bodies, wanted.len());
    let n = bodies.len() as f64;
    let weight = |term: Term| wanted[term] * rarity(n, found[term]);
    let mean = bodies.iter().map(|at| bags[*at].len()).sum::<usize>() as f64 / n.max(1.0);
    let own: Vec<f64> = bags
        .iter()
        .map(|bag| {
            let mut counts: BTreeMap<Term, f64> = BTreeMap::new();
            for term in bag.iter().filter(|term| wanted[**term] > 0.0) {
                *counts.entry(*term).or_default() += 1.0;
            }
            let length = bag.len() as f64 / mean.max(1.0);
            counts.iter().map(|(term, count)| weight(*term) * saturated(*count, length, WORDS)).sum()
        })
        .collect();
    // The middle of each unit, counted in terms.
    let mut middles = Vec::with_capacity(bodies.len());
    let mut length = 0.0;
    for at in bodies {
        middles.push(length + bags[*at].len() as f64 / 2.0);
        length += bags[*at].len() as f64;
    }
    let mut around = vec![0.0; bodies.len()];
    for (nth, at) in bodies.iter().enumerate().filter(|(_, at)| own[**at] > 0.0) {
        let mut lend = |other: usize| -> bool {
            let far = (middles[other] - middles[nth]).abs() / REACH;
            if far < 1.0 {
                around[other] += own[*at] * (1.0 - far);
            }
            far < 1.0
        };
        lend(nth);
        for other in nth + 1..bodies.len() {
            if !lend(other) {
                break;
            }
        }
        for other in (0..nth).rev() {
            if !lend(other) {
                break;
            }
        }
    }
    let mut headings: Vec<(usize, f64)> = Vec::new();
    let mut next = 0;
    for (at, unit) in units.iter().enumerate() {
        if let UnitKind::Heading(level) = unit.kind {
            headings.retain(|(above, _)| *above < level);
            headings.push((level, own[at]));
        } else {
            let section: f64 = headings.iter().map(|(_, own)| own).sum();
            relevance[at] = own[at] + HEADING * section;
            around[next] += HEADING * section;
            next += 1;
        }
    }
    let around = scaled(around);
    let relevance = scaled(relevance);
    let mut both = relevance;
    for (nth, at) in bodies.iter().enumerate() {
        both[*at] += AROUND * around[nth];
    }
    both
}

/// Nearer to the beginning is better, and the beginning of a paragraph a little.
fn place(units: &[Unit], bodies: &[usize]) -> Vec<f64> {
    let mut place = vec![0.0; units.len()];
    for (nth, at) in bodies.iter().enumerate() {
        let first = *at == 0 || units[*at - 1].block != units[*at].block;
        place[*at] = 1.0 / (1.0 + nth as f64) + if first { 0.1 } else { 0.0 };
    }
    place
}

/// Scaled so that the greatest is 1.
fn scaled(mut values: Vec<f64>) -> Vec<f64> {
    let greatest = values.iter().copied().fold(0.0, f64::max);
    if greatest > 0.0 {
        values.iter_mut().for_each(|value| *value /= greatest);
    }
    values
}

/// Chooses greedily; a unit's worth only falls while others are chosen, so it is looked at again only
/// when it is next (Minoux, "Accelerated greedy algorithms", 1978).
struct Chooser<'a, F> {
    bags: &'a [Vec<Term>],
    weights: Vec<f64>,
    said: Vec<bool>,
    scale: f64,
    fixed: F,
    waiting: BinaryHeap<Next>,
}

/// A unit and what it was worth when it was last looked at.
struct Next {
    worth: f64,
    at: usize,
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Next {}
impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Next {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.worth.total_cmp(&other.worth).then(other.at.cmp(&self.at))
    }
}

impl<'a, F: Fn(usize) -> f64> Chooser<'a, F> {
    fn new(bags: &'a [Vec<Term>], bodies: &[usize], fixed: F) -> Self {
        let terms = bags.iter().flatten().max().map_or(0, |most| most + 1);
        let weights = frequencies(bags, bodies, terms);
        // What one unit alone has is not central.
        let weights = weights.into_iter().map(|n| if n > 1.0 { libm::log(1.0 + n) } else { 0.0 }).collect();
        let mut chooser = Chooser {
            bags,
            weights,
            said: vec![false; terms],
            scale: 1.0,
            fixed,
            waiting: BinaryHeap::new(),
        };
        let most = bodies.iter().map(|at| chooser.central(*at)).fold(0.0, f64::max);
        chooser.scale = if most > 0.0 { most } else { 1.0 };
        chooser.waiting = bodies.iter().map(|at| Next { worth: chooser.worth(*at), at: *at }).collect();
        chooser
    }

    fn central(&self, at: usize) -> f64 {
        let mut terms = self.bags[at].clone();
        terms.sort_unstable();
        terms.dedup();
        let sum: f64 =
            terms.iter().map(|term| self.weights[*term] * if self.said[*term] { AGAIN } else { 1.0 }).sum();
        sum / libm::sqrt(terms.len().max(1) as f64)
    }

    fn worth(&self, at: usize) -> f64 {
        CENTRAL * self.central(at) / self.scale + (self.fixed)(at)
    }

    fn choose(mut self) -> Vec<usize> {
        let mut chosen = Vec::with_capacity(self.waiting.len());
        while let Some(next) = self.waiting.pop() {
            let worth = self.worth(next.at);
            if self.waiting.peek().is_some_and(|other| Next { worth, at: next.at } < *other) {
                self.waiting.push(Next { worth, at: next.at });
                continue;
            }
            for term in &self.bags[next.at] {
                self.said[*term] = true;
            }
            chosen.push(next.at);
        }
        chosen
    }
}
