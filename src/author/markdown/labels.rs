//! Words by which headings and lists say what stands below them.

use crate::author::name::{without_brackets, without_number};

/// What a label says of what stands below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// Tasks.
    Tasks,
    /// Tasks, unless smaller ones stand beside them.
    BigTasks,
    /// What to know when doing them.
    Notes,
}

const TASKS: [&str; 14] = [
    "tasks",
    "small tasks",
    "todo",
    "todos",
    "to do",
    "to-do",
    "steps",
    "next steps",
    "work items",
    "action items",
    "actions",
    "subtasks",
    "checklist",
    "meus",
];

const BIG_TASKS: [&str; 4] = ["big tasks", "large tasks", "epics", "workstreams"];

const NOTES: [&str; 38] = [
    "deliverables",
    "deliverable",
    "acceptance criteria",
    "acceptance",
    "definition of done",
    "exit criteria",
    "success criteria",
    "goal",
    "goals",
    "non-goals",
    "objective",
    "objectives",
    "notes",
    "note",
    "risks",
    "risks & mitigations",
    "risks and mitigations",
    "assumptions",
    "out of scope",
    "background",
    "context",
    "overview",
    "introduction",
    "references",
    "open questions",
    "questions",
    "timeline",
    "rationale",
    "motivation",
    "summary",
    "glossary",
    "appendix",
    "constraints",
    "details",
    "description",
    "test strategy",
    "table of contents",
    "contents",
];

const PHASES: [&str; 13] = [
    "phase",
    "milestone",
    "stage",
    "step",
    "sprint",
    "iteration",
    "week",
    "day",
    "epic",
    "part",
    "module",
    "track",
    "chapter",
];

/// What a heading or the head of a list says of what stands below it.
pub(super) fn label(text: &str) -> Option<Label> {
    let text = without_brackets(without_number(text)).to_lowercase();
    let text = text.trim_matches(|c: char| c == ':' || c == '*' || c == '_' || c.is_whitespace());
    let is_one_of = |words: &[&str]| words.contains(&text);
    if is_one_of(&TASKS) {
        Some(Label::Tasks)
    } else if is_one_of(&BIG_TASKS) {
        Some(Label::BigTasks)
    } else {
        is_one_of(&NOTES).then_some(Label::Notes)
    }
}

/// Whether a title is that of a phase: its word, then a number.
pub(super) fn is_phase(title: &str) -> bool {
    let title = without_number(title).to_lowercase();
    let mut words = title.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let is_word = words.next().is_some_and(|word| PHASES.contains(&word));
    let is_number = |word: &str| {
        word.chars().all(|c| c.is_ascii_digit())
            || word.chars().all(|c| "ivx".contains(c))
            || (word.len() == 1 && word.chars().all(|c| c.is_ascii_alphabetic()))
    };
    is_word && words.next().is_some_and(is_number)
}

/// Whether a title says that all below it is done.
pub(super) fn is_done(title: &str) -> bool {
    let title = title.to_lowercase();
    ["(completed)", "(complete)", "(done)", "(finished)", "✅", "☑", "✔"]
        .iter()
        .any(|mark| title.contains(mark))
}
