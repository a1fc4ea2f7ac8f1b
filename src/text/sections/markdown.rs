//! Headings of Markdown as CommonMark sees them, front matter left out.

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
    let from = super::front_matter(text).end;
    let mut found: Vec<Heading> = Vec::new();
    let mut open: Option<(usize, Range<usize>, String)> = None;
    let mut containers = 0usize;
    for (event, range) in Parser::new_ext(&text[from..], Options::ENABLE_TABLES).into_offset_iter() {
        let range = range.start + from..range.end + from;
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
                // A heading without words names nothing.
                if let Some((level, head, title)) =
                    open.take().filter(|(_, _, title)| !title.trim().is_empty())
                {
                    found.push(Heading {
                        level,
                        text: title.trim().to_owned(),
                        section: head.clone(),
                        head,
                        nested: containers > 0,
                    });
                }
            }
            _ => {}
        }
    }
    nest(found, text.len())
}

/// Fills in where each section ends: at the next heading of the same or a higher level.
pub(super) fn nest(mut found: Vec<Heading>, end: usize) -> Vec<Heading> {
    for heading in &mut found {
        heading.section = heading.head.start..end;
    }
    let mut enclosing: Vec<usize> = Vec::new();
    // A heading in a quotation or a list ends no section of the document around it.
    let real: Vec<usize> = (0..found.len()).filter(|at| !found[*at].nested).collect();
    for at in real {
        while let Some(&last) = enclosing.last() {
            if found[last].level < found[at].level {
                break;
            }
            found[last].section.end = found[at].section.start;
            enclosing.pop();
        }
        enclosing.push(at);
    }
    for at in (0..found.len()).filter(|at| found[*at].nested).collect::<Vec<_>>() {
        let next = found[at + 1..].iter().find(|next| !next.nested || next.level <= found[at].level);
        found[at].section.end = next.map_or(end, |next| next.head.start);
    }
    found
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
