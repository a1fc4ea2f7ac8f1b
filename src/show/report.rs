//! What came of a project since a revision, as Markdown for a pull request and as JSON.

use serde_json::json;

use super::ci::cell;
use super::{Shell, counted, grouped, money};
use crate::request::{Change, in_one_line};
use crate::run::{Happened, Line};

/// By this line a later report finds the comment of an earlier one.
const MARK: &str = "<!-- meu:report -->";

/// The sums of what is known: tokens sent and answered, and the cost if all of it is.
fn sums(lines: &[Line]) -> (u64, u64, Option<f64>) {
    let known = lines.iter().filter_map(|line| line.spent);
    known.fold((0, 0, Some(0.0)), |(tokens_in, tokens_out, cost), (more_in, more_out, more)| {
        (tokens_in + more_in, tokens_out + more_out, cost.zip(more).map(|(cost, more)| cost + more))
    })
}

/// As JSON.
pub fn report_as_json(shell: &Shell, since: &str, lines: &[Line]) {
    let (tokens_in, tokens_out, cost) = sums(lines);
    let tasks: Vec<_> = lines
        .iter()
        .map(|line| {
            let items: Vec<_> = line
                .items
                .iter()
                .map(|item| {
                    json!({
                        "ref": item.item, "change": item.change,
                        "tokens_old": item.tokens.0, "tokens_new": item.tokens.1,
                    })
                })
                .collect();
            json!({
                "id": line.task, "change": line.happened.word(), "state": line.state.map(|state| state.word()),
                "reasons": line.reasons, "output": line.output,
                "tokens_in": line.spent.map(|spent| spent.0), "tokens_out": line.spent.map(|spent| spent.1),
                "cost": line.spent.and_then(|spent| spent.2), "items": items,
            })
        })
        .collect();
    shell.json(&json!({
        "since": since, "tasks": tasks, "tokens_in": tokens_in, "tokens_out": tokens_out, "cost": cost,
    }));
}

/// As Markdown: a table, and below it what changed in each context.
pub fn report_as_markdown(shell: &Shell, since: &str, lines: &[Line]) {
    let since = cell(since);
    if lines.is_empty() {
        return shell.out(&format!("{MARK}\n### meu: nothing changed since {since}"));
    }
    let count = |happened: &[Happened]| lines.iter().filter(|line| happened.contains(&line.happened)).count();
    let counts = [
        (count(&[Happened::New, Happened::Built]), "built"),
        (count(&[Happened::Adopted]), "adopted"),
        (count(&[Happened::Approved]), "approved"),
        (count(&[Happened::Removed]), "removed"),
        (lines.iter().filter(|line| !up_to_date(line)).count(), "not up to date"),
    ];
    let counts: Vec<String> =
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    let (tokens_in, tokens_out, cost) = sums(lines);
    let mut text = format!("{MARK}\n### meu: {} since {since}\n\n", counts.join(", "));
    if tokens_in + tokens_out > 0 {
        let (tokens_in, tokens_out) = (grouped(tokens_in), grouped(tokens_out));
        text.push_str(&format!("{tokens_in} tokens in, {tokens_out} out, {}\n\n", money(cost)));
    }
    text.push_str("| task | what | why | tokens in | out | cost | output |\n| --- | --- | --- | ---: | ---: | ---: | --- |\n");
    for line in lines {
        let what = match line.state {
            Some(state) if !up_to_date(line) => format!("{}, {}", line.happened.word(), state.word()),
            _ => line.happened.word().to_owned(),
        };
        let why = match line.happened {
            Happened::New | Happened::Built => in_one_line(&line.reasons),
            _ => String::new(),
        };
        let number = |n: Option<u64>| n.map_or(String::new(), grouped);
        let cells = [
            cell(&line.task),
            what,
            cell(&why),
            number(line.spent.map(|spent| spent.0)),
            number(line.spent.map(|spent| spent.1)),
            line.spent.and_then(|spent| spent.2).map_or(String::new(), |cost| format!("{cost:.4}")),
            cell(&line.output),
        ];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    let changed: Vec<&Line> = lines.iter().filter(|line| !line.items.is_empty()).collect();
    if !changed.is_empty() {
        let contexts = counted(changed.len(), "context");
        text.push_str(&format!("\n<details><summary>What changed in {contexts}</summary>\n"));
        for line in changed {
            text.push_str(&format!("\n**{}**\n\n", cell(&line.task)));
            for item in &line.items {
                let word = match item.change {
                    Change::Added => "added",
                    Change::Removed => "removed",
                    Change::Modified => "modified",
                };
                let tokens = match item.tokens {
                    (0, 0) => String::new(),
                    (old, 0) => format!(", {} tokens", grouped(old as u64)),
                    (0, new) => format!(", {} tokens", grouped(new as u64)),
                    (old, new) => format!(", {} to {} tokens", grouped(old as u64), grouped(new as u64)),
                };
                text.push_str(&format!("- {word} {}{tokens}\n", cell(&item.item)));
            }
        }
        text.push_str("\n</details>\n");
    }
    shell.out(text.trim_end());
}

fn up_to_date(line: &Line) -> bool {
    use crate::plan::State;
    line.state.is_none_or(|state| matches!(state, State::Fresh | State::Duplicate | State::Edited))
}
