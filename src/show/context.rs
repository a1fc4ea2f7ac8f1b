//! A context as a table, as JSON, or as the text that would be sent.

use serde_json::{Value, json};

use super::{Paint, Shell, columns, grouped, in_column, plain};
use crate::context::{Dropped, Form, Hit, Item};
use crate::digest::Digest;
use crate::graph::{Graph, Ix};
use crate::request::{Assembled, Change};
use crate::run::ItemChange;
use crate::spec::{ItemRef, Tier};

/// How much of a bundle is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The items.
    Items,
    /// The items and what the retriever nearly chose.
    Candidates,
    /// The very text that would be sent.
    Full,
}

/// The bundle of a task.
pub fn context(shell: &Shell, graph: &Graph, ix: Ix, assembled: &Assembled, depth: Depth) {
    if shell.json {
        return shell.json(&as_json(graph, ix, assembled, depth));
    }
    if depth == Depth::Full {
        for message in &assembled.request.messages {
            shell.out(&shell.paint(Paint::Dim, &format!("--- {} ---", message.role)));
            shell.out(&plain(message.content.trim_end()));
        }
        return;
    }
    as_lines(shell, graph, ix, assembled);
    if depth == Depth::Candidates {
        candidates(shell, &assembled.bundle.hits);
    }
}

fn as_json(graph: &Graph, ix: Ix, assembled: &Assembled, depth: Depth) -> Value {
    let (node, bundle) = (graph.node(ix), &assembled.bundle);
    let item = |item: &Item| {
        let mut value = json!({
            "ref": item.item.to_string(),
            "tier": item.tier.word(),
            "form": item.form.word(),
            "pinned": item.pinned,
            "tokens": item.tokens,
            "tokens_full": item.tokens_full,
            "digest": item.digest(),
        });
        if let Some(hit) = hit_of(assembled, item) {
            value["rank"] = json!(hit.rank);
            value["score"] = json!(hit.score);
            value["matched"] = json!(hit.matched);
        }
        if depth == Depth::Full {
            value["content"] = json!(item.text);
        }
        value
    };
    let dropped = |dropped: &Dropped| {
        json!({
            "ref": dropped.item.to_string(),
            "tier": dropped.tier.word(),
            "reason": dropped.reason,
            "tokens_full": dropped.tokens_full,
        })
    };
    let mut value = json!({
        "task": node.id(),
        "budget": node.policy.budget,
        "used": bundle.used,
        "tokenizer": node.policy.tokenizer.word(),
        "digest": assembled.digest,
        "items": bundle.items.iter().map(item).collect::<Vec<_>>(),
        "dropped": bundle.dropped.iter().map(dropped).collect::<Vec<_>>(),
    });
    if depth == Depth::Candidates {
        value["candidates"] = bundle.hits.iter().map(hit_as_json).collect();
    }
    value
}

fn as_lines(shell: &Shell, graph: &Graph, ix: Ix, assembled: &Assembled) {
    let (node, bundle) = (graph.node(ix), &assembled.bundle);
    let policy = &node.policy;
    let share = bundle.used as u64 * 100 / (policy.budget.max(1) as u64);
    shell.out(&format!(
        "{}: {} of {} tokens ({share} %), counted with {}; request {}",
        plain(node.id()),
        grouped(bundle.used as u64),
        grouped(policy.budget as u64),
        policy.tokenizer.word(),
        assembled.digest.short()
    ));
    let name = |item: &ItemRef| plain(&item.to_string());
    let names: Vec<String> = bundle
        .items
        .iter()
        .map(|item| name(&item.item))
        .chain(bundle.dropped.iter().map(|dropped| name(&dropped.item)))
        .collect();
    let width = columns(names.iter().map(String::as_str), 48);
    for item in &bundle.items {
        let of = match item.form {
            Form::Shortened => format!("of {}", grouped(item.tokens_full as u64)),
            _ => String::new(),
        };
        let bar = "#".repeat((item.tokens * 20).div_ceil(policy.budget.max(1)).min(20));
        let pin = if item.pinned { " pinned" } else { "" };
        let line = format!(
            "  {:9} {} {:9} {:>7} {of:10} {}{pin}",
            item.tier.word(),
            in_column(&name(&item.item), width),
            item.form.word(),
            grouped(item.tokens as u64),
            shell.paint(Paint::Good, &bar),
        );
        shell.out(line.trim_end());
        if let Some(hit) = hit_of(assembled, item) {
            let why = format!("            rank {}, score {}: {}", hit.rank, score(hit), matched(hit));
            shell.out(&shell.paint(Paint::Dim, &why));
        }
    }
    for dropped in &bundle.dropped {
        let line = format!(
            "  {:9} {} left out: {}",
            dropped.tier.word(),
            in_column(&name(&dropped.item), width),
            plain(&dropped.reason)
        );
        shell.out(&shell.paint(Paint::Dim, &line));
    }
    if bundle.items.is_empty() && bundle.dropped.is_empty() {
        shell.out("  no items");
    }
}

/// The hit that brought an item in.
fn hit_of<'a>(assembled: &'a Assembled, item: &Item) -> Option<&'a Hit> {
    let mut hits = assembled.bundle.hits.iter().filter(|_| item.tier == Tier::Retrieved);
    hits.find(|hit| hit.item == item.item)
}

/// A score: of words, or of fused ranks, which are small.
fn score(hit: &Hit) -> String {
    if hit.score < 1.0 { format!("{:.4}", hit.score) } else { format!("{:.2}", hit.score) }
}

/// The words that made a passage a hit, few of them.
fn matched(hit: &Hit) -> String {
    if hit.matched.is_empty() {
        return "near in meaning, no word in common".into();
    }
    let few: Vec<String> = hit.matched.iter().take(8).map(|word| plain(word)).collect();
    let more = if hit.matched.len() > few.len() { ", …" } else { "" };
    format!("{}{more}", few.join(", "))
}

fn hit_as_json(hit: &Hit) -> Value {
    json!({
        "ref": hit.item.to_string(), "rank": hit.rank, "score": hit.score, "matched": hit.matched,
        "chosen": hit.passed_over.is_none(), "reason": hit.passed_over,
    })
}

/// What the retriever looked at, the best first.
fn candidates(shell: &Shell, hits: &[Hit]) {
    shell.out("candidates for the retrieved tier:");
    for hit in hits {
        let verdict = match &hit.passed_over {
            None => shell.paint(Paint::Good, "in"),
            Some(reason) if reason.starts_with("in already") => plain(reason),
            Some(reason) => format!("not in: {}", plain(reason)),
        };
        let line =
            format!("  {:>3}  {:>6}  {}  {verdict}", hit.rank, score(hit), plain(&hit.item.to_string()));
        shell.out(&line);
        shell.out(&shell.paint(Paint::Dim, &format!("               {}", matched(hit))));
    }
    if hits.is_empty() {
        shell.out("  none: nothing is searched, or no text has a word of title and prompt");
    }
}

/// The hits of a search with their snippets, the best first.
pub fn hits(shell: &Shell, hits: &[(Hit, String)]) {
    if shell.json {
        let rows: Vec<_> = hits
            .iter()
            .map(|(hit, snippet)| {
                json!({
                    "ref": hit.item.to_string(), "score": hit.score, "snippet": snippet, "matched": hit.matched,
                })
            })
            .collect();
        shell.json(&json!({"hits": rows}));
        return;
    }
    for (hit, snippet) in hits {
        let item = shell.paint(Paint::Name, &plain(&hit.item.to_string()));
        shell.out(&format!("{:>6}  {item}", score(hit)));
        shell.out(&format!("        {}", plain(snippet)));
    }
    if hits.is_empty() {
        shell.note("no passage has a word of that");
    }
}

/// The contexts that were sent for a task, oldest first.
pub fn history(shell: &Shell, id: &str, sent: &[Value]) {
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
    let word = |event: &Value, key: &str| plain(event[key].as_str().unwrap_or("-"));
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
pub fn context_diff(shell: &Shell, id: &str, old: Digest, new: Digest, changes: &[ItemChange]) {
    if shell.json {
        let items: Vec<_> = changes
            .iter()
            .map(|change| {
                let (old, new) = change.tokens;
                json!({"ref": change.item, "change": change.change, "tokens_old": old, "tokens_new": new})
            })
            .collect();
        shell.json(&json!({"task": id, "old": old, "new": new, "items": items}));
        return;
    }
    shell.out(&format!("{}: {} -> {}", plain(id), old.short(), new.short()));
    for ItemChange { item, change, tokens } in changes {
        let (sign, paint) = match change {
            Change::Added => ("+", Paint::Good),
            Change::Removed => ("-", Paint::Bad),
            Change::Modified => ("~", Paint::Warn),
        };
        let tokens = match tokens {
            (0, 0) => String::new(),
            (before, after) => format!("  {} -> {} tokens", grouped(*before as u64), grouped(*after as u64)),
        };
        shell.out(&format!("  {} {}{tokens}", shell.paint(paint, sign), plain(item)));
    }
    if changes.is_empty() {
        let same =
            if old == new { "the same request" } else { "the same items; the words around them differ" };
        shell.out(&format!("  {same}"));
    }
}
