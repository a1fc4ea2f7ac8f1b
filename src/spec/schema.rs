//! JSON Schemas of task files and `meu.toml`, learned from the very readers that parse them: each is run
//! once over an empty table and asked what it looks for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use toml::de::DeTable;

use super::At;
use super::config::read_config;
use super::keys::Keys;
use super::task::read_task;
use crate::diag::{Sink, Source};

/// What a reader looked for in one table.
#[derive(Debug, Default)]
pub(super) struct Looked {
    keys: BTreeMap<&'static str, Found>,
    last: &'static str,
}

/// What a reader wants of a key.
#[derive(Debug)]
enum Found {
    Value(Json),
    Table(Rc<RefCell<Looked>>),
    Tables(Rc<RefCell<Looked>>),
}

impl Looked {
    /// A key is wanted to have a value of this form.
    pub(super) fn value(&mut self, key: &'static str, form: Json) {
        self.last = key;
        self.keys.insert(key, Found::Value(form));
    }

    /// A key is wanted to hold a table; the one to learn it by.
    pub(super) fn table(&mut self, key: &'static str) -> Rc<RefCell<Looked>> {
        let inner: Rc<RefCell<Looked>> = Rc::default();
        self.keys.insert(key, Found::Table(inner.clone()));
        inner
    }

    /// A key is wanted to hold tables of any names; the one to learn them by.
    pub(super) fn tables(&mut self, key: &'static str) -> Rc<RefCell<Looked>> {
        let inner: Rc<RefCell<Looked>> = Rc::default();
        self.keys.insert(key, Found::Tables(inner.clone()));
        inner
    }

    /// The text that was wanted last must be one of these words.
    pub(super) fn words(&mut self, words: &[&str]) {
        if let Some(Found::Value(form)) = self.keys.get_mut(self.last) {
            let text = match form["type"].as_str() {
                Some("array") => &mut form["items"],
                Some(_) => form,
                // A text or a list of texts: the words are for the text.
                None => &mut form["anyOf"][0],
            };
            text["enum"] = json!(words);
        }
    }

    fn schema(&self) -> Json {
        let keys = self.keys.iter().map(|(key, found)| {
            let form = match found {
                Found::Value(form) => form.clone(),
                Found::Table(inner) => inner.borrow().schema(),
                Found::Tables(inner) => {
                    json!({"type": "object", "additionalProperties": inner.borrow().schema()})
                }
            };
            ((*key).to_owned(), form)
        });
        json!({"type": "object", "additionalProperties": false, "properties": keys.collect::<serde_json::Map<_, _>>()})
    }
}

fn learn(title: &str, read: impl FnOnce(Keys<'_>)) -> Json {
    // What an empty table lacks is told to nobody.
    let (source, sink, table) = (Arc::new(Source::default()), Sink::default(), DeTable::new());
    let looked: Rc<RefCell<Looked>> = Rc::default();
    read(Keys::learning(&source, &table, &sink, looked.clone()));
    let mut schema = looked.borrow().schema();
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = title.into();
    schema
}

/// The JSON Schema of a task file: one task, or several as `[tasks.NAME]`.
pub fn task_schema() -> Json {
    let mut schema = learn("A task of meu", |keys| {
        let id = At { value: "id".to_owned(), source: keys.source().clone(), span: 0..0 };
        drop(read_task(id, keys));
    });
    schema["properties"]["tasks"] = json!({"type": "object", "additionalProperties": {"$ref": "#"}});
    schema
}

/// The JSON Schema of `meu.toml`.
pub fn config_schema() -> Json {
    learn("A project of meu", |keys| drop(read_config(keys)))
}

/// Where a project keeps the schemas for editors.
pub const TASK_SCHEMA: &str = ".schema/task.json";
/// See [`TASK_SCHEMA`].
pub const CONFIG_SCHEMA: &str = ".schema/meu.json";

/// The line at the top of a TOML file that tells editors its schema, with its line end: a directive that
/// taplo and what is built on it read. `path` is the file's, from the project's folder, as is `schema`.
pub fn schema_line(path: &str, schema: &str) -> String {
    let up = crate::path::to_top(path);
    let up = if up.is_empty() { "./" } else { &up };
    format!("{DIRECTIVE}{up}{schema}\n")
}

const DIRECTIVE: &str = "#:schema ";

/// A task file's text at another place: the line for editors that meu wrote, if it is there, still names the
/// schema.
pub fn with_schema_line(text: &str, old: &str, new: &str) -> String {
    let [old, new] = [old, new].map(|path| schema_line(path, TASK_SCHEMA));
    match text.strip_prefix(old.trim_end()) {
        Some(rest) if rest.starts_with(['\r', '\n']) => format!("{}{rest}", new.trim_end()),
        _ => text.to_owned(),
    }
}
