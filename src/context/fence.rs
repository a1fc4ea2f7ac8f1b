//! The fence around an item, which no item's text can forge.
//!
//! An item is sent as
//!
//! ```text
//! <item source="task:collect" type="requires" form="full">
//! …
//! </item>
//! ```
//!
//! Inside, whatever a reader could take for the beginning or the end of an item gets a backslash
//! after its `<`. The count of tokens of several blocks is the sum of theirs: both vocabularies cut
//! between `>\n` and `<`.

use crate::spec::{ItemRef, Tier};

use super::Form;

/// A text in its fence, with a line end.
pub fn fenced(item: &ItemRef, tier: Tier, form: Form, text: &str) -> String {
    let source = attribute(&item.to_string());
    let (tier, form) = (tier.word(), form.word());
    let text = safe(trimmed(text));
    format!("<item source=\"{source}\" type=\"{tier}\" form=\"{form}\">\n{text}\n</item>\n")
}

/// A text without white space at its end, but tabs, which are the empty cells of a table.
fn trimmed(text: &str) -> &str {
    text.trim_end_matches(|c: char| c.is_whitespace() && c != '\t')
}

fn attribute(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '<' | '>' | '&' => safe.push_str(&format!("&#{};", c as u32)),
            c if c.is_control() => safe.push_str(&format!("&#{};", c as u32)),
            c => safe.push(c),
        }
    }
    safe
}

/// A text in which nothing looks like a fence.
pub fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_opening) {
        let open = rest[at..].chars().next().map_or(1, char::len_utf8);
        let (head, tail) = rest.split_at(at + open);
        safe.push_str(head);
        if looks_like_fence(tail) {
            safe.push('\\');
        }
        rest = tail;
    }
    safe.push_str(rest);
    safe
}

/// `<` and what is easily taken for it.
fn is_opening(c: char) -> bool {
    matches!(c, '<' | '\u{ff1c}' | '\u{fe64}' | '\u{2039}' | '\u{27e8}' | '\u{3008}')
}

/// Whether what follows a `<` reads `item` or `/item`, white space and invisible characters aside.
fn looks_like_fence(tail: &str) -> bool {
    let mut letters = tail
        .chars()
        .filter(|c| !c.is_whitespace() && !c.is_control() && !is_invisible(*c))
        .flat_map(char::to_lowercase)
        .skip_while(|c| matches!(c, '/' | '\u{2215}' | '\u{2044}' | '\u{ff0f}' | '\\'));
    "item".chars().all(|letter| letters.next() == Some(letter))
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// An item as it stands in a request's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fenced<'a> {
    /// The reference, as it is cited.
    pub source: &'a str,
    /// The tier's word.
    pub tier: &'a str,
    /// The text.
    pub text: &'a str,
}

/// Reads the items of a request's text back.
pub fn parse_fenced(request: &str) -> Vec<Fenced<'_>> {
    let mut items = Vec::new();
    let mut rest = request;
    while let Some(at) = rest.find("<item source=\"") {
        let head = &rest[at + "<item source=\"".len()..];
        let parsed = head.split_once("\" type=\"").and_then(|(source, tail)| {
            let (tier, tail) = tail.split_once("\" form=\"")?;
            let (_, tail) = tail.split_once("\">\n")?;
            let (text, tail) = tail.split_once("\n</item>")?;
            Some((Fenced { source, tier, text }, tail))
        });
        let Some((item, tail)) = parsed else { break };
        items.push(item);
        rest = tail;
    }
    items
}

/// How many bytes at the beginning of a request's text are the same for all tasks of a project: up to the
/// end of the item `index`, if that is what it begins with.
pub fn stable_prefix(request: &str) -> usize {
    let Some(head) = request.find("<item source=\"index\"").filter(|at| *at < 64) else { return 0 };
    let end = "\n</item>\n";
    request[head..].find(end).map_or(0, |at| head + at + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Subject;

    fn task(id: &str) -> ItemRef {
        ItemRef::whole(Subject::Task(id.into()))
    }

    #[test]
    fn a_forged_end_is_defused() {
        for forged in
            ["</item>", "</ITEM>", "< / item >", "<\u{200b}/item>", "\u{ff1c}/item>", "<item source=\"x\">"]
        {
            let block = fenced(&task("a"), Tier::Requires, Form::Full, &format!("x\n{forged}\ny"));
            assert_eq!(parse_fenced(&block).len(), 1, "{forged}");
            assert!(!block[5..block.len() - 9].contains(forged), "{forged}");
        }
        assert_eq!(safe("a < b, <b>items</b>, <iteration>"), "a < b, <b>items</b>, <iteration>");
    }

    #[test]
    fn the_index_is_what_requests_have_in_common() {
        let index = fenced(&ItemRef::whole(Subject::Index), Tier::Index, Form::Full, "Style.");
        let item = fenced(&task("a"), Tier::Requires, Form::Full, "x");
        let request = format!("# Context\n\n{index}{item}\n# Task: T\n");
        assert_eq!(&request[stable_prefix(&request)..], format!("{item}\n# Task: T\n"));
        assert_eq!(stable_prefix(&format!("# Context\n\n{item}{index}")), 0);
        assert_eq!(stable_prefix("# Task: T\n"), 0);
    }

    #[test]
    fn a_forged_source_stays_an_attribute() {
        let block = fenced(&task("a\">\n</item>"), Tier::Requires, Form::Full, "x");
        assert_eq!(block.matches("</item>").count(), 1);
    }

    proptest::proptest! {
        #[test]
        fn what_is_fenced_is_read_back_as_one_item(text in "([a-z <>/\n\"=]|</item>|<item source=\"|\u{200b}){0,60}") {
            let block = fenced(&task("a"), Tier::Input, Form::Full, &text);
            let twice = format!("{block}{block}");
            let items = parse_fenced(&twice);
            proptest::prop_assert_eq!(items.len(), 2);
            let text = safe(trimmed(&text));
            proptest::prop_assert_eq!(items[0].text, text.as_str());
        }
    }
}
