//! Sections, lists and items of Markdown, as CommonMark sees them.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, OffsetIter, Options, Parser, Tag, TagEnd};

/// A heading and all up to the next of its level.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    /// 1 to 6; 0 for what stands before the first heading.
    pub(super) level: u8,
    /// The heading's text.
    pub(super) title: String,
    /// The id that a mark in it says.
    pub(super) id: Option<String>,
    /// The heading's line, from 1.
    pub(super) line: usize,
    /// Where it is, heading and sections below included.
    pub(super) range: Range<usize>,
    /// The same without the heading.
    pub(super) body: Range<usize>,
    /// What stands in it.
    pub(super) blocks: Vec<Block>,
    /// The sections below it.
    pub(super) sections: Vec<Section>,
}

/// A list, or anything else.
#[derive(Clone, Debug)]
pub(super) enum Block {
    Text(Range<usize>),
    List(List),
}

/// A list.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) ordered: bool,
    pub(super) range: Range<usize>,
    pub(super) items: Vec<Item>,
}

/// An item of a list.
#[derive(Clone, Debug, Default)]
pub(super) struct Item {
    /// Its box, if it has one.
    pub(super) ticked: Option<bool>,
    /// Its first paragraph without markup.
    pub(super) text: String,
    /// What of that is bold at its beginning.
    pub(super) lead: Option<String>,
    /// The id that a mark in it says.
    pub(super) id: Option<String>,
    /// Where its first paragraph is.
    pub(super) first: Range<usize>,
    /// Where its words are, without its bullet.
    pub(super) range: Range<usize>,
    /// Its line, from 1.
    pub(super) line: usize,
    /// What stands below its first paragraph.
    pub(super) blocks: Vec<Block>,
}

impl Block {
    /// Where it is.
    pub(super) fn range(&self) -> &Range<usize> {
        match self {
            Block::Text(range) | Block::List(List { range, .. }) => range,
        }
    }
}

impl List {
    pub(super) fn has_boxes(&self) -> bool {
        self.has_box(|_| true)
    }

    fn has_box(&self, is: fn(bool) -> bool) -> bool {
        self.items.iter().any(|item| item.ticked.is_some_and(is) || any_box(&item.blocks, is))
    }
}

/// Whether a box to tick that is so, ticked or not, is anywhere in these.
pub(super) fn any_box(blocks: &[Block], is: fn(bool) -> bool) -> bool {
    blocks.iter().any(|block| matches!(block, Block::List(list) if list.has_box(is)))
}

/// A text without the mark `<!-- meu: ID -->`, and the id.
pub(super) fn without_mark(text: &str) -> (String, Option<String>) {
    let found = text.find("<!-- meu: ").and_then(|from| Some((from, from + text[from..].find("-->")? + 3)));
    let Some((from, to)) = found else { return (text.to_owned(), None) };
    let id = text[from + "<!-- meu: ".len()..to - 3].trim().to_owned();
    let rest = format!("{}{}", text[..from].trim_end_matches(' '), &text[to..]);
    (rest, Some(id).filter(|id| !id.is_empty()))
}

fn parser(text: &str) -> OffsetIter<'_> {
    let options =
        Options::ENABLE_TASKLISTS | Options::ENABLE_TABLES | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
    Parser::new_ext(text, options).into_offset_iter()
}

/// What stands in no section: whether there is front matter, and the definitions of links, each with its label as it
/// is used, in lower case.
pub(super) fn loose(text: &str) -> (bool, Vec<(String, &str)>) {
    let mut events = parser(text);
    let definitions = events.reference_definitions().iter();
    let mut definitions: Vec<(String, Range<usize>)> = definitions
        .map(|(label, definition)| (format!("[{}]", label.to_lowercase()), definition.span.clone()))
        .collect();
    definitions.sort_by_key(|(_, span)| span.start);
    let definitions = definitions.into_iter().map(|(label, span)| (label, text[span].trim_end())).collect();
    (matches!(events.next(), Some((Event::Start(Tag::MetadataBlock(_)), _))), definitions)
}

/// The sections of a text, each with those below it; the first one is what stands before any heading.
pub(super) fn sections(text: &str) -> Vec<Section> {
    let mut events = parser(text);
    let mut flat = vec![Section { line: 1, ..Section::default() }];
    let lines = Lines::of(text);
    while let Some((event, range)) = events.next() {
        match event {
            Event::Start(Tag::Heading { level, .. }) => {
                let said = inline(&mut events, |end| matches!(end, TagEnd::Heading(_)));
                let line = lines.line(range.start);
                let body = range.end..range.end;
                flat.push(Section {
                    level: level as u8,
                    title: said.text,
                    id: said.id,
                    line,
                    range,
                    body,
                    ..Section::default()
                });
            }
            Event::Start(Tag::List(number)) => {
                let list = list(&mut events, &lines, range, number.is_some(), 0);
                flat.last_mut().map(|section| section.blocks.push(Block::List(list))).unwrap_or_default();
            }
            Event::Start(Tag::MetadataBlock(_)) => skip(&mut events),
            Event::Start(tag) => {
                let range = lines.whole(&tag, range);
                skip(&mut events);
                flat.last_mut().map(|section| section.blocks.push(Block::Text(range))).unwrap_or_default();
            }
            _ => {}
        }
    }
    nest(flat, text.len())
}

/// Puts each section below the last one of a higher level.
fn nest(flat: Vec<Section>, length: usize) -> Vec<Section> {
    let starts: Vec<(u8, usize)> = flat.iter().map(|section| (section.level, section.range.start)).collect();
    let mut nested: Vec<Section> = Vec::new();
    let mut open: Vec<Section> = Vec::new();
    fn close(open: &mut Vec<Section>, nested: &mut Vec<Section>) {
        if let Some(section) = open.pop() {
            match open.last_mut() {
                Some(above) => above.sections.push(section),
                None => nested.push(section),
            }
        }
    }
    for (at, mut section) in flat.into_iter().enumerate() {
        let next = starts[at + 1..].iter().find(|(level, _)| *level <= section.level);
        let end = next.map_or(length, |(_, start)| *start);
        section.range.end = end.max(section.range.start);
        section.body.end = end.max(section.body.start);
        while open.last().is_some_and(|above| above.level == 0 || above.level >= section.level) {
            close(&mut open, &mut nested);
        }
        open.push(section);
    }
    while !open.is_empty() {
        close(&mut open, &mut nested);
    }
    nested
}

/// A text, and where its lines begin.
struct Lines<'a>(&'a str, Vec<usize>);

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        Lines(text, std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    /// Where a block is: code that is such by its indent, with that.
    fn whole(&self, tag: &Tag<'_>, range: Range<usize>) -> Range<usize> {
        let before = &self.0[..range.start];
        let indent = match tag {
            Tag::CodeBlock(CodeBlockKind::Indented) if before.ends_with('\t') => 1,
            Tag::CodeBlock(CodeBlockKind::Indented) => {
                before.bytes().rev().take(4).take_while(|byte| *byte == b' ').count()
            }
            _ => 0,
        };
        range.start - indent..range.end
    }

    /// The line of a byte, from 1.
    fn line(&self, at: usize) -> usize {
        self.1.partition_point(|start| *start <= at)
    }
}

/// How deep lists may stand in lists; what is deeper is text.
const DEEPEST: usize = 40;

/// Words in a line, without markup.
#[derive(Default)]
struct Inline {
    text: String,
    lead: Option<String>,
    id: Option<String>,
}

impl Inline {
    fn add(&mut self, event: &Event<'_>, bold: &mut bool) {
        let words = match event {
            Event::Text(words) | Event::Code(words) => words.as_ref(),
            Event::SoftBreak | Event::HardBreak => " ",
            Event::InlineHtml(html) | Event::Html(html) => {
                // The first one: a prompt may show another.
                if let (_, Some(id)) = without_mark(html) {
                    self.id.get_or_insert(id);
                }
                return;
            }
            Event::Start(Tag::Strong) => {
                *bold = self.text.trim().is_empty();
                return;
            }
            Event::End(TagEnd::Strong) => {
                *bold = false;
                return;
            }
            _ => return,
        };
        self.text.push_str(words);
        if *bold {
            self.lead.get_or_insert_default().push_str(words);
        }
    }
}

fn inline(events: &mut OffsetIter<'_>, is_end: impl Fn(&TagEnd) -> bool) -> Inline {
    let (mut said, mut bold) = (Inline::default(), false);
    for (event, _) in events.by_ref() {
        match &event {
            Event::End(end) if is_end(end) => break,
            event => said.add(event, &mut bold),
        }
    }
    said.text = said.text.trim().to_owned();
    said
}

/// Goes to the end of what just began.
fn skip(events: &mut OffsetIter<'_>) {
    let mut depth = 1;
    for (event, _) in events.by_ref() {
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
}

fn list(
    events: &mut OffsetIter<'_>,
    lines: &Lines<'_>,
    range: Range<usize>,
    ordered: bool,
    depth: usize,
) -> List {
    let mut items = Vec::new();
    while let Some((event, range)) = events.next() {
        match event {
            Event::Start(Tag::Item) => items.push(item(events, lines, range, depth)),
            Event::End(TagEnd::List(_)) => break,
            _ => {}
        }
    }
    List { ordered, range, items }
}

fn item(events: &mut OffsetIter<'_>, lines: &Lines<'_>, whole: Range<usize>, depth: usize) -> Item {
    let mut item = Item { line: lines.line(whole.start), ..Item::default() };
    let mut first: Option<Range<usize>> = None;
    let mut below = whole.end;
    let (mut said, mut bold) = (Inline::default(), false);
    // The first paragraph of a loose list is one; of a tight one it is bare.
    let (mut in_first, mut first_over) = (true, false);
    while let Some((event, range)) = events.next() {
        match event {
            Event::End(TagEnd::Item) => break,
            Event::TaskListMarker(ticked) => item.ticked = Some(ticked),
            Event::Start(Tag::Paragraph) if in_first => {}
            Event::End(TagEnd::Paragraph) => (in_first, first_over) = (false, true),
            Event::Start(Tag::List(number)) if depth < DEEPEST => {
                in_first = false;
                below = below.min(range.start);
                item.blocks.push(Block::List(list(events, lines, range, number.is_some(), depth + 1)));
            }
            Event::Start(
                tag @ (Tag::Paragraph
                | Tag::List(_)
                | Tag::CodeBlock(_)
                | Tag::BlockQuote(_)
                | Tag::HtmlBlock
                | Tag::Table(_)
                | Tag::Heading { .. }),
            ) => {
                in_first = false;
                let range = lines.whole(&tag, range);
                skip(events);
                below = below.min(range.start);
                item.blocks.push(Block::Text(range));
            }
            event if in_first && !first_over => {
                said.add(&event, &mut bold);
                let known = first.get_or_insert_with(|| range.clone());
                *known = known.start.min(range.start)..known.end.max(range.end);
            }
            _ => {}
        }
    }
    item.first = first.unwrap_or(whole.end..whole.end);
    item.range = below.min(item.first.start)..whole.end;
    (item.text, item.lead, item.id) = (said.text.trim().to_owned(), said.lead, said.id);
    item
}
