//! A plan out of a Markdown outline or checklist.
//!
//! What of a text is work is told by its structure, by the first of these that it has:
//!
//! - sections called `Phase 1`, `Milestone 2`, `Week 3` and the like: those, in their order, and nothing else;
//! - boxes to tick: the items that have one, and the sections that they stand in;
//! - no heading at all: the lists, each item with items of its own being a big task;
//! - else every section that is not called a note (`Background`, `Risks`, `Open questions` …).
//!
//! Inside a section the items of its lists are tasks, but those below a label that says otherwise
//! (`Deliverables`, `Acceptance criteria` …), which go into the section's own prompt. Sections that are
//! phases or numbered, and the items of numbered lists, each require the one before.

use super::export::escaped;
use super::name::{is_numbered, without_brackets, without_number};
use super::{Part, Sketch, all_done};
use blocks::{Block, Item, List, Section, any_box, sections};
use labels::{Label, is_done, is_phase, label};
use words::{EXPORTED_INDENT, dedent, outdent, plain_of, split_links, title_of, unquoted, with_definitions};

mod blocks;
mod labels;
mod words;

/// What tells which parts of a text are work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Phases,
    Boxes,
    Lists,
    Sections,
}

/// Reads a plan out of Markdown. `file` is named where something could not be carried over, and gives the
/// title if the text has none. With `in_order` every task requires the one before it in its list or section.
pub fn read_markdown(file: &str, text: &str, in_order: bool) -> Sketch {
    let mut top = sections(text);
    let mut sketch = Sketch::default();
    if let [_, only] = top.as_mut_slice()
        && only.level == 1
        && top[0].blocks.is_empty()
    {
        top.remove(0);
    }
    let document = match top.as_mut_slice() {
        [only] if only.level == 1 => top.remove(0),
        // What stands before the first heading is the text of the whole.
        _ => {
            let first = top.remove(0);
            Section { sections: top, ..first }
        }
    };
    let stem = file.rsplit('/').next().unwrap_or(file);
    let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
    sketch.title = match document.title.is_empty() {
        true => crate::spec::words_of_id(stem),
        false => document.title.clone(),
    };
    let told = told(&document);
    let mut reader = Reader { file, text, told, in_order, left: Vec::new() };
    let whole = reader.section(&document, true);
    sketch.intro = if whole.prompt == whole.title { String::new() } else { whole.prompt };
    sketch.parts = whole.parts;
    if sketch.parts.is_empty() {
        // A text of one section is one task.
        let prompt = reader.whole(&document);
        if !prompt.is_empty() {
            sketch.intro = String::new();
            sketch.parts =
                vec![Part { key: line_key(1), title: sketch.title.clone(), prompt, ..Part::default() }];
        }
    }
    // A section around all phases is the whole by another name.
    if told == Told::Phases
        && let [only] = sketch.parts.as_mut_slice()
        && !only.parts.is_empty()
        && !is_phase(&only.title)
    {
        if only.prompt != only.title {
            let both = [sketch.intro.as_str(), only.prompt.as_str()];
            sketch.intro = both.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n");
        }
        sketch.parts = std::mem::take(&mut only.parts);
    }
    let (has_front_matter, definitions) = blocks::loose(text);
    if has_front_matter {
        reader.left.insert(0, format!("{file}:1: the front matter"));
    }
    sketch.intro = with_definitions(&sketch.intro, &definitions);
    define(&mut sketch.parts, &definitions);
    sketch.left = reader.left;
    sketch
}

/// Lets every part have the definitions of the links that it has.
fn define(parts: &mut [Part], definitions: &[(String, &str)]) {
    for part in parts.iter_mut().filter(|_| !definitions.is_empty()) {
        part.prompt = with_definitions(&part.prompt, definitions);
        for text in [&mut part.unlinked, &mut part.done].into_iter().flatten() {
            *text = with_definitions(text, definitions);
        }
        define(&mut part.parts, definitions);
    }
}

fn told(document: &Section) -> Told {
    fn any_section(section: &Section, is: &dyn Fn(&Section) -> bool) -> bool {
        section.sections.iter().any(|section| is(section) || any_section(section, is))
    }
    if any_section(document, &|section| is_phase(&section.title)) {
        Told::Phases
    } else if has_boxes(document) {
        Told::Boxes
    } else if document.sections.is_empty() {
        Told::Lists
    } else {
        Told::Sections
    }
}

/// Whether a section is work among phases: a phase, or what an export knows by its id.
fn is_work(section: &Section) -> bool {
    section.id.is_some() || is_phase(&section.title)
}

/// Whether a section has a box that is so: ticked or not.
fn has_box(section: &Section, is: fn(bool) -> bool) -> bool {
    any_box(&section.blocks, is) || section.sections.iter().any(|below| has_box(below, is))
}

fn has_boxes(section: &Section) -> bool {
    has_box(section, |_| true)
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    told: Told,
    in_order: bool,
    left: Vec<String>,
}

impl Reader<'_> {
    /// A section as a task: its lists and sections are parts, the rest is its prompt. `top` is the document.
    fn section(&mut self, section: &Section, top: bool) -> Part {
        let mut part = Part {
            key: section.id.clone().unwrap_or_else(|| line_key(section.line)),
            name: section.id.as_deref().map(last_part),
            title: match (&section.id, without_number(&section.title)) {
                (Some(_), _) => section.title.clone(),
                (None, "") => "Part".to_owned(),
                (None, title) => title.to_owned(),
            },
            ..Part::default()
        };
        let in_phase = self.told == Told::Phases && !top && is_work(section);
        let said_done = !top && section.id.is_none() && is_done(&section.title);
        let done = said_done && !has_box(section, |ticked| !ticked);
        if said_done && !done {
            let place = format!("{}:{}", self.file, section.line);
            self.left.push(format!("{place}: \"{}\" is done, but not all of its boxes are", section.title));
        }
        if done {
            part.title = without_brackets(&part.title).trim_matches(['✅', '☑', '✔', ' ']).to_owned();
            part.done = Some(self.whole(section));
        }
        let mut said: Vec<String> = Vec::new();
        // With phases elsewhere the lists of other sections are no tasks.
        let lists_count = self.told != Told::Phases || in_phase;
        let has_small =
            section.blocks.iter().any(|block| match block {
                Block::List(list) => list.items.iter().any(|item| self.label_of(item) == Some(Label::Tasks)),
                Block::Text(_) => false,
            }) || section.sections.iter().any(|section| label(&section.title) == Some(Label::Tasks));
        let mut labelled = None;
        for block in &section.blocks {
            match block {
                Block::Text(range) if section.id.is_some() && self.text[range.clone()].starts_with('>') => {
                    said.push(unquoted(&self.text[range.clone()]));
                }
                Block::Text(range) => {
                    let text = dedent(self.text, range.clone());
                    labelled = (text.lines().count() == 1).then(|| label(&text)).flatten();
                    said.push(text);
                }
                Block::List(list) => {
                    let is_exported = list.items.iter().any(|item| item.id.is_some());
                    let counts = (lists_count || is_exported)
                        && labelled != Some(Label::Notes)
                        && !(labelled == Some(Label::BigTasks) && has_small)
                        && (self.told != Told::Boxes || list.has_boxes());
                    if counts {
                        if labelled.is_some() {
                            said.pop();
                        }
                        self.list(list, has_small, &mut part, &mut said);
                    } else {
                        said.push(dedent(self.text, list.range.clone()));
                    }
                    labelled = None;
                }
            }
        }
        self.sections(section, in_phase, has_small, &mut part, &mut said);
        part.prompt = match said.join("\n\n") {
            said if said.is_empty() => part.title.clone(),
            said => said,
        };
        if done {
            finish(&mut part.parts);
        } else if !top && !part.parts.is_empty() && all_done(&part.parts) && !part.parts.iter().any(has_text)
        {
            // All its boxes are ticked, and none of them is a task by itself.
            part.done = Some(self.whole(section));
        }
        part
    }

    /// The sections below one.
    fn sections(
        &mut self,
        section: &Section,
        in_phase: bool,
        has_small: bool,
        part: &mut Part,
        said: &mut Vec<String>,
    ) {
        let mut last: Option<String> = None;
        for below in &section.sections {
            let label = label(&below.title).filter(|_| below.id.is_none());
            let wanted = match self.told {
                _ if below.id.is_some() => true,
                _ if label == Some(Label::Notes) => false,
                Told::Phases if in_phase => true,
                Told::Phases => is_phase(&below.title) || told(below) == Told::Phases,
                Told::Boxes => has_boxes(below) || is_done(&below.title),
                _ => true,
            };
            if !wanted || (label == Some(Label::BigTasks) && has_small) {
                if section.level <= 1 && section.line <= 1 || self.told == Told::Phases && !in_phase {
                    let what =
                        format!("{}:{}: the section \"{}\" is a note", self.file, below.line, below.title);
                    self.left.push(format!("{what}; `inputs` can name it"));
                } else {
                    said.push(dedent(self.text, below.range.clone()));
                }
                continue;
            }
            let mut new = self.section(below, false);
            if label.is_some() {
                // Its title says only what its parts are.
                part.parts.append(&mut new.parts);
                if new.prompt != new.title {
                    said.push(new.prompt);
                }
                continue;
            }
            let follows = (self.told == Told::Phases && is_phase(&below.title)) || is_numbered(&below.title);
            if (follows && below.id.is_none()) || self.in_order {
                new.requires.extend(last.take());
                last = Some(new.key.clone());
            }
            part.parts.push(new);
        }
    }

    fn label_of(&self, item: &Item) -> Option<Label> {
        let is_head =
            item.text.trim_end().ends_with(':') || item.blocks.iter().any(|b| matches!(b, Block::List(_)));
        if is_head && item.ticked.is_none() { label(&item.text) } else { None }
    }

    /// The items of a list, as parts or as words of the prompt.
    fn list(&mut self, list: &List, has_small: bool, part: &mut Part, said: &mut Vec<String>) {
        let mut last: Option<String> = None;
        for item in &list.items {
            if item.text.is_empty() && item.blocks.is_empty() {
                self.left.push(format!("{}:{}: an empty item", self.file, item.line));
                continue;
            }
            match self.label_of(item) {
                Some(Label::Notes) => said.push(dedent(self.text, item.range.clone())),
                Some(Label::BigTasks) if has_small => said.push(dedent(self.text, item.range.clone())),
                Some(_) => {
                    for block in &item.blocks {
                        match block {
                            Block::List(inner) => self.list(inner, has_small, part, said),
                            Block::Text(range) => said.push(dedent(self.text, range.clone())),
                        }
                    }
                }
                None => {
                    // Beside boxes an item without one is a note.
                    if self.told == Told::Boxes && item.ticked.is_none() && !any_box(&item.blocks, |_| true) {
                        said.push(dedent(self.text, item.range.clone()));
                        continue;
                    }
                    let mut new = self.item(item);
                    if list.ordered || self.in_order {
                        new.requires.extend(last.take());
                        last = Some(new.key.clone());
                    }
                    part.parts.push(new);
                }
            }
        }
    }

    /// An item as a task.
    fn item(&mut self, item: &Item) -> Part {
        if let Some(part) = self.exported(item) {
            return part;
        }
        let (text, requires) = split_links(&item.text);
        let title = match title_of(item.lead.as_deref(), &text) {
            title if title.is_empty() => "Task".to_owned(),
            title => title,
        };
        let (raw, _) = split_links(&dedent(self.text, item.first.clone()));
        let mut part = Part {
            key: item.id.clone().unwrap_or_else(|| line_key(item.line)),
            name: item.id.as_deref().map(last_part),
            title,
            requires,
            ..Part::default()
        };
        let mut said = vec![raw.trim().to_owned()];
        for block in &item.blocks {
            match block {
                Block::List(list)
                    if self.told == Told::Lists || (self.told == Told::Boxes && list.has_boxes()) =>
                {
                    self.list(list, false, &mut part, &mut said);
                }
                Block::List(List { range, .. }) | Block::Text(range) => {
                    said.push(dedent(self.text, range.clone()))
                }
            }
        }
        part.prompt = said.join("\n\n");
        if !part.requires.is_empty() {
            said[0] = dedent(self.text, item.first.clone()).trim().to_owned();
            part.unlinked = Some(said.join("\n\n"));
        }
        self.tick(item, &mut part);
        part
    }

    /// What is ticked is done, with its words as its text.
    fn tick(&self, item: &Item, part: &mut Part) {
        if item.ticked != Some(true) {
            return;
        }
        // Its parts go with it, and what they say.
        let words = match part.parts.iter().any(has_text) {
            true => dedent(self.text, item.range.clone()),
            false => part.unlinked.as_ref().unwrap_or(&part.prompt).clone(),
        };
        let more = plain_of(&words) != part.title;
        part.done = Some(if more { format!("# {}\n\n{words}", part.title) } else { String::new() });
    }

    /// An item as an export writes it: its title in bold, its id in a mark, its links, a colon, its prompt. What stands
    /// below it is its prompt as well, letter for letter, but for items that have a mark of their own.
    fn exported(&mut self, item: &Item) -> Option<Part> {
        let (id, title) = (item.id.as_ref()?, item.lead.as_ref()?);
        let is_marked = |block: &&Block| matches!(block, Block::List(list) if list.items.iter().any(|item| item.id.is_some()));
        let marked: Vec<&Block> = item.blocks.iter().filter(is_marked).collect();
        let end = marked.iter().map(|block| block.range().start).min().unwrap_or(item.range.end);
        let all = outdent(&self.text[item.first.start..end], EXPORTED_INDENT);
        let rest = all.strip_prefix(&format!("**{}**", escaped(title)))?;
        let (links, said) = match rest.strip_prefix(" (requires: ").and_then(|rest| rest.split_once(')')) {
            Some((links, said)) => (links, said),
            None => ("", rest),
        };
        let mut part = Part {
            key: id.clone(),
            name: Some(last_part(id)),
            title: title.clone(),
            requires: links
                .split(',')
                .map(|link| link.trim().to_owned())
                .filter(|link| !link.is_empty())
                .collect(),
            ..Part::default()
        };
        let own = said.strip_prefix(": ").or_else(|| said.strip_prefix(":\n\n"));
        let said = own.map_or_else(|| format!("{title}{said}"), str::to_owned);
        part.prompt = said.trim_end().to_owned();
        let mut said = Vec::new();
        for block in marked {
            if let Block::List(list) = block {
                self.list(list, false, &mut part, &mut said);
            }
        }
        self.tick(item, &mut part);
        Some(part)
    }

    /// All that stands in a section, its heading first.
    fn whole(&self, section: &Section) -> String {
        let text = &self.text[section.body.clone()];
        let title = without_brackets(without_number(&section.title));
        match (text.trim(), title.as_str()) {
            ("", _) => String::new(),
            (text, "") => text.to_owned(),
            (text, title) => format!("# {title}\n\n{text}"),
        }
    }
}

/// Whether a part that is done, or one of its own, has a text.
fn has_text(part: &Part) -> bool {
    part.done.as_ref().is_some_and(|text| !text.is_empty()) || part.parts.iter().any(has_text)
}

/// What is done is done with all its parts.
fn finish(parts: &mut [Part]) {
    for part in parts {
        part.done.get_or_insert_default();
        finish(&mut part.parts);
    }
}

/// The key of what has no name: nobody means it by a title.
fn line_key(line: usize) -> String {
    format!("#line {line}")
}

fn last_part(id: &str) -> String {
    id.rsplit('/').next().unwrap_or(id).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An outline of a sketch: titles with what they require.
    fn outline(text: &str) -> (Vec<String>, Vec<String>) {
        fn walk(parts: &[Part], depth: usize, lines: &mut Vec<String>) {
            for part in parts {
                let requires = part.requires.join(",");
                let done = if part.done.is_some() { " (done)" } else { "" };
                let arrow = if requires.is_empty() { String::new() } else { format!(" < {requires}") };
                let line = format!("{} {}{arrow}{done}", part.key, part.title).replace("#line ", "L");
                lines.push(format!("{}{line}", "  ".repeat(depth)));
                walk(&part.parts, depth + 1, lines);
            }
        }
        let sketch = read_markdown("plan.md", text, false);
        let mut lines = vec![sketch.title.clone()];
        walk(&sketch.parts, 1, &mut lines);
        (lines, sketch.left)
    }

    #[test]
    fn phases_are_big_tasks_and_the_rest_is_notes() {
        let (lines, left) = outline(
            "# Plan\n\n## 0. Overview\n- fast\n\n## 1. Phase 0 (Completed)\n- was done\n\n## 2. Phase 1 — Base\nGoal: a base.\n\n\
             - Big Tasks\n  1) All of it\n- Small Tasks\n  - DB: make it\n  - API (see x):\n    - one\n- Deliverables\n  - a base\n\n\
             ## 3. Phase 2\n1. First\n2. Second\n\n## 4. Risks\n- many\n",
        );
        assert_eq!(
            lines,
            [
                "Plan",
                "  L6 Phase 0 (done)",
                "    L7 was done (done)",
                "  L9 Phase 1 — Base < L6",
                "    L15 DB",
                "    L16 API (see x)",
                "  L21 Phase 2 < L9",
                "    L22 First",
                "    L23 Second < L22",
            ]
        );
        assert_eq!(
            left,
            [
                "plan.md:3: the section \"0. Overview\" is a note; `inputs` can name it",
                "plan.md:25: the section \"4. Risks\" is a note; `inputs` can name it",
            ]
        );
        let sketch = read_markdown(
            "plan.md",
            "## Phase 1\nGoal: x\n\n- Small Tasks\n  - A: do a\n    - well\n- Notes\n  - n\n",
            false,
        );
        assert_eq!(sketch.parts[0].prompt, "Goal: x\n\nNotes\n- n");
        assert_eq!(sketch.parts[0].parts[0].prompt, "A: do a\n\n- well");
    }

    #[test]
    fn boxes_say_what_is_to_do() {
        let (lines, _) = outline(
            "# Trip\n\nWe go.\n\n## Before\n\n- [ ] Book the boat (after: Pay)\n- [x] Pay\n- [x] Ask: Ann said yes\n- just a note\n\n\
             ## There\n\n- [ ] Look\n  - [ ] at the birds\n  - [ ] at the sea\n\n## Packing\n\n- boots\n",
        );
        assert_eq!(
            lines,
            [
                "Trip",
                "  L5 Before",
                "    L7 Book the boat < Pay",
                "    L8 Pay (done)",
                "    L9 Ask (done)",
                "  L12 There",
                "    L14 Look",
                "      L15 at the birds",
                "      L16 at the sea",
            ]
        );
        let sketch = read_markdown("a.md", "- [x] Pay\n- [x] Ask: Ann said yes\n- [ ] Go\n", false);
        let done: Vec<_> = sketch.parts.iter().map(|part| part.done.as_deref()).collect();
        assert_eq!(done, [Some(""), Some("# Ask\n\nAsk: Ann said yes"), None]);
    }

    #[test]
    fn an_outline_of_sections_or_of_lists_is_a_plan() {
        let (lines, left) = outline(
            "# Handbook\n\n## Safety\nHow to stay dry.\n\n### Boots\n\n### Ropes\n\n## Background\nOld.\n",
        );
        assert_eq!(lines, ["Handbook", "  L3 Safety", "    L6 Boots", "    L8 Ropes"]);
        assert_eq!(left, ["plan.md:10: the section \"Background\" is a note; `inputs` can name it"]);
        let (lines, _) = outline("- Safety\n  - Boots\n  - Ropes\n- **Survey**: count the birds\n");
        assert_eq!(lines, ["Plan", "  L1 Safety", "    L2 Boots", "    L3 Ropes", "  L4 Survey"]);
    }

    #[test]
    fn labels_and_marks_are_read_where_they_stand() {
        let (lines, _) = outline(
            "# P\n\n## A\n\nDo it well.\n\n**Tasks:**\n\n1. one\n2. two\n\nAcceptance criteria:\n\n- good\n",
        );
        assert_eq!(lines, ["P", "  L3 A", "    L9 one", "    L10 two < L9"]);
        let sketch =
            read_markdown("p.md", "# P\n\n## A <!-- meu: x/a -->\n\n- [ ] b <!-- meu: x/a/b -->\n", false);
        assert_eq!(sketch.parts[0].key, "x/a");
        assert_eq!(sketch.parts[0].title, "A");
        assert_eq!(sketch.parts[0].parts[0].name.as_deref(), Some("b"));
        assert_eq!(sketch.parts[0].parts[0].prompt, "b");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "# ", "## ", "### ", "- ", "  - ", "1. ", "[ ] ", "[x] ", "Phase 1", "Tasks:", "a", "é", "\n", "\n\n", "**b**",
                "`c`", "```\n", "> ", "<!-- meu: a/b -->", "(after: a)", "---\n", "| a |", "\t", "Notes",
            ]), 0..40))
        {
            let text = parts.concat();
            for in_order in [false, true] {
                read_markdown("p.md", &text, in_order);
            }
        }
    }
}
