//! Which tasks a task most likely depends on, from its words and its place in the plan.
//!
//! Four things speak for another task: that it shares words (BM25, scaled to the best candidate), that it names
//! what the other's title says (by rarity), that the other comes shortly before it, and that the other is among
//! the first of the plan, which most others build on. What comes later is ranked after all that comes before.
//! The weights were chosen on 25 plans of public repositories; `docs/quality.md` has them measured there and on others.

use std::collections::{BTreeMap, BTreeSet};

use super::{Part, Sketch};
use crate::text::{Language, terms};

/// BM25's saturation and length norm.
const SATURATION: (f64, f64) = (1.5, 0.7);

/// What shared words, a title that is named, a place nearby and a place at the beginning count.
const WEIGHTS: (f64, f64, f64, f64) = (0.5, 1.0, 0.5, 0.5);

/// A candidate whose title is named this much, of 1, is worth proposing unasked.
const NAMED: f64 = 0.6;

/// A task that another may depend on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suggestion {
    /// Its place among the tasks.
    pub task: usize,
    /// How much speaks for it; only to be compared with others of one task.
    pub score: f64,
    /// How much of its title the other names, by rarity: 0 to 1.
    pub named: f64,
}

/// The words of a plan's tasks, in the plan's order.
#[derive(Debug)]
pub struct Words {
    /// Each task's terms with their counts.
    texts: Vec<BTreeMap<String, f64>>,
    titles: Vec<BTreeSet<String>>,
    /// In how many texts, and in how many titles, a term is.
    spread: BTreeMap<String, (f64, f64)>,
    mean: f64,
}

impl Words {
    /// Reads titles and texts.
    pub fn new<'t>(tasks: impl Iterator<Item = (&'t str, &'t str)>) -> Self {
        let mut words = Words { texts: Vec::new(), titles: Vec::new(), spread: BTreeMap::new(), mean: 1.0 };
        for (title, text) in tasks {
            let language = Language::of(text);
            let mut counts: BTreeMap<String, f64> = BTreeMap::new();
            // The title twice: it says what the task is about.
            for term in [title, title, text].iter().flat_map(|part| terms(part, language)) {
                *counts.entry(term).or_default() += 1.0;
            }
            let title: BTreeSet<String> = terms(title, language).into_iter().collect();
            for term in counts.keys() {
                words.spread.entry(term.clone()).or_default().0 += 1.0;
            }
            for term in &title {
                words.spread.entry(term.clone()).or_default().1 += 1.0;
            }
            words.texts.push(counts);
            words.titles.push(title);
        }
        let all: f64 = words.texts.iter().flat_map(BTreeMap::values).sum();
        words.mean = (all / words.texts.len().max(1) as f64).max(1.0);
        words
    }

    /// How much the words of two texts have in common (BM25).
    fn shared(&self, one: usize, other: usize) -> f64 {
        let (k1, b) = SATURATION;
        let n = self.texts.len() as f64;
        let length: f64 = self.texts[other].values().sum::<f64>() / self.mean;
        let weigh = |(term, count): (&String, &f64)| {
            let there = self.texts[other].get(term)?;
            let found = self.spread.get(term)?.0;
            let rarity = libm::log(1.0 + (n - found + 0.5) / (found + 0.5));
            Some(count * rarity * there * (k1 + 1.0) / (there + k1 * (1.0 - b + b * length)))
        };
        self.texts[one].iter().filter_map(weigh).sum()
    }

    /// How much of a task's title another one's words hold.
    fn named(&self, by: usize, other: usize) -> f64 {
        let n = self.titles.len() as f64;
        let rarity = |term: &&String| {
            libm::log(1.0 + n / self.spread.get(*term).map_or(1.0, |spread| spread.1.max(1.0)))
        };
        let all: f64 = self.titles[other].iter().map(|term| rarity(&term)).sum();
        let held: f64 = self.titles[other]
            .iter()
            .filter(|term| self.texts[by].contains_key(*term))
            .map(|term| rarity(&term))
            .sum();
        if all > 0.0 { held / all } else { 0.0 }
    }

    /// The tasks that one most likely depends on, the most likely first.
    pub fn suggest(&self, task: usize) -> Vec<Suggestion> {
        let others: Vec<usize> = (0..self.texts.len()).filter(|other| *other != task).collect();
        let shared: BTreeMap<usize, f64> =
            others.iter().map(|other| (*other, self.shared(task, *other))).collect();
        let best = shared.range(..task).map(|(_, shared)| *shared).fold(0.0, f64::max);
        let best = if best > 0.0 { best } else { 1.0 };
        let (by_words, by_title, by_place, by_beginning) = WEIGHTS;
        let score = |other: usize| {
            let named = self.named(task, other);
            let away = task.abs_diff(other) as f64;
            let near = 1.0 / (1.0 + libm::log2(away));
            let first = 1.0 / (1.0 + other as f64);
            let score =
                by_words * shared[&other] / best + by_title * named + by_place * near + by_beginning * first;
            Suggestion { task: other, score, named }
        };
        let mut found: Vec<Suggestion> = others.into_iter().map(score).collect();
        found.sort_by(|one, other| {
            (one.task > task)
                .cmp(&(other.task > task))
                .then(other.score.total_cmp(&one.score))
                .then(one.task.cmp(&other.task))
        });
        found
    }
}

/// Lets every task of a sketch that is linked to nothing refer to an earlier one whose title it names. Returns
/// how many links that are.
pub fn suggest_links(sketch: &mut Sketch) -> usize {
    fn leaves<'p>(parts: &'p mut [Part], all: &mut Vec<&'p mut Part>) {
        for part in parts {
            if part.parts.is_empty() {
                all.push(part);
            } else {
                leaves(&mut part.parts, all);
            }
        }
    }
    let mut all = Vec::new();
    leaves(&mut sketch.parts, &mut all);
    let words = Words::new(all.iter().map(|part| (part.title.as_str(), part.prompt.as_str())));
    let found: Vec<Option<String>> = (0..all.len())
        .map(|at| {
            let best = *words.suggest(at).first()?;
            let unlinked = all[at].requires.is_empty() && all[at].refers.is_empty() && all[at].done.is_none();
            (unlinked && best.task < at && best.named >= NAMED).then(|| all[best.task].key.clone())
        })
        .collect();
    let mut links = 0;
    for (part, key) in all.into_iter().zip(found) {
        links += usize::from(key.is_some());
        part.refers.extend(key);
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: [(&str, &str); 5] = [
        ("Set up the repository", "Make a repository with a licence and a first page."),
        ("Payment service", "Take money by card."),
        ("Bird database", "Collect all birds with their names and calls."),
        ("Search for birds", "Find a bird in the bird database by its name or its call."),
        ("Checkout page", "Let people pay through the payment service."),
    ];

    #[test]
    fn what_a_task_names_and_what_is_near_comes_first() {
        let words = Words::new(PLAN.into_iter());
        let ranks = |task| words.suggest(task).iter().map(|found| found.task).collect::<Vec<_>>();
        assert_eq!(ranks(3)[0], 2);
        assert_eq!(ranks(4)[0], 1);
        assert_eq!(ranks(1)[0], 0, "what comes later comes last");
        assert_eq!(words.suggest(4)[0].named, 1.0);
    }

    #[test]
    fn only_what_is_named_is_linked_unasked() {
        let part = |(title, prompt): (&str, &str)| Part {
            key: title.into(),
            title: title.into(),
            prompt: prompt.into(),
            ..Part::default()
        };
        let mut sketch = Sketch { parts: PLAN.into_iter().map(part).collect(), ..Sketch::default() };
        assert_eq!(suggest_links(&mut sketch), 2);
        let refers: Vec<&[String]> = sketch.parts.iter().map(|part| part.refers.as_slice()).collect();
        assert_eq!(
            refers,
            [&[][..], &[], &[], &["Bird database".to_owned()], &["Payment service".to_owned()]]
        );
    }
}
