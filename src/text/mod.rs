//! Texts: their normal form, tokens, terms, sections, sentences, the generated region.

mod redact;
mod region;
mod sections;
mod sentences;
mod terms;
mod tokens;

use std::borrow::Cow;

pub use redact::{Redactor, Secret};
pub use region::{BEGIN, END, Region, escape_markers, split_region, with_body, with_region};
pub use sections::{
    FRONT_MATTER, Format, Heading, Passage, Table, addresses, as_named, headings, lies_in, object, passages,
    portion, slug, table,
};
pub use sentences::{Unit, UnitKind, units};
pub use terms::{Language, is_unspaced, query_terms, terms};
pub use tokens::count;

/// The normal form of a text, over which digests go: LF ends and no byte order mark.
pub fn normal(text: &str) -> Cow<'_, str> {
    let text = text.trim_start_matches('\u{feff}');
    if !text.contains("\r\n") {
        return Cow::Borrowed(text);
    }
    let mut normal = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match line.strip_suffix('\n') {
            Some(line) => {
                normal.push_str(line.trim_end_matches('\r'));
                normal.push('\n');
            }
            None => normal.push_str(line),
        }
    }
    Cow::Owned(normal)
}

/// A text as an output is written: without white space at its end but one line end.
pub fn output_form(text: &str) -> String {
    let text = normal(text);
    let body = text.trim_end().trim_end_matches('\r');
    if body.is_empty() { String::new() } else { format!("{body}\n") }
}

/// The first paragraph of a prompt or a document that is not a heading.
pub fn first_paragraph(text: &str) -> &str {
    let normal = text.trim();
    normal
        .split("\n\n")
        .map(str::trim)
        .find(|paragraph| !paragraph.is_empty() && (!paragraph.starts_with('#') || paragraph.contains('\n')))
        .unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_form_has_lf_and_no_mark() {
        assert_eq!(normal("\u{feff}a\r\nb\rc\n"), "a\nb\rc\n");
        assert!(matches!(normal("a\nb"), Cow::Borrowed(_)));
        let twice = "\u{feff}\u{feff}a\r\r\nb\r";
        assert_eq!(normal(&normal(twice)), normal(twice));
    }

    #[test]
    fn outputs_end_in_one_line_end() {
        assert_eq!(output_form("a\r\n\n\n"), "a\n");
        assert_eq!(output_form(" \n"), "");
    }

    #[test]
    fn the_first_paragraph_is_no_heading() {
        assert_eq!(first_paragraph("# Title\n\nSay this,\nand that.\n\nThen more."), "Say this,\nand that.");
        assert_eq!(first_paragraph("  \n"), "");
    }
}
