//! The sections of a document, by its format, and the addresses that name them.
//!
//! | format | sections | addresses |
//! | --- | --- | --- |
//! | Markdown, AsciiDoc, reStructuredText | headings | a heading's text or slug, nested with `/`; with `/` at the end only what stands before the first heading inside; `---` the front matter |
//! | JSON, YAML | keys of the top | a key, or a JSON pointer (RFC 6901) |
//! | CSV, TSV | rows | `row=5`, `row=5-7`, `row=5-*` (RFC 7111), the head counted as row 1 and always kept |
//! | source code | blocks between blank lines that begin without indent | the block's first line or its slug |
//!
//! Of several headings of one slug the second is `-1`, the third `-2`, as on GitHub. `@3` is the third
//! heading, for one that no name means; `@0` what stands before the first.

mod code;
mod data;
mod markdown;
mod markup;
mod table;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

pub use data::object;
pub use markdown::{Heading, headings, slug};
pub use table::{Table, table};

/// The format of a document, told by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// Also plain text, and whatever is not known.
    Markdown,
    /// AsciiDoc.
    AsciiDoc,
    /// reStructuredText.
    ReStructuredText,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Rows; the separator.
    Csv(u8),
    /// A program, or a configuration of lines.
    Code,
}

impl Format {
    /// The format that a file's name tells.
    pub fn of(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path);
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
        match extension.as_str() {
            "adoc" | "asciidoc" | "asc" => Format::AsciiDoc,
            "rst" | "rest" => Format::ReStructuredText,
            "json" => Format::Json,
            "yaml" | "yml" => Format::Yaml,
            "csv" => Format::Csv(b','),
            "tsv" => Format::Csv(b'\t'),
            "rs" | "py" | "js" | "mjs" | "ts" | "jsx" | "tsx" | "go" | "c" | "h" | "cc" | "cpp" | "hpp"
            | "java" | "kt" | "swift" | "rb" | "php" | "cs" | "sh" | "bash" | "sql" | "lua" | "pl" | "r"
            | "scala" | "zig" | "hs" | "ml" | "ex" | "exs" | "proto" | "css" | "toml" | "ini" => Format::Code,
            _ => Format::Markdown,
        }
    }

    /// Its headings in a text, in order. Data have keys or rows instead.
    pub fn headings(self, text: &str) -> Vec<Heading> {
        match self {
            Format::Markdown => headings(text),
            Format::AsciiDoc => markup::asciidoc(text),
            Format::ReStructuredText => markup::restructured(text),
            Format::Code => code::blocks(text),
            Format::Json | Format::Yaml | Format::Csv(_) => Vec::new(),
        }
    }

    /// Where a text of it begins: after the front matter, which Markdown alone has.
    fn start(self, text: &str) -> usize {
        if self == Format::Markdown { front_matter(text).end } else { 0 }
    }
}

/// The address of the front matter, which the whole of a text has not.
pub const FRONT_MATTER: &str = "---";

/// The mark of an address by place: `@3` is the third heading, for one that no name means.
const PLACE: char = '@';

/// The bytes of the front matter, its marks included; empty if there is none.
fn front_matter(text: &str) -> Range<usize> {
    front(text).map_or(0..0, |(end, _)| 0..end)
}

/// Where the front matter ends, and what it says. A rule with a paragraph under it is none.
fn front(text: &str) -> Option<(usize, serde_yaml::Value)> {
    let rest = text.strip_prefix("---\n")?;
    let mut at = text.len() - rest.len();
    for line in rest.split_inclusive('\n') {
        let end = at + line.len();
        if matches!(line.trim_end(), "---" | "...") {
            let data: serde_yaml::Value = serde_yaml::from_str(&text[4..at]).ok()?;
            return data.is_mapping().then_some((end, data));
        }
        at = end;
    }
    None
}

/// The title that the front matter gives.
fn front_title(text: &str) -> Option<String> {
    Some(front(text)?.1.get("title")?.as_str()?.to_owned())
}

/// What a request takes of a document: the section of an address, or all but the front matter.
/// `None` if there is no such section.
pub fn portion<'a>(path: &str, text: &'a str, address: Option<&str>) -> Option<Cow<'a, str>> {
    let format = Format::of(path);
    let Some(address) = address else {
        let body = trimmed(format, text[format.start(text)..].trim_start_matches('\n'));
        return Some(Cow::Borrowed(body));
    };
    let address = address.trim();
    let found = match format {
        Format::Json => data::json(text, address).map(Cow::Borrowed),
        Format::Yaml => data::yaml(text, address).map(Cow::Owned),
        Format::Csv(separator) => table::rows(text, separator, address).map(Cow::Owned),
        Format::Markdown if address == FRONT_MATTER => Some(front_matter(text))
            .filter(|range| !range.is_empty())
            .map(|range| Cow::Borrowed(&text[range])),
        _ => find(&format.headings(text), text, format.start(text), address)
            .map(|range| Cow::Borrowed(&text[range])),
    };
    found.map(|found| match found {
        Cow::Borrowed(found) => Cow::Borrowed(trimmed(format, found)),
        Cow::Owned(found) => Cow::Owned(trimmed(format, &found).to_owned()),
    })
}

/// A text without the white space at its end. Empty cells at a table's end are cells.
fn trimmed(format: Format, text: &str) -> &str {
    if matches!(format, Format::Csv(_)) { text.trim_end_matches('\n') } else { text.trim_end() }
}

/// A passage of a document as it is when it is named.
pub fn as_named<'a>(path: &str, passage: &'a str) -> &'a str {
    trimmed(Format::of(path), passage)
}

/// Whether one section of a document lies in another: rows in rows, keys in keys, bytes in bytes; anything in the whole.
pub fn lies_in(path: &str, text: &str, inner: Option<&str>, outer: Option<&str>) -> bool {
    let Some(around) = outer.map(str::trim) else { return inner != Some(FRONT_MATTER) };
    match (Format::of(path), inner.map(str::trim)) {
        (Format::Csv(_) | Format::Yaml, None) => false,
        (Format::Csv(separator), Some(inner)) => {
            let last_row = table(text, separator).map_or(0, |table| table.rows.len() + 1);
            let rows = table::row_numbers(around).zip(table::row_numbers(inner));
            rows.is_some_and(|((from, to), (first, last))| from <= first && last.min(last_row) <= to)
        }
        (Format::Yaml, Some(inner)) => {
            let keys = |address: &str| format!("{}/", address.trim_matches('/'));
            keys(inner).starts_with(&keys(around))
        }
        _ => {
            // A section is a stretch of the text itself.
            let range = |address| {
                let Cow::Borrowed(part) = portion(path, text, address)? else { return None };
                let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
                Some(start..start + part.len())
            };
            let both = range(outer).zip(range(inner));
            both.is_some_and(|(outer, inner)| outer.start <= inner.start && inner.end <= outer.end)
        }
    }
}

/// The addresses of a document's sections, for a message.
pub fn addresses(path: &str, text: &str) -> Vec<String> {
    let format = Format::of(path);
    match format {
        Format::Json => data::json_keys(text).into_iter().map(|(key, _)| key).collect(),
        Format::Yaml => data::yaml_keys(text).into_iter().map(|(key, _)| key).collect(),
        Format::Csv(separator) => table(text, separator)
            .map(|table| format!("row=1-{}", table.rows.len() + 1))
            .into_iter()
            .collect(),
        _ => format.headings(text).into_iter().map(|heading| heading.text).collect(),
    }
}

/// The bytes of the section that an address names: a heading's text or slug, nested ones joined with `/`.
///
/// A heading whose text holds a `/` can be named whole. The first match in the text counts.
fn find(all: &[Heading], text: &str, start: usize, address: &str) -> Option<Range<usize>> {
    if address.is_empty() {
        return None;
    }
    // With a `/` at its end: only what stands before the first heading inside.
    let is_heading = all.iter().any(|heading| heading.text == address);
    let outer = match address {
        "@0" => Some(""),
        address => address.strip_suffix('/'),
    };
    let Some(outer) = outer.filter(|_| !is_heading) else { return resolve(all, None, address) };
    let range = match outer {
        "" => start..text.len(),
        outer => resolve(all, None, outer)?,
    };
    let inner = all.iter().filter(|heading| !heading.nested).find(|heading| {
        heading.head.start > range.start || (outer.is_empty() && heading.head.start >= range.start)
    });
    let end = inner.map_or(range.end, |inner| inner.head.start.min(range.end));
    Some(range.start..end)
}

/// Whether a heading is what a name means.
type Alike = dyn Fn(&Heading, &str) -> bool;

fn resolve(all: &[Heading], within: Option<&Range<usize>>, address: &str) -> Option<Range<usize>> {
    // Headings of the document first, those of what it quotes after.
    resolve_among(all, within, address, false).or_else(|| resolve_among(all, within, address, true))
}

fn resolve_among(
    all: &[Heading],
    within: Option<&Range<usize>>,
    address: &str,
    nested: bool,
) -> Option<Range<usize>> {
    let inside = |heading: &&Heading| {
        heading.nested == nested
            && within
                .is_none_or(|outer| heading.section.start > outer.start && heading.section.end <= outer.end)
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
    let deeper = address.match_indices('/').find_map(|(at, _)| {
        let (first, rest) = (&address[..at], &address[at + 1..]);
        alike.iter().find_map(|alike| {
            let outer = all.iter().filter(inside).filter(|heading| alike(heading, first));
            outer.into_iter().find_map(|heading| resolve(all, Some(&heading.section), rest))
        })
    });
    let place = || {
        let nth: usize = address.strip_prefix(PLACE)?.parse().ok()?;
        let heading = all.iter().filter(inside).nth(nth.checked_sub(1)?)?;
        Some(heading.section.clone())
    };
    deeper.or_else(place).or_else(|| {
        // `errors-1` is the second of two headings `Errors`.
        let wanted = slug(address);
        let (base, number) = wanted.rsplit_once('-')?;
        let nth: usize = number.parse().ok().filter(|nth| *nth > 0 && !base.is_empty())?;
        let mut same = all.iter().filter(inside).filter(|heading| slug(&heading.text) == base);
        same.nth(nth).map(|heading| heading.section.clone())
    })
}

/// A piece of a document that retrieval can find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Its address; `None` is the whole document.
    pub address: Option<String>,
    /// Its own heading and those above it, and the document's title.
    pub headings: Vec<String>,
    /// Its text.
    pub text: String,
}

/// A section up to this many bytes is one passage with all that is nested in it.
const WHOLE_SECTION: usize = 4000;

/// How many rows of a table are one passage.
const ROWS: usize = 50;

/// The passages of a document, in order. Every passage's address finds its text again.
pub fn passages(path: &str, text: &str) -> Vec<Passage> {
    let format = Format::of(path);
    let keyed = |pairs: Vec<(String, String)>| -> Vec<Passage> {
        let passage = |(key, text): (String, String)| Passage {
            address: Some(data::pointer_to(&key)),
            headings: vec![key],
            text,
        };
        pairs.into_iter().map(passage).collect()
    };
    let mut found = match format {
        _ if text.len() <= WHOLE_SECTION => Vec::new(),
        Format::Json => keyed(data::json_keys(text)),
        Format::Yaml => keyed(data::yaml_keys(text)),
        Format::Csv(separator) => table::chunks(text, separator, ROWS),
        _ => sections(format, text),
    };
    // An address stands at a line's end, without white space around it, and names one passage.
    let mut named = HashSet::new();
    found.retain(|passage| {
        let address = passage.address.as_deref().unwrap_or_default();
        address.trim() == address && !address.contains('\n') && named.insert(address.to_owned())
    });
    if found.is_empty() {
        let titles = format.headings(text).into_iter().filter(|heading| !heading.nested);
        let headings: Vec<String> =
            front_title(text).into_iter().chain(titles.map(|title| title.text)).collect();
        let text = portion(path, text, None).unwrap_or_default().into_owned();
        found = vec![Passage { address: None, headings, text }];
    }
    found.retain(|passage| !passage.text.trim().is_empty());
    found
}

fn sections(format: Format, text: &str) -> Vec<Passage> {
    let everything = format.headings(text);
    let all: Vec<&Heading> = everything.iter().filter(|heading| !heading.nested).collect();
    let title = front_title(text);
    // Where each heading stands first, and how many of its slug stand before: walking to and fro for
    // each of them would be quadratic.
    let mut first_of: HashMap<&str, usize> = HashMap::new();
    let mut of_slug: HashMap<String, usize> = HashMap::new();
    let mut found = Vec::new();
    let start = format.start(text);
    let first = all.first().map_or(text.len(), |heading| heading.head.start);
    let texts: HashSet<&str> = everything.iter().map(|heading| heading.text.as_str()).collect();
    let slugs: HashSet<String> = everything.iter().map(|heading| slug(&heading.text)).collect();
    if !text[start..first].trim().is_empty() && first < text.len() {
        found.push(Passage {
            address: Some(if texts.contains("/") { "@0" } else { "/" }.into()),
            headings: title.iter().cloned().collect(),
            text: text[start..first].to_owned(),
        });
    }
    let mut above: Vec<&Heading> = Vec::new();
    let mut covered = 0;
    for (at, heading) in all.iter().copied().enumerate() {
        let is_first = *first_of.entry(&heading.text).or_insert(at) == at;
        let same = of_slug.entry(slug(&heading.text)).or_default();
        let before = std::mem::replace(same, *same + 1);
        above.retain(|outer| outer.section.end > heading.head.start && outer.level < heading.level);
        above.push(heading);
        if heading.head.start < covered {
            continue;
        }
        let inner = all.get(at + 1).filter(|next| next.head.start < heading.section.end);
        let whole = heading.section.len() <= WHOLE_SECTION || inner.is_none();
        let end = if whole {
            heading.section.end
        } else {
            inner.map_or(heading.section.end, |next| next.head.start)
        };
        if text[heading.head.end..end].trim().is_empty() {
            continue;
        }
        covered = end;
        let names: Vec<&str> = above.iter().map(|outer| outer.text.as_str()).collect();
        let own = if whole { "" } else { "/" };
        let range = heading.head.start..end;
        // The shortest address that means this section: its own name, a number after its slug, its place.
        let own_name = names.last().copied().unwrap_or("");
        let addressed = |name: &str| format!("{name}{own}");
        let slugged = slug(own_name);
        let numbered = format!("{slugged}-{before}");
        let by_name =
            is_first && own_name != FRONT_MATTER && (whole || !texts.contains(&*addressed(own_name)));
        let is_free = |name: &str| !texts.contains(name) && !slugs.contains(&slug(name));
        let by_number =
            before > 0 && !slugged.is_empty() && is_free(&numbered) && is_free(&addressed(&numbered));
        let address = match (by_name, by_number) {
            (true, _) => addressed(own_name),
            (_, true) => addressed(&numbered),
            _ => addressed(&format!("{PLACE}{}", at + 1)),
        };
        let headings = title.iter().cloned().chain(names.into_iter().map(str::to_owned)).collect();
        found.push(Passage { address: Some(address), headings, text: text[range].to_owned() });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Guide\n\nIntro.\n\n## Set up\n\nOne.\n\n### Errors & logs\n\nTwo.\n\n\
                        ```\n## not a heading\n```\n\n## Errors\n\nThree.\n\n## Errors\n\nFour.\n";

    fn check(text: &str, address: &str, expected: Option<&str>) {
        assert_eq!(portion("a.md", text, Some(address)).as_deref(), expected, "{address}");
    }

    #[test]
    fn sections_are_found_by_text_slug_nesting_and_number() {
        let logs = "### Errors & logs\n\nTwo.\n\n```\n## not a heading\n```";
        check(TEXT, "Errors", Some("## Errors\n\nThree."));
        check(TEXT, "errors--logs", Some(logs));
        check(TEXT, "Set up/Errors & logs", Some(logs));
        check(TEXT, "guide/errors", Some("## Errors\n\nThree."));
        check(TEXT, "errors-1", Some("## Errors\n\nFour."));
        check(TEXT, "errors-2", None);
        check(TEXT, "Guide/", Some("# Guide\n\nIntro."));
        check(TEXT, "Set up/Errors", None);
        check(TEXT, "not a heading", None);
    }

    #[test]
    fn the_very_words_come_before_what_reads_alike() {
        check("# C++\n\na\n\n# C\n\nb\n", "C", Some("# C\n\nb"));
        check("# ???\n\na\n", "!!!", None);
        check("# a\n", "", None);
        check("Top\n===\n\na\n\nNext\n---\n\nb\n", "next", Some("Next\n---\n\nb"));
    }

    #[test]
    fn front_matter_is_left_out_unless_asked_for() {
        let text = "---\ntitle: A page\n---\n\nIntro.\n\n# One\n\na\n";
        assert_eq!(portion("a.md", text, None).as_deref(), Some("Intro.\n\n# One\n\na"));
        check(text, "---", Some("---\ntitle: A page\n---"));
        check(text, "/", Some("\nIntro."));
        // A rule, not front matter.
        let rule = "---\n\nText: and more\nlines.\n\n---\n";
        assert_eq!(portion("a.md", rule, None).as_deref(), Some(rule.trim_end()));
    }

    #[test]
    fn every_passage_is_found_again_by_its_address() {
        let long = "Words that fill a section. ".repeat(200);
        let text = format!("Preface.\n\n# A\n\nOwn.\n\n## B\n\n{long}\n\n## C\n\nShort.\n\n# B\n\n{long}\n");
        let found = passages("a.md", &text);
        let names: Vec<&str> = found.iter().filter_map(|passage| passage.address.as_deref()).collect();
        assert_eq!(names, ["/", "A/", "B", "C", "b-1"]);
        for passage in &found {
            assert_eq!(
                portion("a.md", &text, passage.address.as_deref()).as_deref(),
                Some(passage.text.trim_end())
            );
        }
        assert_eq!(found[3].headings, ["A", "C"]);
    }

    #[test]
    fn passages_are_found_again_whatever_headings_say() {
        let long = "Words that fill a section. ".repeat(200);
        for text in [
            format!("# 🚀\n\n{long}\n\n# 🚀\n\nunicorn\n"),
            format!("# A\n\n{long}\n\n# A\n\ntwo\n\n# A-1\n\nthree\n"),
            format!("# Pump\n\n> ## Q\n> quoted\n\nafter\n\n{long}\n\n## Inner\n\nx\n"),
            format!("# Top\n\n## Pump\n\n{long}\n\n### In\n\nx\n\n## Pump/\n\ny\n"),
            format!("Before.\n\n# /\n\n{long}\n"),
            format!("# Top\n\nx\n\n## ---\n\n{long}\n"),
            format!("# a/b\n\n{long}\n\n# a\n\n## b\n\n{long}\n\n# @1\n\nx\n\n## a/b\n\nz\n"),
        ] {
            let found = passages("a.md", &text);
            for passage in &found {
                let again = portion("a.md", &text, passage.address.as_deref());
                assert_eq!(again.as_deref(), Some(passage.text.trim_end()), "{:?}", passage.address);
            }
            assert!(found.len() > 1, "{:?}", found[0].headings);
        }
    }

    #[test]
    fn empty_cells_at_the_end_of_a_table_stay() {
        assert_eq!(portion("a.tsv", "a\tb\n1\t\n", None).as_deref(), Some("a\tb\n1\t"));
        assert_eq!(portion("a.tsv", "a\tb\n1\t\n", Some("row=2")).as_deref(), Some("a\tb\n1\t"));
    }

    #[test]
    fn a_short_document_is_one_passage() {
        let found = passages("a.md", TEXT);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].address, None);
        assert_eq!(found[0].headings, ["Guide", "Set up", "Errors & logs", "Errors", "Errors"]);
    }
}
