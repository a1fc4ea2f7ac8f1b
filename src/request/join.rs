//! `run = "assemble"`: outputs joined whole and in order, under their titles as headings.

use crate::text::headings;

/// Joins parts under a title. Headings inside a part go down below the part's own heading; a first
/// heading that only repeats the part's title is not said twice.
pub(super) fn join(title: &str, parts: &[(String, String)]) -> String {
    let mut joined = format!("# {title}\n");
    for (title, text) in parts {
        joined.push_str(&format!("\n## {title}\n"));
        let text = text.trim();
        let all = headings(text);
        let repeats = all.first().is_some_and(|first| first.section.start == 0 && first.text == *title);
        let shallowest =
            all.iter().skip(usize::from(repeats)).map(|heading| heading.level).min().unwrap_or(3);
        let down = 3usize.saturating_sub(shallowest);
        let mut body = String::new();
        let mut at = 0;
        for (number, heading) in all.iter().enumerate() {
            let start = heading.section.start;
            body.push_str(&text[at..start]);
            let (old, after) = heading_line(&text[start..]);
            if number > 0 || !repeats {
                body.push_str(&"#".repeat((heading.level + down).min(6)));
                body.push(' ');
                body.push_str(old);
                body.push('\n');
            }
            at = start + after;
        }
        body.push_str(&text[at..]);
        let body = body.trim();
        if !body.is_empty() {
            joined.push_str(&format!("\n{body}\n"));
        }
    }
    joined
}

/// A heading's words as they are written, and the length of its line or, underlined, lines.
fn heading_line(text: &str) -> (&str, usize) {
    let line_end = text.find('\n').map_or(text.len(), |at| at + 1);
    let line = text[..line_end].trim();
    if line.starts_with('#') {
        let words = line.trim_start_matches('#').trim();
        let closed = words.trim_end_matches('#');
        let words = if closed.ends_with(' ') || closed.is_empty() { closed.trim_end() } else { words };
        return (words, line_end);
    }
    // Underlined headings may span lines; the underline is the first line of `=` or `-` alone.
    let mut at = line_end;
    while at < text.len() {
        let end = text[at..].find('\n').map_or(text.len(), |found| at + found + 1);
        let under = text[at..end].trim();
        if !under.is_empty() && (under.bytes().all(|b| b == b'=') || under.bytes().all(|b| b == b'-')) {
            return (text[..at].trim(), end);
        }
        at = end;
    }
    (line, line_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(parts: &[(&str, &str)], expected: &str) {
        let parts: Vec<(String, String)> =
            parts.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(join("Book", &parts), expected);
    }

    #[test]
    fn parts_stand_whole_under_their_titles() {
        check(
            &[("One", "# One\n\nText.\n\n## Sub ##\n\n```\n# code\n```\n"), ("Two", "Plain.\n")],
            "# Book\n\n## One\n\nText.\n\n### Sub\n\n```\n# code\n```\n\n## Two\n\nPlain.\n",
        );
    }

    #[test]
    fn headings_keep_their_depth_among_themselves() {
        check(
            &[("One", "# Other\n\na\n\nUnder\n-----\n\nb\n")],
            "# Book\n\n## One\n\n### Other\n\na\n\n#### Under\n\nb\n",
        );
    }

    #[test]
    fn an_empty_part_leaves_its_heading() {
        check(&[("One", "")], "# Book\n\n## One\n");
    }
}
