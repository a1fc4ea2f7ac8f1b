//! `run = "assemble"`: outputs joined whole and in order, under their titles as headings.

use crate::text::headings;

/// Joins parts under a title. Headings inside a part go down below the part's own heading; a first
/// heading that only repeats the part's title is not said twice.
pub(super) fn join(title: &str, parts: &[(String, String)]) -> String {
    let mut joined = format!("# {title}\n");
    for (title, text) in parts {
        joined.push_str(&format!("\n## {title}\n"));
        let text = text.trim();
        // Headings in quotations and lists are the quoted text's own.
        let all: Vec<_> = headings(text).into_iter().filter(|heading| !heading.nested).collect();
        let repeats = all.first().is_some_and(|first| first.section.start == 0 && first.text == *title);
        let shallowest =
            all.iter().skip(usize::from(repeats)).map(|heading| heading.level).min().unwrap_or(3);
        let down = 3usize.saturating_sub(shallowest);
        let mut body = String::new();
        let mut at = 0;
        for (number, heading) in all.iter().enumerate() {
            body.push_str(&text[at..heading.head.start]);
            if number > 0 || !repeats {
                body.push_str(&"#".repeat((heading.level + down).min(6)));
                body.push(' ');
                body.push_str(&words_of_heading(&text[heading.head.clone()]));
                body.push('\n');
            }
            at = heading.head.end;
        }
        body.push_str(&text[at..]);
        let body = body.trim();
        if !body.is_empty() {
            joined.push_str(&format!("\n{body}\n"));
        }
    }
    joined
}

/// A heading's words as they are written, without its marks, in one line.
fn words_of_heading(head: &str) -> String {
    let head = head.trim();
    if head.starts_with('#') {
        let words = head.trim_start_matches('#').trim();
        let closed = words.trim_end_matches('#');
        return if closed.is_empty() || closed.ends_with([' ', '\t']) { closed.trim_end() } else { words }
            .to_owned();
    }
    // The last line of an underlined heading is the underline.
    let lines: Vec<&str> = head.lines().map(str::trim).collect();
    lines[..lines.len().saturating_sub(1)].join(" ")
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
    fn quoted_headings_and_rules_are_left_alone() {
        check(
            &[("One", "> Title\n> ---\n\n# Next\n\n---\nwords\n")],
            "# Book\n\n## One\n\n> Title\n> ---\n\n### Next\n\n---\nwords\n",
        );
    }

    proptest::proptest! {
        #[test]
        fn no_markdown_makes_it_panic(text in "([#>*=-]{1,3} ?|[a-c]{1,3} ?|\n|    |```|1\\. |\\[|\\]|`){0,40}") {
            join("Book", &[("One".into(), text)]);
        }
    }

    #[test]
    fn an_empty_part_leaves_its_heading() {
        check(&[("One", "")], "# Book\n\n## One\n");
    }
}
