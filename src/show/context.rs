//! A context as a table, as JSON, or as the text that would be sent.

use serde_json::json;

use super::{Paint, Shell, grouped, plain};
use crate::digest::Digest;
use crate::disk::SentItem;
use crate::graph::{Graph, Ix};
use crate::request::Assembled;

/// The bundle of a task.
pub fn context(shell: &Shell, graph: &Graph, ix: Ix, assembled: &Assembled, full: bool) {
    let node = graph.node(ix);
    let bundle = &assembled.bundle;
    let policy = &node.policy;
    if shell.json {
        let items: Vec<_> = bundle
            .items
            .iter()
            .map(|item| {
                let mut value = json!({
                    "ref": item.item.to_string(),
                    "tier": item.tier.word(),
                    "form": item.form.word(),
                    "pinned": item.pinned,
                    "tokens": item.tokens,
                    "tokens_full": item.tokens_full,
                    "digest": item.digest(),
                });
                if full {
                    value["content"] = json!(item.text);
                }
                value
            })
            .collect();
        let dropped: Vec<_> = bundle
            .dropped
            .iter()
            .map(|dropped| {
                json!({
                    "ref": dropped.item.to_string(),
                    "tier": dropped.tier.word(),
                    "reason": dropped.reason,
                    "tokens_full": dropped.tokens_full,
                })
            })
            .collect();
        shell.json(&json!({
            "task": node.id(),
            "budget": policy.budget,
            "used": bundle.used,
            "tokenizer": policy.tokenizer.word(),
            "digest": assembled.digest,
            "items": items,
            "dropped": dropped,
        }));
        return;
    }
    if full {
        for message in &assembled.request.messages {
            shell.out(&shell.paint(Paint::Dim, &format!("--- {} ---", message.role)));
            shell.out(&plain(message.content.trim_end()));
        }
        return;
    }
    let share = bundle.used as u64 * 100 / (policy.budget.max(1) as u64);
    shell.out(&format!(
        "{}: {} of {} tokens ({share} %), counted with {}; request {}",
        plain(node.id()),
        grouped(bundle.used as u64),
        grouped(policy.budget as u64),
        policy.tokenizer.word(),
        assembled.digest.short()
    ));
    let name = |item: &crate::spec::ItemRef| plain(&item.to_string());
    let width = bundle
        .items
        .iter()
        .map(|item| name(&item.item).len())
        .chain(bundle.dropped.iter().map(|dropped| name(&dropped.item).len()))
        .max()
        .unwrap_or(0)
        .min(48);
    for item in &bundle.items {
        let of = match item.form {
            crate::context::Form::Shortened => format!("of {}", grouped(item.tokens_full as u64)),
            _ => String::new(),
        };
        let bar = "#".repeat((item.tokens * 20).div_ceil(policy.budget.max(1)).min(20));
        let pin = if item.pinned { " pinned" } else { "" };
        let line = format!(
            "  {:9} {:width$} {:9} {:>7} {of:10} {}{pin}",
            item.tier.word(),
            name(&item.item),
            item.form.word(),
            grouped(item.tokens as u64),
            shell.paint(Paint::Good, &bar),
        );
        shell.out(line.trim_end());
    }
    for dropped in &bundle.dropped {
        let line = format!(
            "  {:9} {:width$} left out: {}",
            dropped.tier.word(),
            name(&dropped.item),
            plain(&dropped.reason)
        );
        shell.out(&shell.paint(Paint::Dim, &line));
    }
    if bundle.items.is_empty() && bundle.dropped.is_empty() {
        shell.out("  no items");
    }
}

/// The contexts that were sent for a task, oldest first.
pub fn history(shell: &Shell, id: &str, sent: &[serde_json::Value]) {
    if shell.json {
        let rows: Vec<_> = sent
            .iter()
            .map(|event| {
                json!({
                    "run": event["run"], "at": event["at"], "request": event["request"], "status": event["status"],
                    "tokens_in": event["tokens_in"], "reason": event["reason"],
                })
            })
            .collect();
        shell.json(&json!({"task": id, "contexts": rows}));
        return;
    }
    let word = |event: &serde_json::Value, key: &str| plain(event[key].as_str().unwrap_or("-"));
    for event in sent {
        let request: String = word(event, "request").chars().take(12).collect();
        let tokens = grouped(event["tokens_in"].as_u64().unwrap_or_default());
        let (at, status, reason) = (word(event, "at"), word(event, "status"), word(event, "reason"));
        shell.out(&format!("{at}  {request}  {status:8} {tokens:>8} tokens  {reason}"));
    }
    if sent.is_empty() {
        shell.note("no run of it is kept");
    }
}

/// Items in, out and changed between two contexts, with their tokens.
pub fn context_diff(shell: &Shell, id: &str, old: &(Digest, Vec<SentItem>), new: &(Digest, Vec<SentItem>)) {
    let mut rows: Vec<(&str, &str, usize, usize)> = Vec::new();
    for item in &new.1 {
        let name = item.part.item.as_str();
        match old.1.iter().find(|known| known.part.item == item.part.item) {
            None => rows.push(("added", name, 0, item.tokens)),
            Some(known) if known.part == item.part => {}
            Some(known) => rows.push(("modified", name, known.tokens, item.tokens)),
        }
    }
    let gone = old.1.iter().filter(|item| !new.1.iter().any(|known| known.part.item == item.part.item));
    rows.extend(gone.map(|item| ("removed", item.part.item.as_str(), item.tokens, 0)));
    if shell.json {
        let items: Vec<_> = rows
            .iter()
            .map(|(change, item, old, new)| json!({"ref": item, "change": change, "tokens_old": old, "tokens_new": new}))
            .collect();
        shell.json(&json!({"task": id, "old": old.0, "new": new.0, "items": items}));
        return;
    }
    shell.out(&format!("{}: {} -> {}", plain(id), old.0.short(), new.0.short()));
    for (change, item, before, after) in &rows {
        let (sign, paint) = match *change {
            "added" => ("+", Paint::Good),
            "removed" => ("-", Paint::Bad),
            _ => ("~", Paint::Warn),
        };
        let tokens = match (before, after) {
            (0, 0) => String::new(),
            (before, after) => format!("  {} -> {} tokens", grouped(*before as u64), grouped(*after as u64)),
        };
        shell.out(&format!("  {} {}{tokens}", shell.paint(paint, sign), plain(item)));
    }
    if rows.is_empty() {
        let same =
            if old.0 == new.0 { "the same request" } else { "the same items; the words around them differ" };
        shell.out(&format!("  {same}"));
    }
}
