//! Sections of Markdown: headings as CommonMark sees them, and the text under one of them.

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A heading and its section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// 1 to 6.
    pub level: usize,
    /// Its text without markup.
    pub text: String,
    /// The bytes of the heading itself, with its line end.
    pub head: Range<usize>,
    /// The bytes from the heading to the next one of the same or a higher level.
    pub section: Range<usize>,
    /// Whether it stands inside a quotation or a list.
    pub nested: bool,
}

/// All headings, in order.
pub fn headings(text: &str) -> Vec<Heading> {
    let mut found: Vec<Heading> = Vec::new();
    let mut open: Option<(usize, Range<usize>, String)> = None;
    let mut containers = 0usize;
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { level, .. }) => open = Some((level as usize, range, String::new())),
            Event::Start(Tag::BlockQuote(_) | Tag::Item) => containers += 1,
            Event::End(TagEnd::BlockQuote(_) | TagEnd::Item) => containers = containers.saturating_sub(1),
            Event::Text(part) | Event::Code(part) => {
                if let Some((_, _, title)) = &mut open {
                    title.push_str(&part);
                }
            }
            Event::SoftBreak | Event::HardBreak => {
                if let Some((_, _, title)) = &mut open {
                    title.push(' ');
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                if let Some((level, head, title)) = open.take() {
                    let section = head.start..text.len();
                    found.push(Heading {
                        level,
                        text: title.trim().to_owned(),
                        head,
                        section,
                        nested: containers > 0,
                    });
                }
            }
            _ => {}
        }
    }
    let mut enclosing: Vec<usize> = Vec::new();
    for at in 0..found.len() {
        while let Some(&last) = enclosing.last() {
            if found[last].level < found[at].level {
                break;
            }
            found[last].section.end = found[at].section.start;
            enclosing.pop();
        }
        enclosing.push(at);
    }
    found
}

/// The section that an address names: a heading's text or slug, nested ones joined with `/`.
///
/// A heading whose text holds a `/` can be named whole. The first match in the text counts.
pub fn find_section<'a>(text: &'a str, address: &str) -> Option<&'a str> {
    let all = headings(text);
    let range = resolve(&all, None, address)?;
    Some(&text[range])
}

/// Whether a heading is what a name means.
type Alike = dyn Fn(&Heading, &str) -> bool;

fn resolve(all: &[Heading], within: Option<&Range<usize>>, address: &str) -> Option<Range<usize>> {
    let inside = |heading: &&Heading| {
        within.is_none_or(|outer| heading.section.start > outer.start && heading.section.end <= outer.end)
    };
    // The very words first; what only reads alike comes after.
    let alike: [&Alike; 3] = [
        &|heading, name| heading.text == name.trim(),
        &|heading, name| heading.text.to_lowercase() == name.trim().to_lowercase(),
        &|heading, name| !slug(name).is_empty() && slug(&heading.text) == slug(name),
    ];
    let find = |name: &str| -> Option<&Heading> {
        alike.iter().find_map(|alike| all.iter().filter(inside).find(|heading| alike(heading, name)))
    };
    if address.trim().is_empty() {
        return None;
    }
    if let Some(heading) = find(address) {
        return Some(heading.section.clone());
    }
    address.match_indices('/').find_map(|(at, _)| {
        let (first, rest) = (&address[..at], &address[at + 1..]);
        alike.iter().find_map(|alike| {
            let outer = all.iter().filter(inside).filter(|heading| alike(heading, first));
            outer.into_iter().find_map(|heading| resolve(all, Some(&heading.section), rest))
        })
    })
}

/// A heading as the last part of a link: lower case, letters and digits kept, spaces as `-`.
pub fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.trim().chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() || c == '-' || c == '_' {
            slug.push(c);
        } else if c.is_whitespace() {
            slug.push('-');
        }
    }
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Guide\n\nIntro.\n\n## Set up\n\nOne.\n\n### Errors & logs\n\nTwo.\n\n\
                        ```\n## not a heading\n```\n\n## Errors\n\nThree.\n";

    fn check(address: &str, expected: Option<&str>) {
        assert_eq!(find_section(TEXT, address).map(str::trim_end), expected);
    }

    #[test]
    fn sections_are_found_by_text_slug_and_nesting() {
        check("Errors", Some("## Errors\n\nThree."));
        check("errors--logs", Some("### Errors & logs\n\nTwo.\n\n```\n## not a heading\n```"));
        check("Set up/Errors & logs", Some("### Errors & logs\n\nTwo.\n\n```\n## not a heading\n```"));
        check("guide/errors", Some("## Errors\n\nThree."));
        check("Set up/Errors", None);
        check("not a heading", None);
    }

    #[test]
    fn the_very_words_come_before_what_reads_alike() {
        assert_eq!(find_section("# C++\n\na\n\n# C\n\nb\n", "C"), Some("# C\n\nb\n"));
        assert_eq!(find_section("# ???\n\na\n", "!!!"), None);
        assert_eq!(find_section("# a\n", ""), None);
    }

    #[test]
    fn setext_headings_count() {
        assert_eq!(find_section("Top\n===\n\na\n\nNext\n---\n\nb\n", "next"), Some("Next\n---\n\nb\n"));
    }
}
