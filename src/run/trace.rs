//! Where an output comes from: its record, the run that made it, its items, and on to their sources.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::context::{Shelf, parse_fenced};
use crate::diag::Error;
use crate::disk::{self, Cache, KeptRun, Workspace};
use crate::graph::Ix;
use crate::path::RelPath;
use crate::spec::Runner;
use crate::text::{Language, terms};

/// Follows an output back, named by its path or its task's id; with a line, also the items that mention its
/// words. In the form that the contract gives it.
pub fn trace(workspace: &Workspace, name: &str, line: Option<usize>) -> Result<Value, Error> {
    let ix = owner(workspace, name)?;
    let node = workspace.graph.node(ix);
    let tracer = Tracer { workspace, runs: disk::kept_runs(&workspace.store) };
    let mut seen = HashSet::new();
    let mut found = tracer.of(ix, &mut seen).ok_or_else(|| {
        Error::failed(format!("no record says where `{}` comes from", node.output)).help(
            match node.task.run {
                Runner::Manual => "a person writes it, and the next run records it".to_owned(),
                _ => format!("`meu run {}` builds it", node.id()),
            },
        )
    })?;
    if let Some(line) = line {
        let (text, mentions) = tracer.mentions(ix, line)?;
        found["line"] = json!({"number": line, "text": text});
        found["mentions"] = mentions;
    }
    Ok(found)
}

/// The task whose output is at a path, or that has this id.
fn owner(workspace: &Workspace, name: &str) -> Result<Ix, Error> {
    let graph = &workspace.graph;
    let path = RelPath::parse(name.trim_start_matches("./")).ok();
    let of_path = graph.nodes().find(|(_, node)| {
        node.duplicate_of.is_none() && path.as_ref().is_some_and(|path| *path == node.output)
    });
    if let Some((ix, _)) = of_path {
        return Ok(ix);
    }
    if let Some(ix) = graph.find(name) {
        return Ok(graph.canonical(ix));
    }
    let known = graph.nodes().flat_map(|(_, node)| [node.output.as_str(), node.id()]);
    Err(Error::invalid(format!("`{name}` is no output and no task")).help(
        crate::diag::did_you_mean(name, known).unwrap_or_else(|| {
            "`meu status` lists tasks; outputs are named from the project's folder".into()
        }),
    ))
}

struct Tracer<'a> {
    workspace: &'a Workspace,
    runs: Vec<KeptRun>,
}

impl Tracer<'_> {
    /// Where a task's output comes from. A task that was followed already is only named.
    fn of(&self, ix: Ix, seen: &mut HashSet<Ix>) -> Option<Value> {
        let node = self.workspace.graph.node(ix);
        let on_disk = self.workspace.shelf.digest(&node.output).ok().flatten();
        let record = self.workspace.lock.pick(node.id(), on_disk, None)?;
        let first = seen.insert(ix);
        let made = self.made(node.id(), &record.request.to_string());
        let (run, tried) = made.unzip();
        let tried = tried.flatten();
        let field = |name: &str| tried.map_or(Value::Null, |tried: &Value| tried[name].clone());
        let parameters: serde_json::Map<String, Value> = ["temperature", "max_tokens", "seed"]
            .into_iter()
            .map(|name| (name.to_owned(), field(&format!("gen_ai.request.{name}"))))
            .filter(|(_, value)| !value.is_null())
            .collect();
        let items: Vec<Value> = record
            .parts
            .items
            .iter()
            .filter(|_| first)
            .map(|part| {
                let id = part.item.strip_prefix("task:").map(|id| id.split('#').next().unwrap_or(id));
                // A card is not the task's output.
                let task = id.filter(|_| part.form != crate::context::Form::Card);
                let task = task.and_then(|id| self.workspace.graph.find(id));
                json!({
                    "ref": part.item, "tier": part.tier, "form": part.form.word(), "digest": part.digest,
                    "trace": task.and_then(|task| self.of(task, seen)),
                })
            })
            .collect();
        Some(json!({
            "path": node.output.as_str(), "task": node.id(), "output": on_disk,
            "edited": on_disk.is_some_and(|text| !record.built_is(text)),
            "request": record.request, "run": run, "model": field("gen_ai.response.model"),
            "provider": field("provider"), "parameters": parameters, "items": items, "repeated": !first,
        }))
    }

    /// The run that made the answer to a request, and the try that brought it: whoever asked first, or the
    /// run that at least wrote it.
    fn made(&self, task: &str, request: &str) -> Option<(&str, Option<&Value>)> {
        let asked = self.runs.iter().rev().find_map(|run| {
            let good = |event: &&Value| event["error"].is_null();
            let first = run.of("task_tried").filter(good).find(|event| event["request"] == request)?;
            // An answer that was sent back has a request of its own.
            let last =
                run.of("task_tried").filter(good).filter(|event| event["task"] == first["task"]).last();
            Some((run.name.as_str(), last))
        });
        asked.or_else(|| {
            self.runs.iter().rev().find_map(|run| {
                let made = run.of("task_finished").any(|event| {
                    event["task"] == task && event["request"] == request && event["status"] != "failed"
                });
                made.then_some((run.name.as_str(), None))
            })
        })
    }

    /// The items of an output's request that mention the words of one of its lines, the most first.
    fn mentions(&self, ix: Ix, line: usize) -> Result<(String, Value), Error> {
        let node = self.workspace.graph.node(ix);
        let text = self.workspace.shelf.text(&node.output).ok().flatten().unwrap_or_default();
        let count = text.lines().count();
        let said = text.lines().nth(line - 1).ok_or_else(|| {
            Error::invalid(format!("`{}` ends with line {count}, before line {line}", node.output))
        })?;
        let language = Language::of(&text);
        let words: HashSet<String> = terms(said, language).into_iter().collect();
        let shared = |text: &str| {
            let there: HashSet<String> = terms(text, language).into_iter().collect();
            words.intersection(&there).count()
        };
        let record = self.workspace.lock.pick(
            node.id(),
            self.workspace.shelf.digest(&node.output).ok().flatten(),
            None,
        );
        let request = record.map(|record| record.request.to_string()).unwrap_or_default();
        let sent = Cache(&self.workspace.store).sent(&request).ok_or_else(|| {
            Error::failed(format!(
                "the request behind `{}` is not kept, so its items cannot be searched",
                node.output
            ))
            .help(format!("`meu trace {}` lists them", node.output))
        })?;
        let messages = sent["request"]["messages"].as_array().cloned().unwrap_or_default();
        // The system message speaks of items, and has none.
        let users = messages.iter().filter(|message| message["role"] == "user");
        let all: String = users.filter_map(|message| message["content"].as_str()).collect();
        let mut found: Vec<(usize, Value)> = parse_fenced(&all)
            .into_iter()
            .filter_map(|item| {
                let score = shared(item.text);
                let best = item.text.lines().max_by_key(|line| shared(line))?;
                (score > 0).then(|| {
                    (
                        score,
                        json!({"ref": item.source, "words": score, "of": words.len(), "line": best.trim()}),
                    )
                })
            })
            .collect();
        found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        let rows: Vec<Value> = found.into_iter().take(5).map(|(_, row)| row).collect();
        Ok((said.to_owned(), json!(rows)))
    }
}
