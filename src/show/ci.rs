//! What a CI system shows of `status --check`: annotations at the files, and a summary in Markdown. The forms
//! are GitHub's workflow commands and job summaries; others that know them take them, too.

use super::status::word;
use super::{Shell, clean, counted, plain};
use crate::plan::State;
use crate::run::Row;

/// An annotation at each output that is not up to date. `folder` is the project's, from the repository's.
pub fn annotations(shell: &Shell, rows: &[Row], folder: &str) {
    for row in rows.iter().filter(|row| !row.passes_check() || row.state == State::Edited) {
        let level = if row.passes_check() { "notice" } else { "error" };
        let file = match folder {
            "" => row.output.clone(),
            folder => format!("{folder}/{}", row.output),
        };
        let title = property(&format!("{} is {}", row.id, row.state.word()));
        shell.own(&format!("::{level} file={},title={title}::{}", property(&file), message(&told(row))));
    }
}

/// The job's summary: what is not up to date and why, as a table.
pub fn job_summary(rows: &[Row], tasks: usize) -> String {
    let bad: Vec<&Row> = rows.iter().filter(|row| !row.passes_check()).collect();
    let edited: Vec<&Row> =
        rows.iter().filter(|row| row.passes_check() && row.state == State::Edited).collect();
    let mut text = match bad.len() {
        0 => format!("### meu: {} up to date\n", counted(tasks, "task")),
        some => format!("### meu: {some} of {} not up to date\n", counted(tasks, "task")),
    };
    for (head, rows) in [("", bad), ("Edited by a person:\n\n", edited)] {
        if rows.is_empty() {
            continue;
        }
        text.push_str(&format!("\n{head}| task | state | why | output |\n| --- | --- | --- | --- |\n"));
        for row in rows {
            let [id, why, output] = [row.id.as_str(), &told(row), &row.output].map(cell);
            text.push_str(&format!("| {id} | {} | {why} | {output} |\n", row.state.word()));
        }
    }
    text
}

/// Why a task is as it is; never nothing.
fn told(row: &Row) -> String {
    match (row.state, word(row)) {
        (State::Awaiting, _) => format!("a person must approve {}", row.output),
        (state, why) if why.is_empty() => state.word().to_owned(),
        (_, why) => why,
    }
}

/// A message of a workflow command.
fn message(text: &str) -> String {
    plain(&clean(text)).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a workflow command.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

/// A cell of a table, as code: no words of a project end it, mention anybody, or are read as markup. What is
/// never shown is taken out.
pub(super) fn cell(text: &str) -> String {
    let text = plain(&clean(text)).split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    if text.is_empty() {
        return text;
    }
    // A fence longer than any in it. (CommonMark 0.31, section 6.1.)
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let gap = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{gap}{text}{gap}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, state: State, message: &str) -> Row {
        Row {
            id: id.into(),
            state,
            reasons: Vec::new(),
            output: format!("out/{id}.md"),
            plan: String::new(),
            priority: Some(100),
            level: Some(0),
            on: Vec::new(),
            message: Some(message.into()),
            unchanged: None,
        }
    }

    #[test]
    fn a_summary_is_one_table_whatever_words_are_in_it() {
        let rows = [
            row("a", State::Fresh, ""),
            row("b", State::Failed, "x | <img src=y>\n::error::z"),
            row("c", State::Awaiting, ""),
        ];
        assert_eq!(
            job_summary(&rows, 3),
            "### meu: 2 of 3 tasks not up to date\n\n| task | state | why | output |\n| --- | --- | --- | --- |\n\
             | `b` | failed | `x \\| <img src=y> \\::error::z` | `out/b.md` |\n\
             | `c` | awaiting | `a person must approve out/c.md` | `out/c.md` |\n"
        );
        assert_eq!(job_summary(&rows[..1], 1), "### meu: 1 task up to date\n");
    }

    #[test]
    fn a_workflow_command_is_one_line() {
        assert_eq!(message("100 %\nof it"), "100 %25%0Aof it");
        assert_eq!(property("a: b, c"), "a%3A b%2C c");
    }
}
