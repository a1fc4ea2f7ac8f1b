//! What `meu doctor` found.

use serde_json::Value;

use super::{Shell, counted, plain, sized};

/// The findings, as JSON or as lines.
pub fn doctor(shell: &Shell, found: &Value) {
    if shell.json {
        return shell.json(found);
    }
    let word = |of: &Value, key: &str| plain(of[key].as_str().unwrap_or_default());
    shell.out(&format!("meu       {}", word(found, "version")));
    let tasks = found["tasks"].as_u64().unwrap_or_default();
    let (project, root) = (word(found, "project"), word(found, "root"));
    shell.out(&format!("project   {project}, {}, in {root}", counted(tasks as usize, "task")));
    let git = if found["git"] == true {
        "a repository"
    } else {
        "no repository: old texts come from .meu/cache alone"
    };
    let version = found["git_version"].as_str().map_or_else(|| "not installed".to_owned(), plain);
    shell.out(&format!("git       {version}, {git}"));
    let cache = &found["cache"];
    let (files, bytes) =
        (cache["files"].as_u64().unwrap_or_default(), cache["bytes"].as_u64().unwrap_or_default());
    shell.out(&format!("cache     {} in {}", sized(bytes), counted(files as usize, "file")));
    for provider in found["providers"].as_array().into_iter().flatten() {
        let (name, api) = (word(provider, "name"), word(provider, "api"));
        let used = provider["tasks"].as_u64().unwrap_or_default() as usize;
        let mut line = format!("provider  {name} ({api}), {}", counted(used, "task"));
        match provider["key_set"].as_bool() {
            Some(true) => line.push_str(&format!(", key in {}", word(provider, "key_variable"))),
            Some(false) => line.push_str(&format!(", {} is not set", word(provider, "key_variable"))),
            None => {}
        }
        match (provider["reached"].as_bool(), provider["reach_error"].as_str()) {
            (Some(true), _) => line.push_str(", answers"),
            (None, Some(error)) => line.push_str(&format!(", {}", plain(error))),
            (_, Some(error)) => line.push_str(&format!(", does not answer ({})", plain(error))),
            _ => {}
        }
        if provider["priced"] == false {
            line.push_str(", unpriced");
        }
        for (tokenizer, factor) in provider["tokens_factor"].as_object().into_iter().flatten() {
            let factor = factor.as_f64().unwrap_or(1.0);
            line.push_str(&format!(", counts {factor:.3} tokens for one of {tokenizer}"));
        }
        shell.out(&line);
    }
    let untrusted = found["not_trusted"].as_array().map_or(&[][..], Vec::as_slice);
    for want in untrusted {
        shell.out(&format!(
            "trust     not yet: {}; `meu trust` allows it",
            plain(want.as_str().unwrap_or_default())
        ));
    }
    if untrusted.is_empty() {
        shell.out("trust     nothing waits for a yes");
    }
}
