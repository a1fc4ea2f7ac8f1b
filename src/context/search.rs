//! Search: which passages of some texts are most relevant to a query. Lexical and deterministic.
//!
//! BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009) with linear weight of
//! repeated query terms, then once more with the query expanded from the best first hits (RM3: Lavrenko
//! and Croft, "Relevance-Based Language Models", 2001; Jaleel and others, TREC 2004), the milder the
//! more the best hit stands out. Or TF-IDF with cosine.
//!
//! All sums go over terms in the order of their letters and all logarithms are computed by a library,
//! so that scores are the same to the last bit on every machine and for every order of files.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use crate::spec::Ranking;
use crate::text::query_terms;

use super::corpus::{Corpus, TermIx, TextIx};

/// BM25's saturation and length norm for words, and for pairs of characters, which repeat less.
pub(super) const WORDS: (f64, f64) = (1.5, 0.7);
const UNSPACED: (f64, f64) = (0.9, 0.4);
/// What a single character of a script without spaces counts beside a pair.
const SINGLE: f64 = 0.5;

/// The expansion: from so many hits so many terms, together as heavy as this part of the query and never
/// heavier than so many of its terms.
const FEEDBACK_HITS: usize = 5;
const FEEDBACK_TERMS: usize = 50;
const FEEDBACK_WEIGHT: f64 = 0.4;
const FEEDBACK_MOST: f64 = 4.0;

/// To how small a part squares of weights are counted.
const SQUARES: f64 = 1_048_576.0;

/// How rare a term is that `found` of `n` texts have (Robertson and Spärck Jones, never below zero).
pub(super) fn rarity(n: f64, found: f64) -> f64 {
    libm::log(1.0 + (n - found + 0.5).max(0.5) / (found + 0.5))
}

/// What `count` occurrences say, saturated, in a text `length` times as long as the mean.
pub(super) fn saturated(count: f64, length: f64, (k1, b): (f64, f64)) -> f64 {
    (k1 + 1.0) * count / (count + k1 * (1.0 - b + b * length))
}

/// A passage that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Which of the searched texts, by its place among them.
    pub text: usize,
    /// Which passage of it.
    pub nth: usize,
    /// Its score; above zero.
    pub score: f64,
}

type Weights<'a> = BTreeMap<&'a str, (TermIx, f64)>;

/// The passages of `texts` that have to do with a query, the best first; equal ones by their place. Of
/// equal texts only the first is looked at.
pub fn search(corpus: &Corpus, texts: &[TextIx], query: &str, ranking: Ranking) -> Vec<Found> {
    let search = Search::new(corpus, texts, ranking);
    let weights = search.weights(texts, query);
    let first = search.rank(&weights);
    let last = match search.expanded(&weights, &first) {
        Some(expanded) => search.rank(&expanded),
        None => first,
    };
    // What only shares words with other hits is no hit: nobody could tell why it is there.
    let asked = |entry: usize| {
        let has = &corpus.entries[entry].terms;
        weights.values().any(|(term, _)| has.binary_search_by_key(term, |(known, _)| *known).is_ok())
    };
    let hits = last.into_iter().filter(|(entry, _)| asked(*entry));
    hits.map(|(entry, score)| {
        let (text, nth) = search.place(entry);
        Found { text, nth, score }
    })
    .collect()
}

/// For each of some passages the terms of a query that it has, the telling ones first.
pub fn matched(
    corpus: &Corpus,
    texts: &[TextIx],
    query: &str,
    passages: impl Iterator<Item = (usize, usize)>,
) -> Vec<Vec<String>> {
    let search = Search::new(corpus, texts, Ranking::Bm25);
    let weights = search.weights(texts, query);
    passages.map(|(text, nth)| search.matched(corpus.entries_of(texts[text]).start + nth, &weights)).collect()
}

struct Search<'a> {
    corpus: &'a Corpus,
    ranking: Ranking,
    /// For each entry which searched text it belongs to, plus one; 0 for none.
    owner: Vec<u32>,
    entries: Vec<usize>,
    mean_length: f64,
    frequencies: RefCell<HashMap<TermIx, usize>>,
}

impl<'a> Search<'a> {
    fn new(corpus: &'a Corpus, texts: &[TextIx], ranking: Ranking) -> Self {
        let mut owner = vec![0; corpus.entries.len()];
        let mut entries = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            for entry in corpus.entries_of(*text) {
                if owner[entry] == 0 {
                    owner[entry] = at as u32 + 1;
                    entries.push(entry);
                }
            }
        }
        let total: u64 = entries.iter().map(|entry| u64::from(corpus.entries[*entry].length)).sum();
        let mean_length = total as f64 / entries.len().max(1) as f64;
        Search { corpus, ranking, owner, entries, mean_length, frequencies: RefCell::default() }
    }

    /// Which text an entry belongs to, and which passage of it it is.
    fn place(&self, entry: usize) -> (usize, usize) {
        (self.owner[entry] as usize - 1, self.corpus.entries[entry].nth)
    }

    /// The query's terms as the searched texts have them: stemmed as in each of their languages. A term
    /// that none of them has does not count, whatever else the corpus holds.
    fn weights(&self, texts: &[TextIx], query: &str) -> Weights<'a> {
        let mut weights: Weights<'a> = BTreeMap::new();
        for terms in query_terms(query, &self.corpus.languages_of(texts)) {
            let mut counts: BTreeMap<TermIx, f64> = BTreeMap::new();
            for term in terms {
                if let Some(ix) = self.corpus.term(&term).filter(|ix| self.frequency(*ix) > 0) {
                    *counts.entry(ix).or_default() += 1.0;
                }
            }
            for (ix, count) in counts {
                let known = weights.entry(&self.corpus.vocabulary[ix as usize].text).or_insert((ix, 0.0));
                known.1 = known.1.max(count);
            }
        }
        weights
    }

    /// How many of the searched passages have a term.
    fn frequency(&self, term: TermIx) -> usize {
        *self.frequencies.borrow_mut().entry(term).or_insert_with(|| {
            let postings = &self.corpus.vocabulary[term as usize].postings;
            postings.iter().filter(|(entry, _)| self.owner[*entry as usize] != 0).count()
        })
    }

    fn rarity(&self, term: TermIx) -> f64 {
        let (n, found) = (self.entries.len() as f64, self.frequency(term) as f64);
        let single = {
            let known = &self.corpus.vocabulary[term as usize];
            known.unspaced && known.text.chars().count() == 1
        };
        rarity(n, found) * if single { SINGLE } else { 1.0 }
    }

    /// All passages with a score above zero, the best first.
    fn rank(&self, weights: &Weights<'_>) -> Vec<(usize, f64)> {
        let mut scores = vec![0.0; self.corpus.entries.len()];
        for (term, weight) in weights.values() {
            let rarity = self.rarity(*term);
            let known = &self.corpus.vocabulary[*term as usize];
            let parameters = if known.unspaced { UNSPACED } else { WORDS };
            for (entry, count) in &known.postings {
                let entry = *entry as usize;
                if self.owner[entry] == 0 {
                    continue;
                }
                let count = f64::from(*count);
                scores[entry] += match self.ranking {
                    Ranking::Bm25 => {
                        let length = f64::from(self.corpus.entries[entry].length) / self.mean_length;
                        weight * rarity * saturated(count, length, parameters)
                    }
                    Ranking::TfIdf => weight * rarity * rarity * (1.0 + libm::log(count)),
                };
            }
        }
        if self.ranking == Ranking::TfIdf {
            for entry in self.entries.iter().copied().filter(|entry| scores[*entry] > 0.0).collect::<Vec<_>>()
            {
                scores[entry] /= self.norm(entry);
            }
        }
        let mut found: Vec<(usize, f64)> = self
            .entries
            .iter()
            .map(|entry| (*entry, scores[*entry]))
            .filter(|(_, score)| *score > 0.0)
            .collect();
        // The entries of a text are in order, but not the texts: their place among the searched ones decides.
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| self.place(a.0).cmp(&self.place(b.0))));
        found
    }

    /// The length of a passage as a vector of TF-IDF weights.
    fn norm(&self, entry: usize) -> f64 {
        // Summed as whole numbers, so that the order of terms, which differs with what came in first,
        // changes no bit.
        let squares = self.corpus.entries[entry].terms.iter().map(|(term, count)| {
            let weight = self.rarity(*term) * (1.0 + libm::log(f64::from(*count)));
            libm::round(weight * weight * SQUARES) as u64
        });
        libm::sqrt(squares.sum::<u64>() as f64 / SQUARES)
    }

    /// The query with the terms that the best hits share; `None` if they add nothing.
    fn expanded(&self, query: &Weights<'a>, hits: &[(usize, f64)]) -> Option<Weights<'a>> {
        let top = &hits[..hits.len().min(FEEDBACK_HITS)];
        let (best, others) = top.split_first()?;
        // How near the others come to the best: where one hit stands out it is what was looked for.
        let near = others.iter().map(|(_, score)| score / best.1).sum::<f64>() / (FEEDBACK_HITS - 1) as f64;
        let power = |score: f64| {
            let square = (score / best.1) * (score / best.1);
            square * square
        };
        let whole: f64 = top.iter().map(|(_, score)| power(*score)).sum();
        let mut shared: BTreeMap<&str, (TermIx, f64)> = BTreeMap::new();
        for (entry, score) in top {
            let entry = &self.corpus.entries[*entry];
            for (term, count) in &entry.terms {
                let known = &self.corpus.vocabulary[*term as usize];
                if !known.unspaced {
                    let weight = power(*score) / whole * f64::from(*count) / f64::from(entry.length);
                    shared.entry(&known.text).or_insert((*term, 0.0)).1 += weight;
                }
            }
        }
        let n = self.entries.len();
        let mut terms: Vec<(&str, TermIx, f64)> = shared
            .into_iter()
            .filter_map(|(text, (term, weight))| {
                let found = self.frequency(term);
                // Terms of one passage find nothing else; terms of a tenth of all say nothing.
                let telling = found >= 2 && found * 10 < n.max(50);
                telling.then(|| (text, term, weight * libm::log((n + 1) as f64 / found as f64)))
            })
            .collect();
        terms.sort_by(|a, b| b.2.total_cmp(&a.2).then_with(|| a.0.cmp(b.0)));
        terms.truncate(FEEDBACK_TERMS);
        let sum: f64 = terms.iter().map(|(_, _, weight)| weight).sum();
        if sum <= 0.0 {
            return None;
        }
        // Pairs of characters are no words: what a query of them shares with its hits says little.
        let is_word = |term: TermIx| !self.corpus.vocabulary[term as usize].unspaced;
        let own: f64 = query.values().filter(|(term, _)| is_word(*term)).map(|(_, weight)| weight).sum();
        if own <= 0.0 {
            return None;
        }
        let total = (FEEDBACK_WEIGHT * own).min(FEEDBACK_MOST) * near;
        let mut expanded = query.clone();
        for (text, term, weight) in terms {
            expanded.entry(text).or_insert((term, 0.0)).1 += total * weight / sum;
        }
        Some(expanded)
    }

    /// The query's own terms that a passage has, the telling ones first.
    fn matched(&self, entry: usize, query: &Weights<'_>) -> Vec<String> {
        let has = &self.corpus.entries[entry].terms;
        let mut found: Vec<(&str, f64)> = query
            .iter()
            .filter(|(_, (term, _))| has.binary_search_by_key(term, |(known, _)| *known).is_ok())
            .map(|(text, (term, weight))| (*text, weight * self.rarity(*term)))
            .collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        found.into_iter().map(|(text, _)| text.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn found(texts: &[&str], query: &str, ranking: Ranking) -> Vec<(usize, f64)> {
        let mut corpus = Corpus::default();
        let texts: Vec<TextIx> =
            texts.iter().map(|text| corpus.add(Digest::of(text), "a.md", text)).collect();
        search(&corpus, &texts, query, ranking).into_iter().map(|found| (found.text, found.score)).collect()
    }

    #[test]
    fn scores_are_those_of_the_formula() {
        // Three passages of two terms each, "wood" in one of them: rarity ln(1 + 2.5/1.5), and at mean
        // length one occurrence gives (k1 + 1) / (1 + k1) = 1.
        let hits = found(&["wood floats", "sand sinks", "salt melts"], "wood", Ranking::Bm25);
        assert_eq!(hits.len(), 1);
        assert!((hits[0].1 - (1.0f64 + 2.5 / 1.5).ln()).abs() < 1e-12, "{hits:?}");
        // Cosine: one of two equal weights, times the query's own.
        let hits = found(&["wood floats", "sand sinks", "salt melts"], "wood", Ranking::TfIdf);
        let rarity = (1.0f64 + 2.5 / 1.5).ln();
        assert!((hits[0].1 - rarity / 2f64.sqrt()).abs() < 1e-5, "{hits:?}");
    }

    #[test]
    fn a_repeated_query_term_counts() {
        let texts = ["wood wood floats here", "sand sand sinks here", "salt"];
        let first = |query| found(&texts, query, Ranking::Bm25).first().map(|hit| hit.0);
        assert_eq!(first("wood sand sand"), Some(1));
        assert_eq!(first("wood wood sand"), Some(0));
    }

    #[test]
    fn nothing_in_common_is_no_hit_and_ties_go_by_place() {
        assert_eq!(found(&["wood", "sand"], "glass", Ranking::Bm25), []);
        assert_eq!(found(&[], "glass", Ranking::Bm25), []);
        let hits = found(&["wood oak", "wood elm", "sand"], "wood", Ranking::Bm25);
        assert_eq!(hits.iter().map(|hit| hit.0).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(hits[0].1.to_bits(), hits[1].1.to_bits());
    }

    proptest::proptest! {
            #[test]
            fn the_order_in_which_texts_came_in_changes_no_bit(
                texts in proptest::collection::vec("[a-e]{1,3}( [a-e]{1,3}){0,12}", 1..12),
                query in "[a-e]{1,3}( [a-e]{1,3}){0,5}",
                seed in 0usize..1000,
            ) {
                let mut texts = texts;
                texts.sort();
                texts.dedup();
                let run = |order: &[usize], seed: usize| {
                    let mut corpus = Corpus::default();
                    // What else was ever indexed, words of the query among it, changes nothing.
                    if seed.is_multiple_of(2) {
    let other = format!("{query} zz");
                        corpus.add(Digest::of(&other), "z.md", &other);
                    }
                    for at in order {
                        corpus.add(Digest::of(&texts[*at]), "a.md", &texts[*at]);
                    }
                    let all: Vec<TextIx> =
                        texts.iter().filter_map(|text| corpus.find(Digest::of(text), "a.md")).collect();
                    search(&corpus, &all, &query, Ranking::Bm25)
                };
                let plain: Vec<usize> = (0..texts.len()).collect();
                let mut turned = plain.clone();
                turned.rotate_left(seed % texts.len());
                turned.reverse();
                proptest::prop_assert_eq!(run(&plain, 0), run(&turned, 1));
            }
        }
}
