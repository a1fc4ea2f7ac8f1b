//! What came of a project since a revision, as Markdown for a pull request and as JSON.

use serde_json::json;

use super::ci::cell;
use super::status::word;
use super::{Shell, counted, grouped, money};
use crate::plan::State;
use crate::request::{Change, in_one_line};
use crate::run::{Happened, Line, Report, Took};

/// By this line a later report finds the comment of an earlier one.
const MARK: &str = "<!-- meu:report -->";

/// The most bytes of a report: GitHub takes no longer comment than 65,536 characters.
const LONGEST: usize = 60_000;

/// As JSON.
pub fn report_as_json(shell: &Shell, since: &str, report: &Report) {
    let tasks: Vec<_> = report
        .lines
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
            let reasons = match (&line.now, line.happened) {
                (Some(row), Happened::Nothing) => &row.reasons,
                _ => &line.reasons,
            };
            json!({
                "id": line.task, "change": line.happened.word(),
                "state": line.now.as_ref().map(|row| row.state.word()),
                "message": line.now.as_ref().and_then(|row| row.message.as_ref()),
                "reasons": reasons, "output": line.output,
                "tokens_in": line.took.map(|took| took.tokens_in), "tokens_out": line.took.map(|took| took.tokens_out),
                "cost": line.took.and_then(|took| took.cost), "items": items,
            })
        })
        .collect();
    let Took { tokens_in, tokens_out, cost } = report.took;
    shell.json(&json!({
        "since": since, "tasks": tasks, "tokens_in": tokens_in, "tokens_out": tokens_out, "cost": cost,
        "partial": report.is_partial(),
    }));
}

/// The files that a commit of what was made should hold, a line each.
pub fn report_as_paths(shell: &Shell, paths: &[String]) {
    // As they are: another program reads them.
    paths.iter().for_each(|path| shell.raw(&format!("{path}\n")));
}

/// As Markdown: a table, and below it what changed in each context.
pub fn report_as_markdown(shell: &Shell, since: &str, report: &Report) {
    let since = cell(since);
    let lines = &report.lines;
    if lines.is_empty() {
        return shell.out(&format!("{MARK}\n### meu: nothing changed since {since}"));
    }
    let count = |happened: &[Happened]| lines.iter().filter(|line| happened.contains(&line.happened)).count();
    let counts = [
        (count(&[Happened::New, Happened::Built]), "made"),
        (count(&[Happened::Adopted]), "adopted"),
        (count(&[Happened::Approved]), "approved"),
        (count(&[Happened::Removed]), "removed"),
        (lines.iter().filter(|line| !line.is_good()).count(), "not up to date"),
    ];
    let counts: Vec<String> =
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    let mut text = format!("{MARK}\n### meu: {} since {since}\n\n", counts.join(", "));
    let Took { tokens_in, tokens_out, cost } = report.took;
    let at_least = if report.is_partial() { "at least " } else { "" };
    if tokens_in + tokens_out > 0 {
        let (tokens_in, tokens_out) = (grouped(tokens_in), grouped(tokens_out));
        text.push_str(&format!("{at_least}{tokens_in} tokens in, {tokens_out} out, {}\n\n", money(cost)));
    }
    text.push_str("| task | what | why | tokens in | out | cost | output |\n| --- | --- | --- | ---: | ---: | ---: | --- |\n");
    for (nth, line) in lines.iter().enumerate() {
        if text.len() > LONGEST {
            text.push_str(&format!("\nand {} more\n", lines.len() - nth));
            break;
        }
        text.push_str(&row(line));
    }
    let changed: Vec<&Line> = lines.iter().filter(|line| !line.items.is_empty()).collect();
    let details = details(&changed);
    if text.len() + details.len() <= LONGEST {
        text.push_str(&details);
    } else {
        text.push_str(
            "\nWhat changed in the contexts is left out, the report would be too long; `meu why` tells it.\n",
        );
    }
    shell.out(text.trim_end());
}

/// A line of the table.
fn row(line: &Line) -> String {
    let what = match &line.now {
        Some(now) if !matches!(now.state, State::Fresh | State::Duplicate) => {
            format!("{}, {}", line.happened.word(), now.state.word())
        }
        _ => line.happened.word().to_owned(),
    };
    let why = match (line.happened, &line.now) {
        (Happened::New | Happened::Built, _) => in_one_line(&line.reasons),
        (Happened::Nothing, Some(now)) => word(now),
        _ => String::new(),
    };
    let number = |n: Option<u64>| n.map_or(String::new(), grouped);
    let cells = [
        cell(&line.task),
        what,
        cell(&why),
        number(line.took.map(|took| took.tokens_in)),
        number(line.took.map(|took| took.tokens_out)),
        line.took.and_then(|took| took.cost).map_or(String::new(), |cost| format!("{cost:.4}")),
        cell(&line.output),
    ];
    format!("| {} |\n", cells.join(" | "))
}

/// What changed in each context.
fn details(changed: &[&Line]) -> String {
    if changed.is_empty() {
        return String::new();
    }
    let contexts = counted(changed.len(), "context");
    let mut text = format!("\n<details><summary>What changed in {contexts}</summary>\n");
    for line in changed {
        text.push_str(&format!("\n{}\n\n", cell(&line.task)));
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
    text + "\n</details>\n"
}
