//! Where an output comes from, as a tree.

use serde_json::Value;

use super::{Paint, Shell, plain};

/// Shows a trace.
pub fn trace(shell: &Shell, found: &Value) {
    if shell.json {
        return shell.json(found);
    }
    shell.out(&head(shell, found));
    items(shell, found, 1);
    let Some(line) = found["line"]["text"].as_str() else { return };
    shell.out("");
    shell.out(&format!("line {}: {}", found["line"]["number"], plain(line.trim())));
    let mentions = found["mentions"].as_array().map_or(&[][..], Vec::as_slice);
    for mention in mentions {
        let item = shell.paint(Paint::Name, &plain(mention["ref"].as_str().unwrap_or_default()));
        shell.out(&format!("  {} of {} words in {item}", mention["words"], mention["of"]));
        shell.out(&format!("      {}", plain(mention["line"].as_str().unwrap_or_default())));
    }
    if mentions.is_empty() {
        shell.out("  no item has a word of it");
    }
}

fn head(shell: &Shell, found: &Value) -> String {
    let word = |key: &str| plain(found[key].as_str().unwrap_or_default());
    let short = |key: &str| word(key).chars().take(12).collect::<String>();
    let mut line = shell.paint(Paint::Name, &word("path"));
    line.push_str(&format!(": task {}, request {}", word("task"), short("request")));
    match found["run"].as_str() {
        Some(run) => line.push_str(&format!(", run {}", plain(run))),
        None => line.push_str(", in no run that is kept"),
    }
    let (provider, model) = (word("provider"), word("model"));
    if !provider.is_empty() {
        let model = if model.is_empty() || model == provider { String::new() } else { format!(" ({model})") };
        line.push_str(&format!(", by {provider}{model}"));
    }
    if found["edited"] == true {
        line.push_str(&shell.paint(Paint::Warn, ", edited since"));
    }
    line
}

fn items(shell: &Shell, found: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    for item in found["items"].as_array().into_iter().flatten() {
        let word = |key: &str| plain(item[key].as_str().unwrap_or_default());
        let form = if item["form"] == "full" { String::new() } else { format!(" ({})", word("form")) };
        let from = &item["trace"];
        let tier = shell.paint(Paint::Dim, &word("tier"));
        if from.is_null() {
            shell.out(&format!("{indent}{tier} {}{form}", word("ref")));
        } else if from["repeated"] == true {
            shell.out(&format!("{indent}{tier} {}{form}, as above", word("ref")));
        } else {
            shell.out(&format!("{indent}{tier} {}{form} <- {}", word("ref"), head(shell, from)));
            items(shell, from, depth + 1);
        }
    }
}
