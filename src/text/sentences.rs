//! A text as units that can be kept or left out: headings, sentences, list items, table rows, code.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::Format;

/// What a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitKind {
    /// A heading of some level; it stays where anything under it stays.
    Heading(usize),
    /// A sentence or a part of a long one.
    Sentence,
    /// A block of code, whole.
    Code,
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// What it is.
    pub kind: UnitKind,
    /// Its bytes, without white space around it; code keeps the indent of its first line.
    pub range: Range<usize>,
    /// The number of its block: units of one block stand in one paragraph or line.
    pub block: usize,
    /// The unit before it that must stay where this one stays: a table's head, the line that leads a list
    /// in, the beginning of a long block of code.
    pub head: Option<usize>,
    /// The unit after it that must stay where this one stays: the end of a long block of code.
    pub tail: Option<usize>,
}

/// The longest unit in bytes; longer ones are cut at spaces, or at characters where there are none.
const LONGEST: usize = 600;

/// Takes a text apart. The units are in order and do not overlap.
pub fn units(format: Format, text: &str) -> Vec<Unit> {
    let mut builder = Builder { text, units: Vec::new(), block: 0, open: None };
    if matches!(format, Format::Code | Format::Yaml) {
        builder.lines();
        return builder.units;
    }
    let headings = format.headings(text);
    let mut headings = headings.iter().filter(|heading| !heading.nested).peekable();
    let mut fence: Option<(&str, usize)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let range = at..at + line.len();
        at = range.end;
        let trimmed = line.trim();
        if let Some((mark, start)) = fence {
            if trimmed.starts_with(mark) && trimmed.trim_start_matches(&mark[..1]).is_empty() {
                builder.fenced(start..range.end, true);
                fence = None;
            }
            continue;
        }
        // A heading may take several lines: the one under it, or over it, too.
        while headings.next_if(|heading| heading.head.end <= range.start).is_some() {}
        if let Some(heading) = headings.peek().filter(|heading| heading.head.start < range.end) {
            if heading.head.start >= range.start {
                builder.close();
                builder.add(UnitKind::Heading(heading.level), heading.head.clone());
            }
        } else if let Some(mark) = opening_fence(trimmed) {
            builder.close();
            fence = Some((mark, range.start));
        } else if trimmed.is_empty() {
            builder.close();
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
        builder.fenced(start..text.len(), false);
    }
    builder.close();
    lead_in(text, &mut builder.units);
    builder.units
}

/// The mark of a fence that a line opens. What is code inside a line is none (CommonMark 4.5).
fn opening_fence(line: &str) -> Option<&str> {
    let sign = line.chars().next().filter(|sign| matches!(sign, '`' | '~'))?;
    let rest = line.trim_start_matches(sign);
    let mark = &line[..line.len() - rest.len()];
    (mark.len() >= 3 && !(sign == '`' && rest.contains('`'))).then_some(mark)
}

/// Fills in what tables and lists stand under.
fn lead_in(text: &str, units: &mut [Unit]) {
    let mut head: Option<usize> = None;
    for at in 0..units.len() {
        let own = &text[units[at].range.clone()];
        let before = at.checked_sub(1).map(|before| (before, &text[units[before].range.clone()]));
        let is_row = own.starts_with('|');
        head = match before {
            _ if units[at].kind != UnitKind::Sentence => {
                head = None;
                continue;
            }
            // The second row of a table is the line under its head; the others stand under both.
            Some((before, row)) if is_row && row.starts_with('|') => {
                Some(head.filter(|_| units[before].head.is_some()).unwrap_or(before))
            }
            Some((before, lead)) if is_item(own) && !is_item(lead) && lead.ends_with([':', '：']) => {
                Some(before)
            }
            // Items of one list; what is no item ended the list before.
            Some(_) if is_item(own) => head,
            // The sentences of an item stand under what leads their list in.
            Some((before, _)) if units[before].block == units[at].block && !is_row => head,
            _ => None,
        };
        units[at].head = head;
        // The line under a table's head brings the head, so what stands under it brings both.
        if is_row && before.is_some_and(|(before, row)| row.starts_with('|') && units[before].head.is_none())
        {
            head = Some(at);
        }
    }
}

/// Whether a line begins a block of its own: a list item, a table row, a quotation.
fn starts_block(line: &str) -> bool {
    is_item(line) || line.starts_with('|')
}

fn is_item(line: &str) -> bool {
    let marker = line.split([' ', '\t']).next().unwrap_or("");
    let numbered = marker.len() > 1
        && marker.ends_with(['.', ')'])
        && marker[..marker.len() - 1].bytes().all(|b| b.is_ascii_digit());
    matches!(marker, "-" | "*" | "+" | ">") || numbered
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
        let blank = piece.len() - piece.trim_start().len();
        let skipped = match kind {
            UnitKind::Code => piece[..blank].rfind('\n').map_or(0, |line| line + 1),
            _ => blank,
        };
        if blank < piece.len() {
            let range = range.start + skipped..range.start + piece.trim_end().len();
            self.units.push(Unit { kind, range, block: self.block, head: None, tail: None });
        }
    }

    /// A block between fences: whole, or if it is long its first line, pieces of whole lines, its last line.
    fn fenced(&mut self, range: Range<usize>, closed: bool) {
        if range.len() <= 2 * LONGEST {
            return self.add(UnitKind::Code, range);
        }
        let text = &self.text[range.clone()];
        let first = text.find('\n').map_or(text.len(), |end| end + 1);
        let last = match closed {
            true => text.trim_end().rfind('\n').map_or(text.len(), |start| start + 1),
            false => text.len(),
        };
        let open = self.units.len();
        self.push(UnitKind::Code, range.start..range.start + first);
        let mut piece = range.start + first..range.start + first;
        for line in self.text[range.start + first..range.start + last.max(first)].split_inclusive('\n') {
            if !piece.is_empty() && piece.len() + line.len() > LONGEST {
                self.pieces(UnitKind::Code, piece.clone());
                piece.start = piece.end;
            }
            piece.end += line.len();
        }
        self.pieces(UnitKind::Code, piece);
        let close = self.units.len();
        self.push(UnitKind::Code, range.start + last.max(first)..range.end);
        let close = Some(close).filter(|close| *close < self.units.len());
        for unit in &mut self.units[open..] {
            unit.head = Some(open);
            unit.tail = close;
        }
        self.units[open].head = None;
        if let Some(close) = close {
            self.units[close].tail = None;
        }
        self.block += 1;
    }

    fn add(&mut self, kind: UnitKind, range: Range<usize>) {
        self.push(kind, range);
        self.block += 1;
    }

    /// Blocks of lines that begin without indent; long ones in pieces of whole lines.
    fn lines(&mut self) {
        let mut open: Option<Range<usize>> = None;
        let mut first = 0;
        let mut at = 0;
        for line in self.text.split_inclusive('\n') {
            let range = at..at + line.len();
            at = range.end;
            let begins = line.starts_with(|c: char| !c.is_whitespace() && !matches!(c, '}' | ')' | ']'));
            match &mut open {
                Some(open) if !begins && open.len() + line.len() <= LONGEST => open.end = range.end,
                _ => {
                    if let Some(whole) = open.replace(range) {
                        self.pieces(UnitKind::Code, whole);
                    }
                    if begins {
                        self.end_lines(&mut first);
                    }
                }
            }
        }
        if let Some(whole) = open {
            self.pieces(UnitKind::Code, whole);
        }
        self.end_lines(&mut first);
    }

    /// The pieces of a block stand under its first one, which says whose they are.
    fn end_lines(&mut self, first: &mut usize) {
        for unit in self.units.iter_mut().skip(*first + 1) {
            unit.head = Some(*first);
        }
        *first = self.units.len();
        self.block += 1;
    }

    /// One unit, or several if it is long.
    fn pieces(&mut self, kind: UnitKind, range: Range<usize>) {
        let mut at = range.start;
        for piece in cut(&self.text[range]) {
            self.push(kind, at..at + piece);
            at += piece;
        }
    }

    fn close(&mut self) {
        let Some(range) = self.open.take() else { return };
        if self.text[range.clone()].trim_start().starts_with('|') {
            // A row of a table is one.
            self.pieces(UnitKind::Sentence, range);
            self.block += 1;
            return;
        }
        // UAX 29 ends a sentence at each line end; inside a paragraph that is only a space.
        let paragraph = self.text[range.clone()].replace(['\n', '\r'], " ");
        let mut at = range.start;
        for sentence in whole_sentences(&paragraph) {
            let end = at + sentence.len();
            self.pieces(UnitKind::Sentence, at..end);
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
        if ends_in_abbreviation(&paragraph[..start]) && ends.last() == Some(&start) {
            ends.pop();
        }
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

/// Words that end in a stop without ending a sentence when a capital follows.
const ABBREVIATIONS: &[&str] = &[
    "al", "approx", "bzw", "ca", "cf", "ch", "dr", "e.g", "ed", "eds", "eq", "esp", "est", "fig", "figs",
    "gen", "hon", "i.e", "incl", "jr", "lt", "mr", "mrs", "ms", "mt", "no", "nos", "nr", "op", "p", "pp",
    "prof", "rev", "sec", "sen", "sr", "st", "usw", "v", "vol", "vs", "z.b",
];

/// Whether a text ends in an abbreviation or in the initial of a name.
fn ends_in_abbreviation(text: &str) -> bool {
    let Some(text) = text.trim_end().strip_suffix('.') else { return false };
    // No abbreviation is longer, and texts without spaces are not to be walked through at each border.
    let near = text.char_indices().rev().nth(8).map_or(0, |(at, _)| at);
    let text = &text[near..];
    let word =
        text.rsplit(|c: char| c.is_whitespace() || matches!(c, '(' | '[' | '"' | '“')).next().unwrap_or("");
    let initial =
        word.chars().count() == 1 && word.chars().all(char::is_uppercase) && text.len() > word.len();
    initial || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
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
        let found: Vec<&str> =
            units(Format::Markdown, text).into_iter().map(|unit| &text[unit.range]).collect();
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
    fn abbreviations_and_initials_end_no_sentence() {
        check(
            "Dr. Smith met J. Doe in St. Ives. They left.",
            &["Dr. Smith met J. Doe in St. Ives.", "They left."],
        );
        check(
            "See Fig. 3 and e.g. Bath. Plan B. Then go.",
            &["See Fig. 3 and e.g. Bath.", "Plan B. Then go."],
        );
        check("彼は来た。彼女は去った！なぜ？", &["彼は来た。", "彼女は去った！", "なぜ？"]);
    }

    #[test]
    fn rows_and_items_know_what_they_stand_under() {
        let heads = |text: &str| -> Vec<Option<usize>> {
            units(Format::Markdown, text).into_iter().map(|unit| unit.head).collect()
        };
        // Head, line, two rows: the rows bring the line, the line brings the head.
        assert_eq!(heads("| x |\n| - |\n| a |\n| b |\n"), [None, Some(0), Some(1), Some(1)]);
        assert_eq!(
            heads("Take with you:\n\n- a. Or b.\n- c\n\nDone.\n"),
            [None, Some(0), Some(0), Some(0), None]
        );
        assert_eq!(heads("Words.\n\n- a\n- b\n"), [None; 3]);
    }

    #[test]
    fn code_is_what_a_fence_opens_and_long_code_comes_apart_between_its_fences() {
        check("```npm i``` installs. Then run.", &["```npm i``` installs.", "Then run."]);
        check("| a. b | c |\n", &["| a. b | c |"]);
        let text = format!("```sh\n{}```\n", "    echo one two three\n".repeat(60));
        let all = units(Format::Markdown, &text);
        let last = all.len() - 1;
        assert!(all.len() > 3, "{}", all.len());
        assert_eq!((&text[all[0].range.clone()], &text[all[last].range.clone()]), ("```sh", "```"));
        assert!(text[all[1].range.clone()].starts_with("    echo"));
        assert!(all[1..last].iter().all(|unit| (unit.head, unit.tail) == (Some(0), Some(last))));
        assert_eq!((all[0].tail, all[last].head), (Some(last), Some(0)));
    }

    #[test]
    fn long_blocks_of_lines_stand_under_their_first() {
        let text = format!("server:\n{}log: all\n", "  key: value of some length\n".repeat(60));
        let all = units(Format::Yaml, &text);
        assert_eq!(all.first().and_then(|unit| unit.head), None);
        assert_eq!(all[1].head, Some(0));
        assert_eq!(all.last().map(|unit| (&text[unit.range.clone()], unit.head)), Some(("log: all", None)));
    }

    #[test]
    fn headings_are_those_of_the_format() {
        let kinds = |format, text: &str| -> Vec<UnitKind> {
            units(format, text).into_iter().map(|unit| unit.kind).collect()
        };
        let expected = [UnitKind::Heading(1), UnitKind::Sentence];
        assert_eq!(kinds(Format::ReStructuredText, "Top\n===\n\nWords.\n"), expected);
        assert_eq!(kinds(Format::Markdown, "Top\n===\n\nWords.\n"), expected);
        assert_eq!(kinds(Format::AsciiDoc, "= Top\n\nWords.\n"), expected);
        assert_eq!(kinds(Format::Code, "fn a() {\n    b();\n}\n\nfn c() {}\n"), [UnitKind::Code; 2]);
    }

    #[test]
    fn a_text_without_borders_is_cut() {
        let text = "x".repeat(2000);
        let all = units(Format::Markdown, &text);
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
            for unit in units(Format::Markdown, &text) {
                proptest::prop_assert!(unit.range.start >= end && unit.range.end <= text.len());
                proptest::prop_assert!(text.get(unit.range.clone()).is_some_and(|piece| !piece.trim().is_empty()));
                end = unit.range.end;
            }
        }
    }
}
