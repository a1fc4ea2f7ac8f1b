//! A text as units that can be kept or left out: headings, sentences, list items, table rows, code.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// What a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitKind {
    /// A heading of some level; it stays where anything under it stays.
    Heading(usize),
    /// A sentence or a part of a long one.
    Sentence,
    /// A fenced block of code, whole.
    Code,
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// What it is.
    pub kind: UnitKind,
    /// Its bytes, without white space around it.
    pub range: Range<usize>,
    /// The number of its block: units of one block stand in one paragraph or line.
    pub block: usize,
}

/// The longest unit in bytes; longer ones are cut at spaces, or at characters where there are none.
const LONGEST: usize = 600;

/// Takes a text apart. The units are in order and do not overlap.
pub fn units(text: &str) -> Vec<Unit> {
    let mut builder = Builder { text, units: Vec::new(), block: 0, open: None };
    let mut fence: Option<(&str, usize)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let range = at..at + line.len();
        at = range.end;
        let trimmed = line.trim();
        if let Some((mark, start)) = fence {
            if trimmed.starts_with(mark) && trimmed.trim_start_matches(&mark[..1]).is_empty() {
                builder.add(UnitKind::Code, start..range.end);
                fence = None;
            }
            continue;
        }
        let heading = trimmed.bytes().take_while(|b| *b == b'#').count();
        if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
            builder.close();
            let len = trimmed.bytes().take_while(|b| *b == trimmed.as_bytes()[0]).count();
            fence = Some((&trimmed[..len], range.start));
        } else if trimmed.is_empty() {
            builder.close();
        } else if (1..=6).contains(&heading) && trimmed[heading..].starts_with([' ', '\t']) {
            builder.close();
            builder.add(UnitKind::Heading(heading), range);
        } else if starts_block(trimmed) {
            builder.close();
            builder.open = Some(range);
        } else {
            match &mut builder.open {
                Some(open) => open.end = range.end,
                None => builder.open = Some(range),
            }
        }
    }
    if let Some((_, start)) = fence {
        builder.add(UnitKind::Code, start..text.len());
    }
    builder.close();
    builder.units
}

/// Whether a line begins a block of its own: a list item, a table row, a quotation.
fn starts_block(line: &str) -> bool {
    let marker = line.split([' ', '\t']).next().unwrap_or("");
    let numbered = marker.len() > 1
        && marker.ends_with(['.', ')'])
        && marker[..marker.len() - 1].bytes().all(|b| b.is_ascii_digit());
    matches!(marker, "-" | "*" | "+" | ">") || numbered || line.starts_with('|')
}

struct Builder<'a> {
    text: &'a str,
    units: Vec<Unit>,
    block: usize,
    open: Option<Range<usize>>,
}

impl Builder<'_> {
    fn push(&mut self, kind: UnitKind, range: Range<usize>) {
        let piece = &self.text[range.clone()];
        let start = range.start + (piece.len() - piece.trim_start().len());
        let end = start + piece.trim().len();
        if start < end {
            self.units.push(Unit { kind, range: start..end, block: self.block });
        }
    }

    fn add(&mut self, kind: UnitKind, range: Range<usize>) {
        self.push(kind, range);
        self.block += 1;
    }

    fn close(&mut self) {
        let Some(range) = self.open.take() else { return };
        // UAX 29 ends a sentence at each line end; inside a paragraph that is only a space.
        let paragraph = self.text[range.clone()].replace(['\n', '\r'], " ");
        let mut at = range.start;
        for sentence in whole_sentences(&paragraph) {
            let end = at + sentence.len();
            for piece in cut(sentence) {
                self.push(UnitKind::Sentence, at..at + piece);
                at += piece;
            }
            at = end;
        }
        self.block += 1;
    }
}

/// The sentences of a paragraph (UAX 29), mended where marks of Markdown stand at a border: the number of
/// a list item belongs to what follows it, a closing `**` or quote to what it closes.
fn whole_sentences(paragraph: &str) -> Vec<&str> {
    let mut ends: Vec<usize> = Vec::new();
    let mut at = 0;
    for sentence in paragraph.split_sentence_bounds() {
        let start = at;
        at += sentence.len();
        let closing = sentence.len()
            - sentence.trim_start_matches(['*', '_', '`', '"', '\'', '”', '’', ')', ']']).len();
        let closes = closing > 0 && sentence[closing..].starts_with([' ', '\t']);
        if closes
            && paragraph[..start].ends_with(['.', '!', '?', '。'])
            && let Some(end) = ends.last_mut().filter(|end| **end == start)
        {
            *end = start + closing;
        }
        ends.push(at);
        let only_number = sentence.trim().trim_end_matches(['.', ')']).bytes().all(|b| b.is_ascii_digit());
        if only_number && start == 0 {
            ends.pop();
        }
    }
    if ends.last() != Some(&paragraph.len()) {
        ends.push(paragraph.len());
    }
    let mut from = 0;
    ends.into_iter()
        .map(|end| (std::mem::replace(&mut from, end), end))
        .map(|(from, end)| &paragraph[from..end])
        .collect()
}

/// The lengths of the pieces of a sentence, none longer than [`LONGEST`].
fn cut(sentence: &str) -> Vec<usize> {
    let mut pieces = Vec::new();
    let mut rest = sentence;
    while rest.len() > LONGEST {
        let mut end = LONGEST;
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let at =
            rest[..end].rfind(char::is_whitespace).filter(|at| *at > LONGEST / 2).map_or(end, |at| at + 1);
        let at = if rest.is_char_boundary(at) { at } else { end };
        pieces.push(at);
        rest = &rest[at..];
    }
    pieces.push(rest.len());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<&str> = units(text).into_iter().map(|unit| &text[unit.range]).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_text_comes_apart_at_sentences_items_rows_and_code() {
        check(
            "# One\n\nFirst here. Second\nthere.\n\n- item a\n  goes on\n- item b\n\n| x | y |\n| - | - |\n\n\
             ```\ncode. code.\n```\n",
            &[
                "# One",
                "First here.",
                "Second\nthere.",
                "- item a\n  goes on",
                "- item b",
                "| x | y |",
                "| - | - |",
                "```\ncode. code.\n```",
            ],
        );
    }

    #[test]
    fn marks_of_markdown_do_not_stand_alone() {
        check("2. asks in writing. Then waits.", &["2. asks in writing.", "Then waits."]);
        check("**Calibrate first.** Read the standard.", &["**Calibrate first.**", "Read the standard."]);
    }

    #[test]
    fn chinese_sentences_end_at_their_own_stops() {
        check("今天下雨。明天晴天！", &["今天下雨。", "明天晴天！"]);
    }

    #[test]
    fn a_text_without_borders_is_cut() {
        let text = "x".repeat(2000);
        let all = units(&text);
        assert!(all.len() > 3 && all.iter().all(|unit| unit.range.len() <= LONGEST));
        assert_eq!(all.iter().map(|unit| unit.range.len()).sum::<usize>(), 2000);
    }

    #[test]
    fn an_open_fence_ends_with_the_text() {
        check("a\n\n~~~\nb", &["a", "~~~\nb"]);
    }

    proptest::proptest! {
        #[test]
        fn units_lie_in_order_within_the_text(text in "([a-zé。 .\n#`|-]|```|\r\n){0,300}") {
            let mut end = 0;
            for unit in units(&text) {
                proptest::prop_assert!(unit.range.start >= end && unit.range.end <= text.len());
                proptest::prop_assert!(text.get(unit.range.clone()).is_some_and(|piece| !piece.trim().is_empty()));
                end = unit.range.end;
            }
        }
    }
}
