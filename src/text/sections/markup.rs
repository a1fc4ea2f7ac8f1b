//! Titles of AsciiDoc and reStructuredText, by the rules of their manuals.

use std::ops::Range;

use super::Heading;
use super::markdown::nest;

struct Line<'a> {
    text: &'a str,
    range: Range<usize>,
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut at = 0;
    text.split_inclusive('\n')
        .map(|line| {
            let range = at..at + line.len();
            at = range.end;
            Line { text: line.trim_end(), range }
        })
        .collect()
}

fn heading(level: usize, title: &str, head: Range<usize>) -> Heading {
    Heading { level, text: title.trim().to_owned(), section: head.clone(), head, nested: false }
}

/// Section titles: one to six `=` (or `#`), a space, the title; none inside a delimited block.
pub(super) fn asciidoc(text: &str) -> Vec<Heading> {
    let lines = lines(text);
    let mut found = Vec::new();
    let mut open: Option<&str> = None;
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        if let Some(mark) = open {
            if line.text == mark {
                open = None;
            }
            continue;
        }
        // The old style: a title over a line of one sign that is as long, give or take one.
        let under = lines.get(at).and_then(|under| Some((adornment(under.text)?, under)));
        let blank_before = at == 1 || lines[at - 2].text.is_empty();
        if let Some((sign, under)) = under
            && let Some(level) = "=-~^+".find(sign)
            && blank_before
            && line.text.starts_with(char::is_alphanumeric)
            && line.text.chars().count().abs_diff(under.text.len()) <= 1
        {
            found.push(heading(level + 1, line.text, line.range.start..under.range.end));
            at += 1;
            continue;
        }
        if is_delimiter(line.text) {
            open = Some(if line.text.starts_with("```") { "```" } else { line.text });
            continue;
        }
        let sign = if line.text.starts_with('#') { '#' } else { '=' };
        let level = line.text.chars().take_while(|c| *c == sign).count();
        if (1..=6).contains(&level)
            && let Some(title) = line.text[level..].strip_prefix(' ').filter(|title| !title.trim().is_empty())
        {
            found.push(heading(level, title, line.range.clone()));
        }
    }
    nest(found, text.len())
}

/// Four or more of one sign, an open block, a table or a fence.
fn is_delimiter(line: &str) -> bool {
    let Some(first) = line.chars().next() else { return false };
    let same = line.chars().all(|c| c == first);
    (same && line.len() >= 4 && "-.=*_+/".contains(first))
        || line == "--"
        || line == "|==="
        || line.starts_with("```")
}

/// Titles: a line with a line of one sign under it at least as long, or one over and one under it; the
/// levels in the order in which the styles appear.
pub(super) fn restructured(text: &str) -> Vec<Heading> {
    let lines = lines(text);
    let mut styles: Vec<(char, bool)> = Vec::new();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let blank_before = at == 0 || lines[at - 1].text.is_empty();
        let title = |at: usize| lines.get(at).map(|line| line.text).filter(|line| !line.trim().is_empty());
        let sign = |at: usize| lines.get(at).and_then(|line| adornment(line.text));
        let over = sign(at).filter(|_| blank_before).and_then(|sign_over| {
            let name = title(at + 1)?;
            let fits = lines[at].text.chars().count() >= name.trim().chars().count();
            (fits && sign(at + 1).is_none() && sign(at + 2) == Some(sign_over))
                .then_some((name, sign_over, true, 3))
        });
        let under = || {
            let name = title(at)
                .filter(|name| !name.starts_with(char::is_whitespace) && adornment(name).is_none())?;
            let sign = sign(at + 1)?;
            let fits = lines[at + 1].text.chars().count() >= name.chars().count();
            (blank_before && fits).then_some((name, sign, false, 2))
        };
        let Some((name, sign, overlined, taken)) = over.or_else(under) else {
            at += 1;
            continue;
        };
        let style = (sign, overlined);
        let level = styles.iter().position(|known| *known == style).unwrap_or_else(|| {
            styles.push(style);
            styles.len() - 1
        });
        found.push(heading(level + 1, name, lines[at].range.start..lines[at + taken - 1].range.end));
        at += taken;
    }
    nest(found, text.len())
}

/// The sign that a line consists of.
fn adornment(line: &str) -> Option<char> {
    let first = line.chars().next().filter(char::is_ascii_punctuation)?;
    (line.len() >= 2 && line.chars().all(|c| c == first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: &[Heading]) -> Vec<(usize, &str)> {
        found.iter().map(|heading| (heading.level, heading.text.as_str())).collect()
    }

    #[test]
    fn asciidoc_titles_stand_outside_blocks() {
        let text = "= Guide\n\nIntro.\n\n== Set up\n\n----\n== not a title\n----\n\n=== Deep\n\na\n\n== Errors\n\nb\n";
        let found = asciidoc(text);
        assert_eq!(names(&found), [(1, "Guide"), (2, "Set up"), (3, "Deep"), (2, "Errors")]);
        assert_eq!(&text[found[2].section.clone()], "=== Deep\n\na\n\n");
        assert_eq!(found[0].section, 0..text.len());
    }

    #[test]
    fn asciidoc_knows_the_old_titles_and_fences_with_a_language() {
        let text = "git-x(1)\n========\n\nNAME\n----\ngit-x\n\n```ruby\n== no\n```\n\n== Last\n";
        assert_eq!(names(&asciidoc(text)), [(1, "git-x(1)"), (2, "NAME"), (2, "Last")]);
    }

    #[test]
    fn restructured_levels_come_in_the_order_of_their_styles() {
        let text = "=====\nGuide\n=====\n\nIntro.\n\nSet up\n------\n\na\n\nDeep\n~~~~\n\n::\n\n  Not\n  ---\n\n------\n\nErrors\n------\n\nb\n";
        let found = restructured(text);
        assert_eq!(names(&found), [(1, "Guide"), (2, "Set up"), (3, "Deep"), (2, "Errors")]);
        assert_eq!(&text[found[3].section.clone()], "Errors\n------\n\nb\n");
    }
}
