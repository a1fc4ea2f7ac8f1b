//! Names of tasks out of their titles: the same title always gives the same one.

use std::collections::BTreeSet;

use crate::path::{is_reserved, nfc};

/// The most characters of a name.
const LONGEST: usize = 40;

/// Words that a name does not end with where it was cut.
const SMALL: [&str; 16] =
    ["a", "an", "and", "as", "at", "by", "for", "from", "in", "of", "on", "or", "that", "the", "to", "with"];

/// A title without the number that it stands under: `3. Phase 1` gives `Phase 1`, `2.1) Scope` gives `Scope`.
pub(super) fn without_number(title: &str) -> &str {
    let title = title.trim();
    let number = title.len() - title.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (number, rest) = title.split_at(number);
    let rest_of = rest.trim_start_matches([')', ':']).trim_start();
    let is_number = number.starts_with(|c: char| c.is_ascii_digit())
        && (number.ends_with('.') || rest.starts_with(')') || number.contains('.') && rest.starts_with(' '));
    if is_number && !rest_of.is_empty() { rest_of } else { title }
}

/// Whether a title stands under a number.
pub(super) fn is_numbered(title: &str) -> bool {
    without_number(title).len() < title.trim().len()
}

/// A text without its parts in round brackets, unless nothing else is left.
pub(super) fn without_brackets(text: &str) -> String {
    let mut depth = 0usize;
    let mut kept = String::new();
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            c if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    let kept = kept.split_whitespace().collect::<Vec<_>>().join(" ");
    if kept.is_empty() || depth > 0 { text.trim().to_owned() } else { kept }
}

/// The last part of an id, out of a title: words in lower case with `-` between them, 40 characters at most.
pub fn slug(title: &str) -> String {
    let title = nfc(&without_brackets(without_number(title))).to_lowercase();
    let words = title.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut kept: Vec<String> = Vec::new();
    let mut length = 0;
    for word in words {
        length += word.chars().count() + usize::from(length > 0);
        if !kept.is_empty() && length > LONGEST {
            // What is cut should not end in the middle of something.
            while kept.len() > 1 && kept.last().is_some_and(|last| SMALL.contains(&last.as_str())) {
                kept.pop();
            }
            break;
        }
        kept.push(word.chars().take(LONGEST).collect());
    }
    let slug = kept.join("-");
    match slug.as_str() {
        "" => "task".into(),
        // `x.new` and what Windows does not store cannot be a file's name.
        name if is_reserved(name) => format!("{name}-task"),
        _ => slug,
    }
}

/// The same name, or one with a number after it that nobody else has.
pub(super) fn unused(name: String, taken: &BTreeSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_words_of_the_title() {
        for (title, name) in [
            ("Survey prior work", "survey-prior-work"),
            ("3. Phase 1 — Context Graph Foundation (MVP)", "phase-1-context-graph-foundation"),
            ("2.1) Scope", "scope"),
            ("1.5 ways to go", "ways-to-go"),
            ("2026 in review", "2026-in-review"),
            ("`app/services/context.py`:", "app-services-context-py"),
            ("(only brackets)", "only-brackets"),
            ("Zwölf Boxkämpfer", "zwölf-boxkämpfer"),
            ("调查 现有 工作", "调查-现有-工作"),
            ("!!!", "task"),
            ("CON", "con-task"),
            (
                "A title that is by far longer than forty characters",
                "a-title-that-is-by-far-longer-than-forty",
            ),
        ] {
            assert_eq!(slug(title), name, "{title}");
        }
    }

    #[test]
    fn a_taken_name_gets_a_number() {
        let taken = BTreeSet::from(["a".to_owned(), "a-2".to_owned()]);
        assert_eq!(unused("a".into(), &taken), "a-3");
        assert_eq!(unused("b".into(), &taken), "b");
    }
}
