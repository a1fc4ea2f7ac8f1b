//! Words of sections and items: without indents and marks, their titles, and the links at their ends.

use std::ops::Range;

use super::blocks;
use crate::author::name::without_number;

/// A text without marks of emphasis and code, and without the full stop at its end.
pub(super) fn plain_of(text: &str) -> String {
    text.chars().filter(|c| !"*_`".contains(*c)).collect::<String>().trim().trim_end_matches('.').to_owned()
}

/// A text as it would stand at the left margin: what its first line is indented by is taken off the others.
pub(super) fn dedent(text: &str, range: Range<usize>) -> String {
    let line = text[..range.start].rfind('\n').map_or(0, |at| at + 1);
    let indent = text[line..range.start].chars().count();
    outdent(&text[range], indent)
}

/// By how much an export indents what stands below an item's first line.
pub(super) const EXPORTED_INDENT: usize = 2;

/// A text with so much less blank before every line but the first, and without the mark of an id.
pub(super) fn outdent(text: &str, indent: usize) -> String {
    let without = |line: &str| {
        let blank =
            line.chars().take(indent).take_while(|c| c.is_whitespace()).map(char::len_utf8).sum::<usize>();
        let line = &line[blank..];
        // Two blanks at a line's end break it.
        if line.trim().is_empty() { String::new() } else { line.to_owned() }
    };
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    let text = std::iter::once(first).chain(lines.map(without)).collect::<Vec<_>>().join("\n");
    blocks::without_mark(text.trim_end()).0
}

/// Takes the links out of the end of a text: `Write it (after: a, b)`.
pub(super) fn split_links(text: &str) -> (String, Vec<String>) {
    let found = last_brackets(text.trim_end()).and_then(|(before, inner)| {
        let words = ["requires", "depends on", "after", "needs", "blocked by"];
        let lower = inner.to_lowercase();
        let word = words.iter().find(|word| lower.starts_with(**word))?;
        let rest = inner.get(word.len()..)?;
        // `(afternoon)` is no link.
        rest.starts_with([' ', ':']).then_some((before, rest))
    });
    let Some((before, names)) = found else { return (text.to_owned(), Vec::new()) };
    let names = names.trim_start_matches([':', ' ']).split([',', ';']);
    let names = names.map(|name| name.trim().trim_matches('`').to_owned()).filter(|name| !name.is_empty());
    (before.trim_end().to_owned(), names.collect())
}

/// What stands in the brackets that a text ends with, and what stands before them.
fn last_brackets(text: &str) -> Option<(&str, &str)> {
    let mut open = 0usize;
    for (at, c) in text.char_indices().rev() {
        match c {
            ')' => open += 1,
            '(' if open == 1 => return Some((&text[..at], &text[at + 1..text.len() - 1])),
            '(' => open -= 1,
            _ if open == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The most characters of a title.
const LONGEST: usize = 72;

/// A title out of an item's text: what it begins with in bold, what stands before a colon, a dash or the end of
/// the first sentence; cut at a word if that is long.
pub(super) fn title_of(lead: Option<&str>, text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = without_number(&text);
    let balanced = |head: &str| head.matches('(').count() == head.matches(')').count();
    let cut = [": ", " — ", " – ", " - ", ". "]
        .iter()
        .filter_map(|mark| text.find(mark))
        .filter(|at| (1..=LONGEST).contains(at) && balanced(&text[..*at]))
        .min();
    let head = match (lead.map(str::trim).filter(|lead| lead.len() > 1), cut) {
        (Some(lead), _) => lead,
        (None, Some(at)) => &text[..at],
        (None, None) => text,
    };
    let head = head.trim_end_matches([':', '.', ' ', ',']);
    if head.chars().count() <= LONGEST {
        return head.to_owned();
    }
    let short: String = head.chars().take(LONGEST).collect();
    format!("{}…", short.rsplit_once(' ').map_or(short.as_str(), |(words, _)| words))
}

/// A quotation without its marks: so an export writes the prompt of a big task.
pub(super) fn unquoted(text: &str) -> String {
    let lines = text.lines().map(|line| line.strip_prefix("> ").or(line.strip_prefix('>')).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// A text with those of some definitions of links that it uses.
pub(super) fn with_definitions(text: &str, definitions: &[(String, &str)]) -> String {
    let lower = text.to_lowercase();
    let used = definitions.iter().filter(|(label, line)| lower.contains(label) && !text.contains(line));
    let lines: Vec<&str> = used.map(|(_, line)| *line).collect();
    if lines.is_empty() { text.to_owned() } else { format!("{text}\n\n{}", lines.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_end_where_the_matter_begins() {
        for (text, title) in [
            ("DB migration: create it", "DB migration"),
            ("Repo API (extend Repo):", "Repo API (extend Repo)"),
            ("create_link(from_id: int) -> None", "create_link(from_id: int) -> None"),
            ("Ask Ann. She knows.", "Ask Ann"),
            ("3. Third", "Third"),
        ] {
            assert_eq!(title_of(None, text), title);
        }
        assert_eq!(title_of(Some("Setup"), "Setup: do this"), "Setup");
        assert!(title_of(None, &"long ".repeat(40)).ends_with("long…"));
    }
}
