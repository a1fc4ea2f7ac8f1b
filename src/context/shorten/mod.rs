//! Shortening: the sentences most relevant to title and prompt with their headings, in their order, with
//! a mark at each gap. JSON and CSV stay JSON and CSV.

mod data;
mod rank;

use crate::text::{Format, Unit, UnitKind, units};

use rank::rank;

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
    let short =
        if fits(text) { Some(text.to_owned()) } else { shorten(Format::Markdown, text, &query, room, &fits) };
    match short {
        Some(short) => line(&short),
        None => line(text).chars().take(room).collect(),
    }
}

/// The units of a text that can be chosen, the best first: ranges of bytes.
pub fn ranked(format: Format, text: &str, query: &Query) -> Vec<std::ops::Range<usize>> {
    let units = units(format, text);
    rank(text, &units, &query.0).into_iter().map(|at| units[at].range.clone()).collect()
}

/// Shortens a text until `fits` accepts it; `None` if not even one unit fits.
///
/// `room` is the number of tokens that may fit, to bound the work; `query` the words that matter.
pub fn shorten(
    format: Format,
    text: &str,
    query: &Query,
    room: usize,
    fits: &dyn Fn(&str) -> bool,
) -> Option<String> {
    if let Some(data) = data::Data::read(format, text) {
        return data.shorten(fits);
    }
    let units = units(format, text);
    let ranked = rank(text, &units, &query.0);
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

/// The kept units with their headings, in order, and a mark at each gap.
fn render(text: &str, units: &[Unit], kept: &[usize]) -> String {
    let mut keep = vec![false; units.len()];
    for at in kept {
        let mut todo = vec![*at];
        while let Some(at) = todo.pop() {
            if !std::mem::replace(&mut keep[at], true) {
                todo.extend(units[at].head.iter().chain(&units[at].tail));
            }
        }
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
        let start = units[at].range.start;
        let line = text[..start].rfind('\n').map_or(0, |end| end + 1);
        let begins_line = text[line..start].trim().is_empty();
        match last {
            // Neighbours stand as they stood.
            Some(last) if at == last + 1 => shown.push_str(&text[units[last].range.end..start]),
            Some(last) if units[last].block == units[at].block && !begins_line => {
                shown.push_str(&format!(" {MARK} "));
            }
            Some(_) => shown.push_str(&format!("\n{MARK}\n")),
            None if at > 0 => shown.push_str(&format!("{MARK}\n")),
            None => {}
        }
        if last.is_none_or(|last| at > last + 1) && begins_line {
            shown.push_str(&text[line..start]);
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
        let short = shorten(Format::Markdown, text, &query, limit, &|short| short.chars().count() <= limit);
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
        let short =
            |text: &str| shorten(Format::Markdown, text, &query, 58, &|short| short.chars().count() <= 58);
        let one = short("The meter is blue. Wood floats well on it. Sand sinks in it.");
        let other = short("The meter is blue. Wood floats well on it. Salt melts in it!");
        assert_eq!(one, other);
        assert!(one.is_some_and(|text| text.contains("meter")));
    }
}
