//! Runs that are kept: a line a run, a line a task, a line a try.

use serde_json::{Value, json};

use super::{Paint, Shell, columns, counted, grouped, in_column, money, plain, unknown};
use crate::disk::{KeptRun, RunSums, SentItem};

fn word<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}

fn status_paint(status: &str) -> Paint {
    match status {
        "done" | "built" | "cached" => Paint::Good,
        "failed" => Paint::Bad,
        _ => Paint::Warn,
    }
}

/// The runs, the oldest first, and their sums.
pub fn log(shell: &Shell, runs: &[(KeptRun, RunSums)]) {
    let row = |run: &KeptRun, sums: &RunSums| {
        json!({
            "run": run.name, "started": run.started, "finished": run.finished(), "status": run.status(),
            "built": sums.built, "cached": sums.cached, "failed": sums.failed,
            "tokens_in": sums.tokens_in, "tokens_out": sums.tokens_out, "cost": sums.cost,
            "unknown": sums.unknown, "cost_unknown": sums.cost_unknown,
        })
    };
    if shell.json {
        let rows: Vec<Value> = runs.iter().map(|(run, sums)| row(run, sums)).collect();
        return shell.json(&json!({"runs": rows}));
    }
    for (run, sums) in runs {
        let status = shell.paint(status_paint(run.status()), &format!("{:>11}", run.status()));
        shell.out(&format!("{}  {}  {status}  {}", plain(&run.name), plain(&run.started), of(sums)));
    }
    match runs.len() {
        0 => shell.note("no such run is kept"),
        1 => {}
        several => {
            let all = runs.iter().fold(RunSums::nothing(), |all, (_, one)| all.and(*one));
            shell.out(&format!("{}: {}", counted(several, "run"), of(&all)));
        }
    }
}

fn of(sums: &RunSums) -> String {
    let mut parts = vec![format!("{} built", sums.built)];
    for (n, what) in [(sums.cached, "cached"), (sums.failed, "failed")] {
        if n > 0 {
            parts.push(format!("{n} {what}"));
        }
    }
    let unknown = unknown(sums.unknown as usize, sums.cost_unknown);
    format!(
        "{}; {} tokens in, {} out, {}{unknown}",
        parts.join(", "),
        grouped(sums.tokens_in),
        grouped(sums.tokens_out),
        money(sums.cost)
    )
}

/// One run: its tasks with their reasons.
pub fn run(shell: &Shell, run: &KeptRun) {
    if shell.json {
        let events: Vec<&Value> = run.events.iter().collect();
        return shell.json(&json!({"run": run.name, "status": run.status(), "events": events}));
    }
    let finished = run.finished().unwrap_or("never");
    shell.out(&format!("run {}: {} to {finished}, {}", plain(&run.name), plain(&run.started), run.status()));
    let width = columns(run.of("task_finished").map(|task| word(task, "task")), 40);
    for event in &run.events {
        match word(event, "event") {
            "task_finished" => {
                let status = word(event, "status");
                let painted = shell.paint(status_paint(status), &format!("{status:>8}"));
                let (task, reason) = (in_column(word(event, "task"), width), plain(word(event, "reason")));
                let tokens = match number(event, "tokens_in") + number(event, "tokens_out") {
                    0 => String::new(),
                    _ => format!(
                        "  ({} tokens in, {} out, {}, {} ms)",
                        grouped(number(event, "tokens_in")),
                        grouped(number(event, "tokens_out")),
                        money(event["cost"].as_f64()),
                        number(event, "ms")
                    ),
                };
                shell.out(&format!("{painted} {task}  {reason}{}", shell.paint(Paint::Dim, &tokens)));
            }
            "notice" => shell.out(&format!("{:>8} {}", "", plain(word(event, "message")))),
            _ => {}
        }
    }
    shell.out(&of(&run.sums()));
}

/// One task of a run: each try, and what came of it.
pub fn run_task(shell: &Shell, run: &KeptRun, events: &[&Value]) {
    if shell.json {
        return shell.json(&json!({"run": run.name, "events": events}));
    }
    for event in events {
        let line = |name: &str, text: &str| {
            if !text.is_empty() {
                shell.out(&format!("  {name:<9} {}", plain(text)));
            }
        };
        match word(event, "event") {
            "task_tried" => {
                let model = [word(event, "gen_ai.response.model"), word(event, "gen_ai.request.model")];
                let model = model.into_iter().find(|model| !model.is_empty()).unwrap_or("no model named");
                shell.out(&format!("asked {} for {}", plain(word(event, "provider")), plain(model)));
                let parameters: Vec<String> = ["temperature", "max_tokens", "seed"]
                    .into_iter()
                    .filter_map(|name| {
                        let value = &event[format!("gen_ai.request.{name}")];
                        (!value.is_null()).then(|| format!("{name} {value}"))
                    })
                    .collect();
                line("with", &parameters.join(", "));
                line("request", word(event, "request"));
                let mut tokens = format!(
                    "{} in, {} out, {}",
                    grouped(number(event, "gen_ai.usage.input_tokens")),
                    grouped(number(event, "gen_ai.usage.output_tokens")),
                    money(event["cost"].as_f64())
                );
                for (key, what) in [
                    ("gen_ai.usage.cache_read.input_tokens", "cached"),
                    ("gen_ai.usage.reasoning.output_tokens", "of reasoning"),
                ] {
                    if number(event, key) > 0 {
                        tokens.push_str(&format!(", {} {what}", grouped(number(event, key))));
                    }
                }
                line("tokens", &tokens);
                line("took", &format!("{} ms, {} retries", number(event, "ms"), number(event, "retries")));
                if number(event, "unknown") > 0 {
                    line(
                        "unknown",
                        &format!("{} calls broke off; they may have been paid for", number(event, "unknown")),
                    );
                }
                line("error", word(event, "error"));
                line("text", word(event, "text"));
            }
            "task_finished" => {
                let status = word(event, "status");
                let status = shell.paint(status_paint(status), status);
                shell.out(&format!("{status}: {}", plain(word(event, "reason"))));
                line("request", word(event, "request"));
                line("output", &format!("{} {}", word(event, "output"), word(event, "digest")));
            }
            _ => {}
        }
    }
}

/// The items that were in a request.
pub fn sent_items(shell: &Shell, run: &str, task: &str, items: &[SentItem]) {
    if shell.json {
        return shell.json(&json!({"run": run, "task": task, "items": items}));
    }
    for item in items {
        let part = &item.part;
        shell.out(&format!(
            "  {:9} {:30} {:9} {:>7} tokens  {}",
            part.tier,
            plain(&part.item),
            part.form.word(),
            grouped(item.tokens as u64),
            part.digest.short()
        ));
    }
    if items.is_empty() {
        shell.note("no item was in it");
    }
}
