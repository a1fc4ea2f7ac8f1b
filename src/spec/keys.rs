//! Reading a TOML table key by key: each wrong type and each unknown key becomes a diagnostic with
//! its place, and reading goes on.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::schema::Looked;
use super::{At, Vars};
use crate::diag::{Diagnostic, Place, Sink, Source, did_you_mean};

/// Parses a TOML text. Syntax errors go to the sink, all of them; what could be read is returned.
pub fn parse_table<'a>(source: &'a Arc<Source>, sink: &Sink) -> Spanned<DeTable<'a>> {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        sink.push(Diagnostic::error(format!("TOML: {}", error.message())).at(source.place(span)));
    }
    table
}

/// A table that is being read. Dropping it without [`Keys::finish`] leaves unknown keys unseen.
pub struct Keys<'a> {
    source: &'a Arc<Source>,
    table: &'a DeTable<'a>,
    /// Where the table stands.
    pub span: Range<usize>,
    /// The table's name in messages, `""` for the file itself.
    name: String,
    known: Vec<&'static str>,
    sink: &'a Sink,
    /// Where what is looked for is noted, if it is.
    looked: Option<Rc<RefCell<Looked>>>,
}

impl<'a> Keys<'a> {
    /// Begins to read a table.
    pub fn new(
        source: &'a Arc<Source>,
        table: &'a DeTable<'a>,
        span: Range<usize>,
        name: impl Into<String>,
        sink: &'a Sink,
    ) -> Self {
        Keys { source, table, span, name: name.into(), known: Vec::new(), sink, looked: None }
    }

    /// Reads an empty table, and notes what is looked for in it. Texts are there and empty, so that their
    /// readers go on and look for words.
    pub(super) fn learning(
        source: &'a Arc<Source>,
        table: &'a DeTable<'a>,
        sink: &'a Sink,
        looked: Rc<RefCell<Looked>>,
    ) -> Self {
        Keys { looked: Some(looked), ..Keys::new(source, table, 0..0, "", sink) }
    }

    /// Notes the form that a key is wanted in; tells whether that is all that is done.
    fn learns(&self, key: &'static str, form: impl FnOnce() -> Json) -> bool {
        if let Some(looked) = &self.looked {
            looked.borrow_mut().value(key, form());
        }
        self.looked.is_some()
    }

    /// The file that is read.
    pub fn source(&self) -> &'a Arc<Source> {
        self.source
    }

    /// Where problems go.
    pub fn sink(&self) -> &'a Sink {
        self.sink
    }

    /// Where the value of a key stands; the table itself if it has none.
    pub fn place_of(&self, key: &str) -> Place {
        self.source.place(self.table.get(key).map_or(self.span.clone(), Spanned::span))
    }

    /// Whether the table has a key.
    pub fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Whether the table has no key besides these.
    pub fn has_only(&self, keys: &[&str]) -> bool {
        self.table.iter().all(|(key, _)| keys.contains(&key.as_ref().as_ref()))
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.table.get(key)
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        let found = value.get_ref().type_str();
        self.sink.push(
            Diagnostic::error(format!("`{}` must be {wanted}, not {}", self.full(key), article(found)))
                .at(self.source.place(value.span()))
                .maybe_help(hint(key, value.get_ref(), wanted)),
        );
    }

    fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn at<T>(&self, value: T, span: Range<usize>) -> At<T> {
        At { value, source: self.source.clone(), span }
    }

    /// A text.
    pub fn string(&mut self, key: &'static str) -> Option<At<String>> {
        if self.learns(key, || json!({"type": "string"})) {
            return Some(self.at(String::new(), 0..0));
        }
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(self.at(text.to_string(), value.span())),
            _ => {
                self.wrong(key, value, "a text");
                None
            }
        }
    }

    /// A list of texts.
    pub fn strings(&mut self, key: &'static str) -> Option<Vec<At<String>>> {
        if self.learns(key, || json!({"type": "array", "items": {"type": "string"}})) {
            return Some(vec![self.at(String::new(), 0..0)]);
        }
        let value = self.value(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong(key, value, "a list of texts");
            return None;
        };
        let mut texts = Vec::with_capacity(array.len());
        for element in array.iter() {
            match element.get_ref() {
                DeValue::String(text) => texts.push(self.at(text.to_string(), element.span())),
                _ => self.wrong(key, element, "a list of texts"),
            }
        }
        Some(texts)
    }

    /// A text or a list of texts.
    pub fn string_or_strings(&mut self, key: &'static str) -> Option<Result<At<String>, At<Vec<String>>>> {
        if self.learns(
            key,
            || json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
        ) {
            return Some(Ok(self.at(String::new(), 0..0)));
        }
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(Ok(self.at(text.to_string(), value.span()))),
            DeValue::Array(_) => {
                let texts = self.strings(key)?;
                Some(Err(self.at(texts.into_iter().map(|at| at.value).collect(), value.span())))
            }
            _ => {
                self.wrong(key, value, "a text or a list of texts");
                None
            }
        }
    }

    /// A boolean.
    pub fn bool(&mut self, key: &'static str) -> Option<bool> {
        if self.learns(key, || json!({"type": "boolean"})) {
            return None;
        }
        let value = self.value(key)?;
        let found = value.get_ref().as_bool();
        if found.is_none() {
            self.wrong(key, value, "true or false");
        }
        found
    }

    /// A whole number within a range.
    pub fn integer(&mut self, key: &'static str, range: std::ops::RangeInclusive<i64>) -> Option<At<i64>> {
        let bounds = || json!({"type": "integer", "minimum": range.start(), "maximum": range.end()});
        if self.learns(key, bounds) {
            return None;
        }
        let value = self.value(key)?;
        let found =
            value.get_ref().as_integer().and_then(|int| i64::from_str_radix(int.as_str(), int.radix()).ok());
        match found {
            Some(number) if range.contains(&number) => Some(self.at(number, value.span())),
            Some(number) => {
                let message = format!(
                    "`{}` must be between {} and {}, not {number}",
                    self.full(key),
                    range.start(),
                    range.end()
                );
                self.sink.push(Diagnostic::error(message).at(self.source.place(value.span())));
                None
            }
            None if value.get_ref().is_integer() => {
                let message = format!("`{}` is a number too large to be meant", self.full(key));
                self.sink.push(Diagnostic::error(message).at(self.source.place(value.span())));
                None
            }
            None => {
                self.wrong(key, value, "a whole number");
                None
            }
        }
    }

    /// A count of something.
    pub fn count(&mut self, key: &'static str) -> Option<usize> {
        self.integer(key, 0..=1_000_000_000).map(|at| at.value as usize)
    }

    /// A number that is finite and not negative.
    pub fn number(&mut self, key: &'static str) -> Option<f64> {
        if self.learns(key, || json!({"type": "number", "minimum": 0})) {
            return None;
        }
        let value = self.value(key)?;
        let text = match value.get_ref() {
            DeValue::Float(float) => float.as_str(),
            DeValue::Integer(int) if int.radix() == 10 => int.as_str(),
            _ => {
                self.wrong(key, value, "a number");
                return None;
            }
        };
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Some(number),
            _ => {
                let message =
                    format!("`{}` must be a finite number of at least 0, not {text}", self.full(key));
                self.sink.push(Diagnostic::error(message).at(self.source.place(value.span())));
                None
            }
        }
    }

    /// A table with keys of its own.
    pub fn table(&mut self, key: &'static str) -> Option<Keys<'a>> {
        if let Some(looked) = &self.looked {
            let inner = looked.borrow_mut().table(key);
            return Some(Keys::learning(self.source, self.table, self.sink, inner));
        }
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Table(table) => {
                Some(Keys::new(self.source, table, value.span(), self.full(key), self.sink))
            }
            _ => {
                self.wrong(key, value, "a table");
                None
            }
        }
    }

    /// A table whose keys are names that the author chose, each holding a table.
    pub fn tables(&mut self, key: &'static str) -> Vec<(At<String>, Keys<'a>)> {
        if let Some(looked) = &self.looked {
            let inner = looked.borrow_mut().tables(key);
            let name = self.at(key.to_owned(), 0..0);
            return vec![(name, Keys::learning(self.source, self.table, self.sink, inner))];
        }
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong(key, value, "a table");
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (name, inner) in table.iter() {
            let text = name.get_ref().to_string();
            match inner.get_ref() {
                DeValue::Table(fields) => {
                    let full = format!("{}.{text}", self.full(key));
                    let keys = Keys::new(self.source, fields, name.span(), full, self.sink);
                    tables.push((self.at(text, name.span()), keys));
                }
                _ => self.wrong(&format!("{key}.{text}"), inner, "a table"),
            }
        }
        tables
    }

    /// A table of free values.
    pub fn vars(&mut self, key: &'static str) -> Vars {
        if self.learns(key, || json!({"type": "object"})) {
            return Vars::new();
        }
        let Some(value) = self.value(key) else { return Vars::new() };
        match value.get_ref() {
            DeValue::Table(table) => free(table),
            _ => {
                self.wrong(key, value, "a table");
                Vars::new()
            }
        }
    }

    /// Turns a text into a word of a closed set; other words are diagnosed.
    pub fn choose<T>(&self, text: &At<String>, words: &[(&str, T)]) -> Option<T>
    where
        T: Clone,
    {
        if let Some(looked) = &self.looked {
            looked.borrow_mut().words(&words.iter().map(|(word, _)| *word).collect::<Vec<_>>());
            return None;
        }
        let found = words.iter().find(|(word, _)| *word == text.value).map(|(_, value)| value.clone());
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.sink.push(
                Diagnostic::error(format!("`{}` is not one of {}", text.value, known.join(", ")))
                    .at(text.place())
                    .maybe_help(did_you_mean(&text.value, known)),
            );
        }
        found
    }

    /// Diagnoses the keys that nobody asked for.
    pub fn finish(self) {
        for (key, _) in self.table.iter() {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let of = if self.name.is_empty() { String::new() } else { format!(" in [{}]", self.name) };
            let known = || self.known.iter().copied();
            let help = did_you_mean(name, known()).unwrap_or_else(|| {
                let mut words: Vec<&str> = known().collect();
                words.sort_unstable();
                format!("known keys: {}", words.join(", "))
            });
            self.sink.push(
                Diagnostic::error(format!("unknown key `{name}`{of}"))
                    .at(self.source.place(key.span()))
                    .help(help),
            );
        }
    }
}

fn article(kind: &str) -> String {
    match kind {
        "string" => "a text".into(),
        "integer" => "a whole number".into(),
        "float" => "a number".into(),
        "boolean" => "true or false".into(),
        "array" => "a list".into(),
        "table" => "a table".into(),
        other => format!("a {other}"),
    }
}

fn hint(key: &str, value: &DeValue<'_>, wanted: &str) -> Option<String> {
    match value {
        DeValue::String(text) if wanted.starts_with("a list") => {
            Some(format!("write `{key} = [\"{text}\"]`"))
        }
        DeValue::String(text) if wanted.ends_with("number") && text.parse::<f64>().is_ok() => {
            Some(format!("write `{key} = {text}`, without quotes"))
        }
        DeValue::String(text) if wanted == "true or false" && matches!(text.as_ref(), "true" | "false") => {
            Some(format!("write `{key} = {text}`, without quotes"))
        }
        _ => None,
    }
}

/// A TOML text as JSON; dates and times are texts. The error is the first of what is wrong with it.
pub fn toml_data(text: &str) -> Result<Json, String> {
    let table = DeTable::parse(text).map_err(|error| error.message().to_owned())?;
    Ok(Json::Object(free(table.get_ref()).into_iter().collect()))
}

fn free(table: &DeTable<'_>) -> Vars {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), free_value(value.get_ref()))).collect()
}

fn free_value(value: &DeValue<'_>) -> Json {
    match value {
        DeValue::String(text) => Json::String(text.to_string()),
        DeValue::Integer(int) => match i64::from_str_radix(int.as_str(), int.radix()) {
            Ok(number) => number.into(),
            Err(_) => int.as_str().to_owned().into(),
        },
        DeValue::Float(float) => match float.as_str().parse::<f64>() {
            Ok(number) if number.is_finite() => number.into(),
            _ => float.as_str().to_owned().into(),
        },
        DeValue::Boolean(boolean) => Json::Bool(*boolean),
        DeValue::Datetime(datetime) => Json::String(datetime.to_string()),
        DeValue::Array(array) => {
            Json::Array(array.iter().map(|element| free_value(element.get_ref())).collect())
        }
        DeValue::Table(inner) => Json::Object(free(inner).into_iter().collect()),
    }
}
