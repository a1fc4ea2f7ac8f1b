//! Plans in the making: what a model, a file or a list of tasks proposes, as task files that a person
//! reviews before they land.
//!
//! A source is read into a [`Sketch`]; a sketch becomes task files ([`task_files`]); task files are laid
//! over what is there by a merge of three ([`patch`]), so that a second proposal for the same place
//! changes what it means to change and keeps what a person wrote.

use std::collections::BTreeSet;

mod apart;
mod ask;
mod export;
mod files;
mod list;
mod markdown;
mod merge;
mod name;
mod source;
mod suggest;

pub use apart::{Apart, Reads, check_apart, take_apart};
pub use ask::{Question, SCHEMA, question, read_answer};
pub use export::{Told, as_list, as_markdown, not_exported};
pub use files::{Place, Proposed, named_files, task_files};
pub use list::read_list;
pub use markdown::read_markdown;
pub use merge::{Change, KEYS, Merging, check_keys, patch, prompt_of};
pub use name::slug;
pub use source::{joined, sketch_of};
pub use suggest::{Suggestion, Words, suggest_links};

/// A plan as its source has it: no task files yet, and its own names for things.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sketch {
    /// What the whole is called.
    pub title: String,
    /// What the whole is about; may be empty.
    pub intro: String,
    /// The prompt of a root task that a model answers, if the source has one.
    pub root: Option<String>,
    /// Its parts, in order.
    pub parts: Vec<Part>,
    /// Whether its prompts are templates already, as those of tasks are; else they are plain text.
    pub is_template: bool,
    /// What could not be carried over, a line each.
    pub left: Vec<String>,
}

/// A task in the making; with parts of its own it is a big task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// What the source's links call it.
    pub key: String,
    /// The last part of its id, where the source says it.
    pub name: Option<String>,
    /// The title.
    pub title: String,
    /// The prompt, as plain text: nothing in it is a template.
    pub prompt: String,
    /// The prompt with the words that its links were read from, where that is not the same.
    pub unlinked: Option<String>,
    /// The keys, or the project's ids, of what it requires; after a `/` it is an id of the project in any case.
    pub requires: Vec<String>,
    /// The keys, or the project's ids, of what it refers to.
    pub refers: Vec<String>,
    /// Documents that it reads.
    pub inputs: Vec<String>,
    /// Lower goes first.
    pub priority: Option<i64>,
    /// Free words.
    pub tags: Vec<String>,
    /// Whether it is done: the text of its output, empty where there is none.
    pub done: Option<String>,
    /// What makes its output, if not a model: `template` or `manual`.
    pub run: Option<&'static str>,
    /// Whether it should be taken apart further before anybody does it.
    pub further: bool,
    /// Its own parts, in order.
    pub parts: Vec<Part>,
}

impl Sketch {
    /// All parts, those of parts included. What is done is one, whatever it is made of.
    pub fn len(&self) -> usize {
        fn count(parts: &[Part]) -> usize {
            parts.iter().map(|part| 1 + if part.done.is_some() { 0 } else { count(&part.parts) }).sum()
        }
        count(&self.parts)
    }

    /// Whether there is no part.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

/// Whether all of some parts, and theirs, are done.
fn all_done(parts: &[Part]) -> bool {
    parts.iter().all(|part| part.done.is_some() && all_done(&part.parts))
}

/// Parts with keys of their own, so that `a` of one source is not `a` of another: `before` stands before each.
pub fn apart_from(mut parts: Vec<Part>, before: &str) -> Vec<Part> {
    fn keys(parts: &[Part], all: &mut BTreeSet<String>) {
        for part in parts {
            all.insert(part.key.clone());
            keys(&part.parts, all);
        }
    }
    fn put(parts: &mut [Part], all: &BTreeSet<String>, before: &str) {
        for part in parts {
            let names =
                part.requires.iter_mut().chain(&mut part.refers).chain(std::iter::once(&mut part.key));
            names.filter(|name| all.contains(*name)).for_each(|name| name.insert_str(0, before));
            put(&mut part.parts, all, before);
        }
    }
    let mut all = BTreeSet::new();
    keys(&parts, &mut all);
    put(&mut parts, &all, before);
    parts
}
