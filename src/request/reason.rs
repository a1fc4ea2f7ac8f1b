//! Reasons: what differs between the recorded request and today's, as data.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

use super::Parts;

/// Which part of a request, or of what it made, differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the names are the words of the contract
pub enum Kind {
    Prompt,
    Item,
    Model,
    Template,
    Expect,
    Output,
    NeverBuilt,
}

/// How it differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the names are the words of the contract
pub enum Change {
    Added,
    Removed,
    Modified,
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What differs.
    pub kind: Kind,
    /// The item's reference, or the output's path.
    pub item: Option<String>,
    /// How.
    pub change: Option<Change>,
    /// The recorded digest.
    pub old: Option<Digest>,
    /// Today's digest.
    pub new: Option<Digest>,
}

impl Reason {
    /// Nothing was built yet.
    pub fn never_built() -> Self {
        Reason { kind: Kind::NeverBuilt, item: None, change: None, old: None, new: None }
    }

    /// Something else is expected of the output.
    pub fn expect(old: Option<Digest>, new: Option<Digest>) -> Self {
        Reason { kind: Kind::Expect, item: None, change: Some(Change::Modified), old, new }
    }

    /// The output is gone or is not the one built.
    pub fn output(path: &str, change: Change, old: Option<Digest>, new: Option<Digest>) -> Self {
        Reason { kind: Kind::Output, item: Some(path.to_owned()), change: Some(change), old, new }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let item = self.item.as_deref().unwrap_or("");
        match (self.kind, self.change) {
            (Kind::NeverBuilt, _) => f.write_str("never built"),
            (Kind::Prompt, _) => f.write_str("prompt changed"),
            (Kind::Model, _) => f.write_str("runner, model or its parameters changed"),
            (Kind::Template, _) => f.write_str("template changed"),
            (Kind::Expect, _) => f.write_str("what is expected of it changed"),
            (Kind::Output, Some(Change::Added)) => write!(f, "{item} is its place now"),
            (Kind::Output, Some(Change::Removed)) => write!(f, "{item} is gone"),
            (Kind::Output, _) => write!(f, "{item} was edited"),
            (Kind::Item, Some(Change::Added)) => write!(f, "{item} is new in its context"),
            (Kind::Item, Some(Change::Removed)) => write!(f, "{item} left its context"),
            (Kind::Item, _) if self.old == self.new => write!(f, "{item} has another place or form"),
            (Kind::Item, _) => write!(f, "{item} changed"),
        }
    }
}

/// Several reasons in one line, at most three of them by name.
pub fn in_one_line(reasons: &[Reason]) -> String {
    if reasons.is_empty() {
        // What runs without a reason of its own was told to.
        return "forced".into();
    }
    let mut words: Vec<String> = reasons.iter().take(3).map(Reason::to_string).collect();
    if reasons.len() > 3 {
        words.push(format!("and {} more", reasons.len() - 3));
    }
    words.join(", ")
}

/// What differs between two requests' parts, in the order of the request.
pub fn compare(old: &Parts, new: &Parts) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let part = |kind, old: Digest, new: Digest| {
        (old != new).then_some(Reason {
            kind,
            item: None,
            change: Some(Change::Modified),
            old: Some(old),
            new: Some(new),
        })
    };
    reasons.extend(part(Kind::Prompt, old.prompt, new.prompt));
    reasons.extend(part(Kind::Model, old.model, new.model));
    reasons.extend(part(Kind::Template, old.template, new.template));
    for item in &new.items {
        let before = old.items.iter().find(|known| known.item == item.item);
        let change = match before {
            None => Change::Added,
            Some(known) if known == item => continue,
            Some(_) => Change::Modified,
        };
        reasons.push(Reason {
            kind: Kind::Item,
            item: Some(item.item.clone()),
            change: Some(change),
            old: before.map(|known| known.digest),
            new: Some(item.digest),
        });
    }
    for item in &old.items {
        if !new.items.iter().any(|known| known.item == item.item) {
            reasons.push(Reason {
                kind: Kind::Item,
                item: Some(item.item.clone()),
                change: Some(Change::Removed),
                old: Some(item.digest),
                new: None,
            });
        }
    }
    let order = |parts: &Parts| parts.items.iter().map(|item| item.item.clone()).collect::<Vec<_>>();
    if reasons.is_empty()
        && order(old) != order(new)
        && let Some(moved) = new.items.iter().zip(&old.items).find(|(new, old)| new.item != old.item)
    {
        // Only the order differs; the first item that moved stands for it.
        reasons.push(Reason {
            kind: Kind::Item,
            item: Some(moved.0.item.clone()),
            change: Some(Change::Modified),
            old: Some(moved.0.digest),
            new: Some(moved.0.digest),
        });
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Form;
    use crate::request::PartItem;

    fn parts(prompt: &str, items: &[(&str, &str)]) -> Parts {
        Parts {
            prompt: Digest::of(prompt),
            model: Digest::of("m"),
            template: Digest::of("t"),
            items: items
                .iter()
                .map(|(item, text)| PartItem {
                    item: (*item).into(),
                    tier: "requires".into(),
                    form: Form::Full,
                    digest: Digest::of(text),
                })
                .collect(),
        }
    }

    fn check(old: &Parts, new: &Parts, expected: &[(Kind, Option<&str>, Change)]) {
        let found = compare(old, new);
        let found: Vec<_> = found
            .iter()
            .map(|reason| (reason.kind, reason.item.as_deref(), reason.change.unwrap_or(Change::Modified)))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn each_change_is_its_own_reason() {
        check(&parts("p", &[("a", "1")]), &parts("p", &[("a", "1")]), &[]);
        check(&parts("p", &[]), &parts("q", &[]), &[(Kind::Prompt, None, Change::Modified)]);
        check(
            &parts("p", &[("a", "1"), ("b", "1")]),
            &parts("p", &[("b", "2"), ("c", "1")]),
            &[
                (Kind::Item, Some("b"), Change::Modified),
                (Kind::Item, Some("c"), Change::Added),
                (Kind::Item, Some("a"), Change::Removed),
            ],
        );
        check(
            &parts("p", &[("a", "1"), ("b", "1")]),
            &parts("p", &[("b", "1"), ("a", "1")]),
            &[(Kind::Item, Some("b"), Change::Modified)],
        );
    }
}
