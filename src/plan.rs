//! Fresh, stale, waiting, edited …: the one place that decides what a task's state is.
//!
//! A pure function of [`Facts`]. `status`, `why`, `run` and `watch` all ask it, so they cannot
//! disagree. Fresh needs proof: today's request is the recorded one, and the text on disk is the one
//! built or adopted for it.

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, TextId};
use crate::graph::Ix;
use crate::lock::Record;
use crate::request::{Change, Parts, Reason, compare};

/// The state of a task. Where several apply, the first in the contract's order is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Another task's output stands for it.
    Duplicate,
    /// A record without a task.
    Orphan,
    /// The last try for today's request failed.
    Failed,
    /// Something that it requires failed, is blocked or awaits approval.
    Blocked,
    /// Never built, or the output is gone.
    Missing,
    /// A task above must run first; whether this one must, shows then.
    Waiting,
    /// The text on disk is not the one built.
    Edited,
    /// Today's request is not the recorded one.
    Stale,
    /// A person must approve the output.
    Awaiting,
    /// Up to date.
    Fresh,
}

impl State {
    /// The state as it is written.
    pub fn word(self) -> &'static str {
        match self {
            State::Duplicate => "duplicate",
            State::Orphan => "orphan",
            State::Failed => "failed",
            State::Blocked => "blocked",
            State::Missing => "missing",
            State::Waiting => "waiting",
            State::Edited => "edited",
            State::Stale => "stale",
            State::Awaiting => "awaiting",
            State::Fresh => "fresh",
        }
    }

    /// All states, in the order in which they are shown.
    pub const ALL: [State; 10] = [
        State::Failed,
        State::Blocked,
        State::Missing,
        State::Waiting,
        State::Edited,
        State::Stale,
        State::Awaiting,
        State::Fresh,
        State::Duplicate,
        State::Orphan,
    ];

    /// Whether a person need not hear of it where there are many.
    pub fn is_quiet(self) -> bool {
        matches!(self, State::Fresh | State::Duplicate)
    }

    /// Whether `status --check` passes it; `unchanged` is whether today's request is the recorded one.
    pub fn passes_check(self, unchanged: Option<bool>) -> bool {
        match self {
            State::Fresh | State::Duplicate | State::Orphan => true,
            State::Edited => unchanged == Some(true),
            _ => false,
        }
    }
}

/// Why the last try failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The request that was tried, if one could be put together.
    pub request: Option<Digest>,
    /// What was expected of its answer.
    #[serde(default)]
    pub expect: Option<Digest>,
    /// What happened, with the way out.
    pub message: String,
    /// The answer that could not be merged into the edited output.
    pub conflict: Option<TextId>,
}

impl Failure {
    /// A failure of today's request; what happened is still to be said.
    pub fn of(today: &Today) -> Self {
        Failure { request: Some(today.request), expect: today.expect, message: String::new(), conflict: None }
    }
}

/// Today's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Today {
    /// Its digest.
    pub request: Digest,
    /// Its parts.
    pub parts: Parts,
    /// The digest of what is expected of the output, if anything is.
    pub expect: Option<Digest>,
}

impl Today {
    /// What tells one record of a task from another: the request, and what was expected of its answer.
    pub fn key(&self) -> (Digest, Option<Digest>) {
        (self.request, self.expect)
    }

    /// Whether a record is of this request, its output accepted by the same measure.
    pub fn is_of(&self, record: &Record) -> bool {
        (record.request, record.expect) == self.key()
    }
}

/// All that decides one task's state.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// Whether a person writes the output.
    pub manual: bool,
    /// Whether a person approves the output.
    pub approval: bool,
    /// Where the output is.
    pub output: &'a str,
    /// The record that counts.
    pub record: Option<&'a Record>,
    /// The digest of the text on disk.
    pub on_disk: Option<Digest>,
    /// Today's request; `None` while something above must run, or if it cannot be put together.
    pub today: Option<&'a Today>,
    /// Why today's request cannot be put together.
    pub trouble: Option<String>,
    /// The last failure.
    pub failure: Option<&'a Failure>,
    /// The required tasks that keep it from running.
    pub blocked_on: Vec<Ix>,
    /// The earlier tasks that must run first.
    pub waiting_on: Vec<Ix>,
}

/// The state of a task, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The state.
    pub state: State,
    /// What differs from what is recorded.
    pub reasons: Vec<Reason>,
    /// The tasks that it is blocked by or waits for.
    pub on: Vec<Ix>,
    /// A word more, for failed tasks.
    pub message: Option<String>,
    /// Whether today's request is the recorded one, where both are known.
    pub unchanged: Option<bool>,
}

impl Verdict {
    /// A failure.
    pub fn failed(message: String) -> Self {
        Verdict {
            state: State::Failed,
            reasons: Vec::new(),
            on: Vec::new(),
            message: Some(message),
            unchanged: None,
        }
    }

    /// Whether a run would try to make the output anew, so that those below wait for it.
    pub fn must_run(&self) -> bool {
        match self.state {
            State::Missing | State::Waiting | State::Stale | State::Failed => true,
            State::Edited => self.unchanged != Some(true),
            State::Blocked | State::Awaiting | State::Fresh | State::Duplicate | State::Orphan => false,
        }
    }

    /// Whether it keeps those that require it from running.
    pub fn blocks(&self) -> bool {
        matches!(self.state, State::Failed | State::Blocked | State::Awaiting)
    }
}

/// Decides.
pub fn decide(facts: &Facts<'_>) -> Verdict {
    let unchanged = facts.today.and_then(|today| facts.record.map(|record| today.is_of(record)));
    let known = |text: Digest| facts.record.is_some_and(|record| record.knows(text));
    let edited = !facts.manual && facts.on_disk.is_some_and(|text| !known(text));
    // A failure counts for its own request, and never against proof that all is well.
    let proven = unchanged == Some(true) && !edited && facts.on_disk.is_some();
    let failure = facts.failure.filter(|failure| match facts.today {
        Some(today) => {
            failure.request.map(|request| (request, failure.expect)) == Some(today.key()) && !proven
        }
        None => facts.trouble.is_none(),
    });
    let message = facts.trouble.clone().or_else(|| failure.map(|failure| failure.message.clone()));

    let (state, on) = if message.is_some() && (facts.waiting_on.is_empty() || facts.trouble.is_some()) {
        (State::Failed, Vec::new())
    } else if !facts.blocked_on.is_empty() {
        (State::Blocked, facts.blocked_on.clone())
    } else if facts.on_disk.is_none() {
        (State::Missing, facts.waiting_on.clone())
    } else if !facts.waiting_on.is_empty() {
        (State::Waiting, facts.waiting_on.clone())
    } else if facts.manual {
        (manual_state(facts, unchanged), Vec::new())
    } else if edited {
        let approved = facts.record.is_some_and(|record| record.approved == facts.on_disk);
        match unchanged {
            Some(true) if facts.approval && !approved => (State::Awaiting, Vec::new()),
            _ => (State::Edited, Vec::new()),
        }
    } else if unchanged != Some(true) {
        (State::Stale, Vec::new())
    } else if facts.approval && facts.record.is_none_or(|record| record.approved != facts.on_disk) {
        (State::Awaiting, Vec::new())
    } else {
        (State::Fresh, Vec::new())
    };
    Verdict {
        state,
        reasons: reasons(facts, edited, unchanged),
        on,
        message: message.filter(|_| state == State::Failed),
        unchanged,
    }
}

/// A person's file is its own newest text; only a moved context under the same text is worth a look.
fn manual_state(facts: &Facts<'_>, unchanged: Option<bool>) -> State {
    let same_text = facts.record.is_some_and(|record| record.current() == facts.on_disk);
    if same_text && unchanged == Some(false) {
        State::Stale
    } else if facts.approval && facts.record.is_none_or(|record| record.approved != facts.on_disk) {
        State::Awaiting
    } else {
        State::Fresh
    }
}

fn reasons(facts: &Facts<'_>, edited: bool, unchanged: Option<bool>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let Some(record) = facts.record else {
        if facts.on_disk.is_none() {
            reasons.push(Reason::never_built());
        }
        if edited {
            reasons.push(Reason::output(facts.output, Change::Modified, None, facts.on_disk));
        }
        return reasons;
    };
    match facts.on_disk {
        // What is at the old place is carried over.
        None if record.output != facts.output => {
            reasons.push(Reason::output(facts.output, Change::Added, None, record.current()));
        }
        None => reasons.push(Reason::output(facts.output, Change::Removed, record.current(), None)),
        Some(text) if edited => {
            reasons.push(Reason::output(facts.output, Change::Modified, record.current(), Some(text)));
        }
        Some(_) => {}
    }
    if let Some(today) = facts.today
        && unchanged == Some(false)
    {
        let parts = compare(&record.parts, &today.parts);
        if record.expect != today.expect {
            reasons.push(Reason::expect(record.expect, today.expect));
        }
        if parts.is_empty() && record.request != today.request {
            // No recorded part differs, yet the bytes do: the words around the parts.
            reasons.push(Reason {
                kind: crate::request::Kind::Template,
                item: None,
                change: Some(Change::Modified),
                old: Some(record.request),
                new: Some(today.request),
            });
        }
        reasons.extend(parts);
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Parts {
        Parts {
            prompt: Digest::of("p"),
            model: Digest::of("m"),
            template: Digest::of("t"),
            items: Vec::new(),
        }
    }

    fn record() -> Record {
        Record {
            task: "a".into(),
            output: "out/a.md".into(),
            request: Digest::of("r"),
            parts: parts(),
            built: Some(TextId::of("x")),
            expect: None,
            accepted: None,
            approved: None,
        }
    }

    /// The state under some facts; the record is that of request `r` and text `x`.
    fn check(
        on_disk: Option<&str>,
        request: &str,
        change: impl Fn(&mut Facts<'_>, &mut Record),
        expected: State,
    ) {
        let mut own = record();
        let mut unused = Facts::default();
        change(&mut unused, &mut own);
        let today = Today { request: Digest::of(request), parts: parts(), expect: None };
        let mut facts = Facts {
            output: "out/a.md",
            record: Some(&own),
            on_disk: on_disk.map(Digest::of),
            today: Some(&today),
            ..Facts::default()
        };
        change(&mut facts, &mut record());
        assert_eq!(decide(&facts).state, expected);
    }

    #[test]
    fn fresh_needs_both_the_request_and_the_text() {
        check(Some("x"), "r", |_, _| (), State::Fresh);
        check(Some("x"), "q", |_, _| (), State::Stale);
        check(Some("y"), "r", |_, _| (), State::Edited);
        check(None, "r", |_, _| (), State::Missing);
        check(Some("y"), "r", |_, record| record.accepted = Some(TextId::of("y")), State::Fresh);
        // Accepted by another measure is not accepted.
        check(Some("x"), "r", |_, record| record.expect = Some(Digest::of("e")), State::Stale);
    }

    #[test]
    fn a_record_of_nothing_is_no_proof() {
        check(Some("x"), "r", |facts, _| facts.record = None, State::Edited);
        check(None, "r", |facts, _| facts.record = None, State::Missing);
    }

    #[test]
    fn the_first_of_several_states_is_shown() {
        check(None, "r", |facts, _| facts.waiting_on = vec![Ix(1)], State::Missing);
        check(Some("y"), "r", |facts, _| facts.waiting_on = vec![Ix(1)], State::Waiting);
        check(None, "r", |facts, _| facts.blocked_on = vec![Ix(1)], State::Blocked);
        check(Some("y"), "q", |_, _| (), State::Edited);
    }

    #[test]
    fn approval_is_bound_to_the_text() {
        check(Some("x"), "r", |facts, _| facts.approval = true, State::Awaiting);
        let approved = |text: &'static str| {
            move |facts: &mut Facts<'_>, record: &mut Record| {
                facts.approval = true;
                record.approved = Some(Digest::of(text));
            }
        };
        check(Some("x"), "r", approved("x"), State::Fresh);
        check(Some("x"), "r", approved("y"), State::Awaiting);
        check(Some("y"), "r", approved("x"), State::Awaiting);
        check(Some("y"), "r", approved("y"), State::Edited);
    }

    #[test]
    fn a_persons_file_is_its_own_newest_text() {
        check(Some("y"), "q", |facts, _| facts.manual = true, State::Fresh);
        check(Some("x"), "q", |facts, _| facts.manual = true, State::Stale);
        check(None, "q", |facts, _| facts.manual = true, State::Missing);
    }

    #[test]
    fn a_failure_counts_for_its_own_request_only() {
        let failure = |request: &str| Failure {
            request: Some(Digest::of(request)),
            expect: None,
            message: "no".into(),
            conflict: None,
        };
        let (own, other) = (failure("q"), failure("z"));
        let today = Today { request: Digest::of("q"), parts: parts(), expect: None };
        let record = record();
        for (failure, expected) in [(&own, State::Failed), (&other, State::Stale)] {
            let facts = Facts {
                record: Some(&record),
                on_disk: Some(Digest::of("x")),
                today: Some(&today),
                failure: Some(failure),
                ..Facts::default()
            };
            assert_eq!(decide(&facts).state, expected);
        }
    }
}
