//! Run records: `.meu/runs/NAME.jsonl`, an event a line, written as it happens. And the failures of
//! the last tries, so that `status` can tell them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};

use serde_json::json;

use crate::event::Event;
use crate::plan::Failure;
use crate::text::Redactor;

use super::{Durability, Store, now};

/// The record of one run; begun with its first event.
#[derive(Debug)]
pub struct RunLog<'a> {
    store: &'a Store,
    name: String,
    redactor: Redactor,
    file: Option<File>,
}

impl<'a> RunLog<'a> {
    /// The record of a run of this name.
    pub fn new(store: &'a Store, name: &str, redactor: Redactor) -> Self {
        RunLog { store, name: name.to_owned(), redactor, file: None }
    }

    /// Adds an event with its time. Records tell; they stop no run.
    pub fn add(&mut self, event: &Event) {
        let _ = self.try_add(event);
    }

    fn try_add(&mut self, event: &Event) -> io::Result<()> {
        if self.file.is_none() {
            let folder = self.store.meu().join("runs");
            fs::create_dir_all(&folder)?;
            let path = folder.join(format!("{}.jsonl", self.name));
            self.file = Some(File::options().append(true).create(true).open(path)?);
        }
        let mut value = serde_json::to_value(event)?;
        self.redactor.clean_json(&mut value);
        value["at"] = json!(now());
        match &mut self.file {
            // At one go: a line is whole, or not there.
            Some(file) => file.write_all(format!("{value}\n").as_bytes()),
            None => Ok(()),
        }
    }
}

/// The failures of the last tries, by task. An unreadable file is none: the tasks are tried again.
pub fn read_failures(store: &Store) -> BTreeMap<String, Failure> {
    let bytes = fs::read(store.meu().join("failures.json")).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Keeps the failures.
pub fn write_failures(store: &Store, failures: &BTreeMap<String, Failure>) -> io::Result<()> {
    if *failures == read_failures(store) {
        return Ok(());
    }
    store.write_meu("failures.json", &serde_json::to_vec_pretty(failures)?, Durability::Grouped)
}
