//! Shortening: the sentences and headings most relevant to the prompt, in their order, with a mark
//! at each gap.

use std::collections::{HashMap, HashSet};

use crate::text::{Language, Unit, UnitKind, terms, units};

/// The mark of a cut. It has no figures, so that a change of what is left out changes nothing.
pub const MARK: &str = "[… left out …]";

/// No vocabulary has tokens that stand for more than this many bytes of ordinary text on average.
const BYTES_PER_TOKEN: usize = 24;

/// What a shortened text is to be relevant to.
#[derive(Clone, Debug, Default)]
pub struct Query(String);

impl Query {
    /// The words of a task's title and prompt.
    pub fn new(text: &str) -> Self {
        Query(text.to_owned())
    }
}

/// The sentence or two of a text that a query is most about, for a list of hits.
pub fn excerpt(text: &str, query: &str) -> String {
    let room = 240;
    let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let query = Query::new(query);
    let fits = |short: &str| short.chars().count() <= room;
    let short = if fits(text) { Some(text.to_owned()) } else { shorten(text, &query, room, &fits) };
    match short {
        Some(short) => line(&short),
        None => line(text).chars().take(room).collect(),
    }
}

/// Shortens a text until `fits` accepts it; `None` if not even one unit fits.
///
/// `room` is the number of tokens that may fit, to bound the work; `query` the words that matter.
pub fn shorten(text: &str, query: &Query, room: usize, fits: &dyn Fn(&str) -> bool) -> Option<String> {
    let units = units(text);
    let ranked = rank(text, &units, query);
    let mut bytes = 0;
    let most = ranked
        .iter()
        .take_while(|at| {
            let before = bytes;
            bytes += units[**at].range.len();
            before <= room.saturating_mul(BYTES_PER_TOKEN)
        })
        .count();
    // The most of the best that fits. Each try is a pure function of the text, so this is too.
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if fits(&render(text, &units, &ranked[..middle])) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    let mut kept = ranked[..low].to_vec();
    // A long unit may have stopped the search; smaller ones further down may still fit.
    for at in ranked[low..most].iter().skip(1).take(12) {
        kept.push(*at);
        if !fits(&render(text, &units, &kept)) {
            kept.pop();
        }
    }
    if kept.is_empty() { None } else { Some(render(text, &units, &kept)) }
}

/// The units by relevance, headings left out: they come with what stands under them.
fn rank(text: &str, units: &[Unit], query: &Query) -> Vec<usize> {
    let language = Language::of(text);
    let query: HashSet<String> = terms(&query.0, language).into_iter().collect();
    let bags: Vec<Vec<String>> = units
        .iter()
        .map(|unit| {
            terms(&text[unit.range.clone()], language)
                .into_iter()
                .filter(|word| query.contains(word))
                .collect()
        })
        .collect();
    let mut frequency: HashMap<&str, usize> = HashMap::new();
    for bag in &bags {
        for word in bag.iter().collect::<HashSet<_>>() {
            *frequency.entry(word).or_default() += 1;
        }
    }
    let weight = |word: &str| {
        let count = frequency.get(word).copied().unwrap_or(0) as f64;
        (1.0 + units.len() as f64 / (1.0 + count)).ln()
    };
    let mut under: Vec<f64> = Vec::with_capacity(units.len());
    let mut headings: Vec<(usize, f64)> = Vec::new();
    let mut scored: Vec<(i64, usize)> = Vec::new();
    for (at, (unit, bag)) in units.iter().zip(&bags).enumerate() {
        let mut distinct: Vec<&str> = bag.iter().map(String::as_str).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let own: f64 = distinct.iter().map(|word| weight(word)).sum();
        if let UnitKind::Heading(level) = unit.kind {
            headings.retain(|(above, _)| *above < level);
            headings.push((level, own));
            under.push(0.0);
            continue;
        }
        let section: f64 = headings.iter().map(|(_, own)| own).sum();
        let length = (unit.range.len() as f64 / 80.0).max(1.0).sqrt();
        // The beginning of a text and of its paragraphs says most where nothing else decides.
        let first = if at == 0 || units[at - 1].block != unit.block { 0.3 } else { 0.0 };
        let early = 1.0 / (1.0 + at as f64 / 4.0);
        let score = own / length + 0.3 * section + first + early;
        under.push(score);
        // Compared as whole numbers: the order is the same on every machine.
        scored.push(((score * 1e6).round() as i64, at));
    }
    scored.sort_by_key(|(score, at)| (std::cmp::Reverse(*score), *at));
    scored.into_iter().map(|(_, at)| at).collect()
}

/// The kept units with their headings, in order, and a mark at each gap.
fn render(text: &str, units: &[Unit], kept: &[usize]) -> String {
    let mut keep = vec![false; units.len()];
    for at in kept {
        keep[*at] = true;
    }
    let mut below = [false; 7];
    for at in (0..units.len()).rev() {
        match units[at].kind {
            UnitKind::Heading(level) if below[level.min(6)..].contains(&true) => {
                // It stays, and what is above it with it.
                keep[at] = true;
                below[level.min(6)..].fill(false);
                below[level.min(6) - 1] = true;
            }
            UnitKind::Heading(_) => {}
            _ if keep[at] => below[6] = true,
            _ => {}
        }
    }
    let mut shown = String::new();
    let mut last: Option<usize> = None;
    for at in (0..units.len()).filter(|at| keep[*at]) {
        let gap = last.map_or(at > 0, |last| at > last + 1);
        let same_block = last.is_some_and(|last| units[last].block == units[at].block);
        let apart = if same_block { " " } else { "\n" };
        let tight = last.is_some_and(|last| {
            at == last + 1 && !text[units[last].range.end..units[at].range.start].contains("\n\n")
        });
        match (last.is_some(), gap) {
            (true, true) => shown.push_str(&format!("{apart}{MARK}{apart}")),
            (false, true) => shown.push_str(&format!("{MARK}\n")),
            (true, false) if same_block => shown.push(' '),
            (true, false) if tight => shown.push('\n'),
            (true, false) => shown.push_str("\n\n"),
            (false, false) => {}
        }
        shown.push_str(&text[units[at].range.clone()]);
        last = Some(at);
    }
    if last.is_some_and(|last| last + 1 < units.len()) {
        shown.push_str(&format!("\n{MARK}"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, query: &str, limit: usize, expected: Option<&str>) {
        let query = Query::new(query);
        let short = shorten(text, &query, limit, &|short| short.chars().count() <= limit);
        assert_eq!(short.as_deref(), expected);
    }

    #[test]
    fn the_relevant_sentence_stays_with_its_heading() {
        check(
            "# Kit\n\nPack early and read the list twice before you leave.\n\n## Meters\n\nCalibrate the meter first. Then rinse it.\n\n## Boots\n\nWear boots that keep \
             the feet dry in spring.\n",
            "calibrate meter",
            95,
            Some(
                "# Kit\n[… left out …]\n## Meters\n\nCalibrate the meter first. Then rinse it.\n[… left out …]",
            ),
        );
    }

    #[test]
    fn nothing_fits_nothing() {
        check("A sentence that is far too long.", "", 5, None);
    }

    #[test]
    fn a_change_of_what_is_left_out_changes_nothing() {
        let query = Query::new("meter");
        let short = |text: &str| shorten(text, &query, 58, &|short| short.chars().count() <= 58);
        let one = short("The meter is blue. Wood floats well on it. Sand sinks in it.");
        let other = short("The meter is blue. Wood floats well on it. Salt melts in it!");
        assert_eq!(one, other);
        assert!(one.is_some_and(|text| text.contains("meter")));
    }
}
