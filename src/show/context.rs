//! A context as a table, as JSON, or as the text that would be sent.

use serde_json::json;

use super::{Paint, Shell, grouped, plain};
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
