//! Differences between the texts of an output, as unified diffs; paged in a terminal.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::json;

use super::{Paint, Shell, plain};
use crate::run::Texts;

/// What a person changed, and the new answer beside it.
pub fn diff(shell: &Shell, output: &str, texts: &Texts) {
    let edits = unified(shell, "built", output, texts.built.as_deref(), texts.on_disk.as_deref());
    let beside = match &texts.beside {
        Some(beside) => unified(shell, output, "new answer", texts.on_disk.as_deref(), Some(beside)),
        None => String::new(),
    };
    if shell.json {
        let plain_shell = Shell::new(super::ColorChoice::Never, false, 0, true);
        let edits = unified(&plain_shell, "built", output, texts.built.as_deref(), texts.on_disk.as_deref());
        shell.json(&json!({
            "output": output, "built": texts.built, "on_disk": texts.on_disk, "new_answer": texts.beside, "diff": edits,
        }));
        return;
    }
    let both = format!("{edits}{beside}");
    if both.is_empty() {
        let word =
            if texts.built.is_some() { "is as it was built" } else { "has no built text to compare with" };
        shell.out(&format!("{} {word}", plain(output)));
    } else {
        page(shell, &both);
    }
}

/// An output that awaits approval, against the text that was approved last.
pub fn approval(shell: &Shell, id: &str, output: &str, texts: &Texts) {
    shell.out(&format!("{} ({})", shell.paint(Paint::Name, &plain(id)), plain(output)));
    match &texts.approved {
        Some(approved) => {
            shell.raw(&unified(shell, "approved", output, Some(approved), texts.on_disk.as_deref()))
        }
        None => shell.out(&plain(texts.on_disk.as_deref().unwrap_or_default())),
    }
}

pub(super) fn unified(
    shell: &Shell,
    old_name: &str,
    new_name: &str,
    old: Option<&str>,
    new: Option<&str>,
) -> String {
    let (Some(old), Some(new)) = (old.map(super::clean), new.map(super::clean)) else { return String::new() };
    if old == new {
        return String::new();
    }
    let patch = diffy::DiffOptions::new()
        .set_original_filename(old_name.to_owned())
        .set_modified_filename(new_name.to_owned())
        .create_patch(&old, &new);
    let mut shown = String::new();
    for line in plain(&patch.to_string()).lines() {
        let paint = match line.as_bytes().first() {
            Some(b'+') => Some(Paint::Good),
            Some(b'-') => Some(Paint::Bad),
            Some(b'@') => Some(Paint::Dim),
            _ => None,
        };
        shown.push_str(&paint.map_or_else(|| line.to_owned(), |paint| shell.paint(paint, line)));
        shown.push('\n');
    }
    shown
}

/// Through the person's pager in a terminal, as it is elsewhere.
pub(super) fn page(shell: &Shell, text: &str) {
    if !shell.terminal {
        return shell.raw(text);
    }
    let pager = std::env::var("PAGER").unwrap_or_else(|_| "less".into());
    let mut words = pager.split_whitespace();
    let started = words.next().and_then(|program| {
        Command::new(program).args(words).env("LESS", "FRX").stdin(Stdio::piped()).spawn().ok()
    });
    match started {
        Some(mut child) => {
            if let Some(pipe) = &mut child.stdin {
                // A pager that is left early has shown enough.
                let _ = pipe.write_all(text.as_bytes());
            }
            let _ = child.wait();
        }
        None => shell.raw(text),
    }
}
