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
use std::rc::Rc;
use std::sync::Arc;

use crate::spec::Ranking;
use crate::text::{is_unspaced, query_terms};

use super::corpus::{Corpus, Damaged, Postings, TextIx};

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

/// What a search found.
#[derive(Debug, Default)]
pub struct Results {
    /// The passages that have to do with the query, the best first; equal ones by their place.
    pub found: Vec<Found>,
    /// The query's own terms, the telling ones first, and the entries that have them.
    asked: Vec<(Arc<str>, Rc<Postings>)>,
    /// The first entry of each searched text.
    firsts: Vec<usize>,
}

impl Results {
    /// The query's own terms that a passage has, the telling ones first.
    pub fn matched(&self, text: usize, nth: usize) -> Vec<String> {
        let has = self.asked.iter().filter(|(_, postings)| is_in(self.firsts[text] + nth, postings));
        has.map(|(term, _)| term.to_string()).collect()
    }
}

fn is_in(entry: usize, postings: &Postings) -> bool {
    postings.binary_search_by_key(&entry, |(known, _)| *known as usize).is_ok()
}

type Weights = BTreeMap<Arc<str>, f64>;

/// The passages of `texts` that have to do with a query. Of equal texts only the first is looked at.
pub fn search(corpus: &Corpus, texts: &[TextIx], query: &str, ranking: Ranking) -> Result<Results, Damaged> {
    let search = Search::new(corpus, texts, ranking);
    let weights = search.weights(texts, query)?;
    let first = search.rank(&weights)?;
    let last = match search.expanded(&weights, &first)? {
        Some(expanded) => search.rank(&expanded)?,
        None => first,
    };
    let mut asked = Vec::new();
    for (term, weight) in weights {
        let (postings, rarity) = (search.postings(&term)?, search.rarity(&term)?);
        asked.push((weight * rarity, term, postings));
    }
    asked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    // What only shares words with other hits is no hit: nobody could tell why it is there.
    let mut has_own = vec![false; search.owner.len()];
    for (_, _, postings) in &asked {
        postings.iter().for_each(|(entry, _)| has_own[*entry as usize] = true);
    }
    let found = last.into_iter().filter(|(entry, _)| has_own[*entry]).map(|(entry, score)| {
        let (text, nth) = search.place(entry);
        Found { text, nth, score }
    });
    Ok(Results {
        found: found.collect(),
        asked: asked.into_iter().map(|(_, term, postings)| (term, postings)).collect(),
        firsts: search.firsts,
    })
}

struct Search<'a> {
    corpus: &'a Corpus,
    ranking: Ranking,
    /// For each entry which searched text it belongs to, plus one; 0 for none.
    owner: Vec<u32>,
    /// The first entry of each searched text.
    firsts: Vec<usize>,
    /// How many terms each entry has, searched or not.
    lengths: Vec<u32>,
    /// How many entries are searched, and how many terms they have on average.
    entries: usize,
    mean_length: f64,
    /// The searched entries that have a term, once somebody asked.
    postings: RefCell<HashMap<Arc<str>, Rc<Postings>>>,
}

impl<'a> Search<'a> {
    fn new(corpus: &'a Corpus, texts: &[TextIx], ranking: Ranking) -> Self {
        let lengths: Vec<u32> = corpus.lengths().collect();
        let mut owner = vec![0; lengths.len()];
        let mut firsts = Vec::with_capacity(texts.len());
        let (mut entries, mut total) = (0, 0);
        for (at, text) in texts.iter().enumerate() {
            let own = corpus.entries_of(*text);
            firsts.push(own.start);
            for entry in own {
                if owner[entry] == 0 {
                    owner[entry] = at as u32 + 1;
                    entries += 1;
                    total += u64::from(lengths[entry]);
                }
            }
        }
        let mean_length = total as f64 / entries.max(1) as f64;
        Search { corpus, ranking, owner, firsts, lengths, entries, mean_length, postings: RefCell::default() }
    }

    /// Which text an entry belongs to, and which passage of it it is.
    fn place(&self, entry: usize) -> (usize, usize) {
        let text = self.owner[entry] as usize - 1;
        (text, entry - self.firsts[text])
    }

    /// The query's terms as the searched texts have them: stemmed as in each of their languages. A term
    /// that none of them has does not count, whatever else the corpus holds.
    fn weights(&self, texts: &[TextIx], query: &str) -> Result<Weights, Damaged> {
        let mut weights = Weights::new();
        for terms in query_terms(query, &self.corpus.languages_of(texts)) {
            let mut counts = Weights::new();
            for term in terms {
                *counts.entry(term.into()).or_default() += 1.0;
            }
            for (term, count) in counts {
                if self.frequency(&term)? > 0 {
                    let known = weights.entry(term).or_default();
                    *known = known.max(count);
                }
            }
        }
        Ok(weights)
    }

    /// The searched passages that have a term.
    fn postings(&self, term: &Arc<str>) -> Result<Rc<Postings>, Damaged> {
        if let Some(known) = self.postings.borrow().get(term) {
            return Ok(known.clone());
        }
        let mut postings = self.corpus.postings(term)?;
        postings.retain(|(entry, _)| self.owner[*entry as usize] != 0);
        let postings = Rc::new(postings);
        self.postings.borrow_mut().insert(term.clone(), postings.clone());
        Ok(postings)
    }

    /// How many of the searched passages have a term.
    fn frequency(&self, term: &Arc<str>) -> Result<usize, Damaged> {
        match self.entries == self.owner.len() {
            true => self.corpus.frequency(term),
            false => self.postings(term).map(|postings| postings.len()),
        }
    }

    fn rarity(&self, term: &Arc<str>) -> Result<f64, Damaged> {
        let (n, found) = (self.entries as f64, self.frequency(term)? as f64);
        let single = term.starts_with(is_unspaced) && term.chars().nth(1).is_none();
        Ok(rarity(n, found) * if single { SINGLE } else { 1.0 })
    }

    /// All passages with a score above zero, the best first.
    fn rank(&self, weights: &Weights) -> Result<Vec<(usize, f64)>, Damaged> {
        let mut scores = vec![0.0; self.owner.len()];
        for (term, weight) in weights {
            let rarity = self.rarity(term)?;
            let parameters = if term.starts_with(is_unspaced) { UNSPACED } else { WORDS };
            for (entry, count) in &*self.postings(term)? {
                let entry = *entry as usize;
                let count = f64::from(*count);
                scores[entry] += match self.ranking {
                    Ranking::Bm25 => {
                        let length = f64::from(self.lengths[entry]) / self.mean_length;
                        weight * rarity * saturated(count, length, parameters)
                    }
                    Ranking::TfIdf => weight * rarity * rarity * (1.0 + libm::log(count)),
                };
            }
        }
        let mut found: Vec<(usize, f64)> =
            scores.into_iter().enumerate().filter(|(_, score)| *score > 0.0).collect();
        if self.ranking == Ranking::TfIdf {
            for (entry, score) in &mut found {
                *score /= self.norm(*entry)?;
            }
        }
        // The entries of a text are in order, but not the texts: their place among the searched ones decides.
        found.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| self.place(a.0).cmp(&self.place(b.0))));
        Ok(found)
    }

    /// The length of a passage as a vector of TF-IDF weights.
    fn norm(&self, entry: usize) -> Result<f64, Damaged> {
        // Summed as whole numbers, so that the order of terms, which differs with what came in first,
        // changes no bit.
        let mut squares = 0;
        for (term, count) in self.corpus.terms_of(entry)? {
            let weight = self.rarity(&term)? * (1.0 + libm::log(f64::from(count)));
            squares += libm::round(weight * weight * SQUARES) as u64;
        }
        Ok(libm::sqrt(squares as f64 / SQUARES))
    }

    /// The query with the terms that the best hits share; `None` if they add nothing.
    fn expanded(&self, query: &Weights, hits: &[(usize, f64)]) -> Result<Option<Weights>, Damaged> {
        let top = &hits[..hits.len().min(FEEDBACK_HITS)];
        let Some((best, others)) = top.split_first() else { return Ok(None) };
        // How near the others come to the best: where one hit stands out it is what was looked for.
        let near = others.iter().map(|(_, score)| score / best.1).sum::<f64>() / (FEEDBACK_HITS - 1) as f64;
        let power = |score: f64| {
            let square = (score / best.1) * (score / best.1);
            square * square
        };
        let whole: f64 = top.iter().map(|(_, score)| power(*score)).sum();
        let mut shared = Weights::new();
        for (entry, score) in top {
            let length = f64::from(self.lengths[*entry]);
            for (term, count) in self.corpus.terms_of(*entry)? {
                // Pairs of characters are no words: what a query of them shares with its hits says little.
                if !term.starts_with(is_unspaced) {
                    *shared.entry(term).or_default() += power(*score) / whole * f64::from(count) / length;
                }
            }
        }
        let n = self.entries;
        // Terms of one passage find nothing else; terms of a tenth of all say nothing.
        let is_telling = |found: usize| found >= 2 && found * 10 < n.max(50);
        let not_searched = self.owner.len() - n;
        let mut terms: Vec<(Arc<str>, f64)> = Vec::new();
        for (term, weight) in shared {
            // As a rule what all entries say of a term is enough to see that it is not telling.
            let anywhere = self.corpus.frequency(&term)?;
            if anywhere < 2 || !is_telling(anywhere.saturating_sub(not_searched).max(2)) {
                continue;
            }
            let found = self.frequency(&term)?;
            if is_telling(found) {
                terms.push((term, weight * libm::log((n + 1) as f64 / found as f64)));
            }
        }
        terms.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        terms.truncate(FEEDBACK_TERMS);
        let sum: f64 = terms.iter().map(|(_, weight)| weight).sum();
        let words = query.iter().filter(|(term, _)| !term.starts_with(is_unspaced));
        let own: f64 = words.map(|(_, weight)| weight).sum();
        if sum <= 0.0 || own <= 0.0 {
            return Ok(None);
        }
        let total = (FEEDBACK_WEIGHT * own).min(FEEDBACK_MOST) * near;
        let mut expanded = query.clone();
        for (term, weight) in terms {
            *expanded.entry(term).or_default() += total * weight / sum;
        }
        Ok(Some(expanded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::corpus::TextKey;
    use crate::digest::Digest;

    fn found(texts: &[&str], query: &str, ranking: Ranking) -> Vec<(usize, f64)> {
        let mut corpus = Corpus::default();
        let keys: Vec<_> = texts.iter().map(|text| TextKey::of(Digest::of(text), "a.md")).collect();
        keys.iter().zip(texts).for_each(|(key, text)| corpus.add(&[(*key, "a.md", text)]));
        corpus.settle();
        let texts: Vec<TextIx> = keys.iter().filter_map(|key| corpus.find(*key)).collect();
        let results = search(&corpus, &texts, query, ranking).unwrap_or_default();
        results.found.into_iter().map(|found| (found.text, found.score)).collect()
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
            texts in proptest::collection::btree_set("[a-e]{1,3}( [a-e]{1,3}){0,12}", 1..12),
            query in "[a-e]{1,3}( [a-e]{1,3}){0,5}",
            seed in 0usize..1000,
            ranking in proptest::sample::select(vec![Ranking::Bm25, Ranking::TfIdf]),
        ) {
            let texts: Vec<String> = texts.into_iter().collect();
            let key = |text: &str| TextKey::of(Digest::of(text), "a.md");
            let run = |order: &[usize], seed: usize| {
                let mut corpus = Corpus::default();
                // What else was ever indexed, words of the query among it, changes nothing.
                if seed.is_multiple_of(2) {
                    let other = format!("{query} zz");
                    corpus.add(&[(key(&other), "z.md", &other)]);
                }
                for at in order {
                    corpus.add(&[(key(&texts[*at]), "a.md", &texts[*at])]);
                    // Neither do the segments that came up.
                    if seed.is_multiple_of(at + 3) {
                        corpus.settle();
                    }
                }
                corpus.settle();
                let all: Vec<TextIx> = texts.iter().filter_map(|text| corpus.find(key(text))).collect();
                assert_eq!(all.len(), texts.len());
                search(&corpus, &all, &query, ranking).map(|results| results.found)
            };
            let plain: Vec<usize> = (0..texts.len()).collect();
            let mut turned = plain.clone();
            turned.rotate_left(seed % texts.len());
            turned.reverse();
            proptest::prop_assert_eq!(run(&plain, 0), run(&turned, seed));
        }
    }
}
