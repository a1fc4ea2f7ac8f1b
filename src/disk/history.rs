//! The runs that are kept, read back: which there were, what each task of them came to.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::diag::Error;

use super::Store;

/// A run that was kept.
#[derive(Clone, Debug)]
pub struct KeptRun {
    /// Its name.
    pub name: String,
    /// When it began, in UTC as RFC 3339 writes it.
    pub started: String,
    /// Its events, in order. A torn last line is left out.
    pub events: Vec<Value>,
}

/// Sums of one run, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RunSums {
    /// Tasks that were made.
    pub built: u64,
    /// Tasks that came from stored texts or answers.
    pub cached: u64,
    /// Tasks that could not be made.
    pub failed: u64,
    /// Tokens sent.
    pub tokens_in: u64,
    /// Tokens answered.
    pub tokens_out: u64,
    /// `None` once a call without a known price was made.
    pub cost: Option<f64>,
    /// Calls of unknown outcome.
    pub unknown: u64,
    /// What those cost at their worst.
    pub cost_unknown: Option<f64>,
}

impl RunSums {
    /// Nothing, which costs nothing.
    pub fn nothing() -> Self {
        RunSums { cost: Some(0.0), cost_unknown: Some(0.0), ..RunSums::default() }
    }

    /// Both together.
    pub fn and(self, other: RunSums) -> RunSums {
        RunSums {
            built: self.built + other.built,
            cached: self.cached + other.cached,
            failed: self.failed + other.failed,
            tokens_in: self.tokens_in + other.tokens_in,
            tokens_out: self.tokens_out + other.tokens_out,
            cost: self.cost.zip(other.cost).map(|(one, two)| one + two),
            unknown: self.unknown + other.unknown,
            cost_unknown: self.cost_unknown.zip(other.cost_unknown).map(|(one, two)| one + two),
        }
    }
}

impl KeptRun {
    /// Its events of one kind.
    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["event"] == kind)
    }

    /// When it ended, if it came to its end.
    pub fn finished(&self) -> Option<&str> {
        self.of("run_finished").next()?["at"].as_str()
    }

    /// How it ended: `done`, `failed`, `interrupted`, or `cut off`.
    pub fn status(&self) -> &str {
        match self.of("run_finished").next() {
            None => "cut off",
            Some(end) => end["status"].as_str().unwrap_or("done"),
        }
    }

    /// Its sums, counted from what was done and asked, so that a run that was cut off has them too.
    pub fn sums(&self) -> RunSums {
        let mut sums = RunSums::nothing();
        for task in self.of("task_finished") {
            match task["status"].as_str() {
                Some("built") => sums.built += 1,
                Some("cached") => sums.cached += 1,
                Some("failed") => sums.failed += 1,
                _ => {}
            }
        }
        for tried in self.of("task_tried") {
            let count = |name: &str| tried[name].as_u64().unwrap_or_default();
            let also =
                |sum: Option<f64>, name: &str| sum.zip(tried[name].as_f64()).map(|(sum, one)| sum + one);
            sums.tokens_in += count("gen_ai.usage.input_tokens");
            sums.tokens_out += count("gen_ai.usage.output_tokens");
            sums.cost = also(sums.cost, "cost");
            sums.unknown += count("unknown");
            sums.cost_unknown = also(sums.cost_unknown, "cost_unknown");
        }
        sums
    }
}

fn files(store: &Store) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.meu().join("runs")).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// All runs that are kept, the oldest first. A person's approval outside of a run is none.
pub fn kept_runs(store: &Store) -> Vec<KeptRun> {
    let runs = files(store).into_iter().filter_map(|file| {
        let name = file.file_stem()?.to_string_lossy().into_owned();
        let text = String::from_utf8_lossy(&fs::read(&file).ok()?).into_owned();
        let events: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let started = events.first()?["at"].as_str()?.to_owned();
        events.iter().any(|event| event["event"] == "run_started").then_some(KeptRun {
            name,
            started,
            events,
        })
    });
    runs.collect()
}

/// All events of all runs that were kept, the oldest run first, each with its run's name under `run`.
pub fn run_events(store: &Store) -> Vec<Value> {
    let mut all = Vec::new();
    for run in kept_runs(store) {
        let KeptRun { name, events, .. } = run;
        all.extend(events.into_iter().map(|mut event| {
            event["run"] = json!(name);
            event
        }));
    }
    all
}

/// One run, by its name, the beginning of it, or `last`.
pub fn kept_run(store: &Store, name: &str) -> Result<KeptRun, Error> {
    let mut runs = kept_runs(store);
    let none = || Error::failed("no run is kept").help("a run that asks or makes something leaves a record");
    if name == "last" {
        return runs.pop().ok_or_else(none);
    }
    let mut found: Vec<KeptRun> = runs.into_iter().filter(|run| run.name.starts_with(name)).collect();
    match found.len() {
        1 => found.pop().ok_or_else(none),
        0 => Err(Error::failed(format!("no run `{name}` is kept")).help("`meu log` lists those that are")),
        _ => {
            let names: Vec<&str> = found.iter().take(5).map(|run| run.name.as_str()).collect();
            Err(Error::invalid(format!("`{name}` could be several runs: {}", names.join(", ")))
                .help("write more of the name"))
        }
    }
}
