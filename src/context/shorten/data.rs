//! Shortening data into data: JSON keeps its keys and the front of its lists, CSV its head and the front
//! of its rows, each with the mark where something is left out.
//!
//! The number of what was left out is not told: a change of it changes nothing.

use serde_json::{Value, json};

use super::MARK;
use crate::text::{Format, Table, table};

/// Data that can be cut at a level.
pub(super) enum Data<'a> {
    Json(Value),
    Csv(Table<'a>, u8),
}

/// How deep lists, texts and objects are cut: the most items of a list, characters of a text, levels.
#[derive(Clone, Copy)]
struct Cut {
    items: usize,
    chars: usize,
    depth: usize,
}

impl<'a> Data<'a> {
    /// `None` if the text is no data of its format: then it is shortened as text.
    pub(super) fn read(format: Format, text: &'a str) -> Option<Self> {
        match format {
            Format::Json => serde_json::from_str(text).ok().map(Data::Json),
            Format::Csv(separator) => table(text, separator).map(|table| Data::Csv(table, separator)),
            _ => None,
        }
    }

    /// The most that fits; `None` if not even the least does.
    pub(super) fn shorten(&self, fits: &dyn Fn(&str) -> bool) -> Option<String> {
        match self {
            Data::Csv(table, separator) => {
                most(table.rows.len(), &|rows| rows_of(table, *separator, rows), fits)
            }
            Data::Json(value) => {
                let cuts = cuts();
                let write = |at: usize| cut(value, cuts[at], 0).to_string();
                most(cuts.len() - 1, &write, fits)
            }
        }
    }
}

/// The text of the greatest number up to `last` that fits.
fn most(last: usize, write: &dyn Fn(usize) -> String, fits: &dyn Fn(&str) -> bool) -> Option<String> {
    let least = write(0);
    if !fits(&least) {
        return None;
    }
    let (mut low, mut high, mut best) = (0, last, least);
    while low < high {
        let middle = (low + high).div_ceil(2);
        let text = write(middle);
        if fits(&text) {
            (low, best) = (middle, text);
        } else {
            high = middle - 1;
        }
    }
    Some(best)
}

/// From the hardest cut to none.
fn cuts() -> Vec<Cut> {
    let mut cuts = Vec::new();
    for depth in 1..=4 {
        cuts.push(Cut { items: 0, chars: 24, depth });
    }
    for step in 1..=40 {
        // Lists and texts grow together, each step by a quarter.
        let grow = |first: f64| (first * libm::pow(1.25, f64::from(step))) as usize;
        cuts.push(Cut { items: grow(1.0), chars: grow(40.0), depth: 4 + step as usize });
    }
    cuts
}

/// Whether a value is no longer than the mark that would stand for it.
fn is_small(value: &Value) -> bool {
    value.to_string().len() <= MARK.len() + 4
}

fn cut(value: &Value, to: Cut, depth: usize) -> Value {
    match value {
        Value::String(text) if text.chars().count() > to.chars => {
            json!(format!("{}{MARK}", text.chars().take(to.chars).collect::<String>()))
        }
        Value::Array(items) if (depth >= to.depth || items.len() > to.items) && !is_small(value) => {
            let room = if depth >= to.depth { 0 } else { to.items };
            let mut kept: Vec<Value> = items.iter().take(room).map(|item| cut(item, to, depth + 1)).collect();
            kept.push(json!(MARK));
            Value::Array(kept)
        }
        Value::Array(items) => items.iter().map(|item| cut(item, to, depth + 1)).collect(),
        Value::Object(_) if depth >= to.depth && !is_small(value) => json!(MARK),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), cut(value, to, depth + 1))).collect())
        }
        other => other.clone(),
    }
}

/// The head and the first rows, and a row of the mark if there are more.
fn rows_of(table: &Table<'_>, separator: u8, rows: usize) -> String {
    let end = |record: &str| format!("{}\n", record.trim_end_matches(['\n', '\r']));
    let mut text = end(table.head);
    text.extend(table.rows.iter().take(rows).map(|row| end(row)));
    if rows < table.rows.len() {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(separator)
            .from_reader(table.head.as_bytes());
        let columns = reader.records().next().and_then(Result::ok).map_or(1, |record| record.len());
        text.push_str(MARK);
        text.extend(std::iter::repeat_n(char::from(separator), columns - 1));
        text.push('\n');
    }
    text.trim_end_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: Format, text: &str, limit: usize, expected: Option<&str>) {
        let short =
            Data::read(format, text).and_then(|data| data.shorten(&|short| short.chars().count() <= limit));
        assert_eq!(short.as_deref(), expected);
    }

    #[test]
    fn csv_stays_csv() {
        let text = "a,b\n1,\"x\ny\"\n2,many words here\n3,w\n";
        check(Format::Csv(b','), text, 28, Some("a,b\n1,\"x\ny\"\n[… left out …],"));
        check(Format::Csv(b','), text, 10, None);
    }

    #[test]
    fn json_stays_json_with_its_keys() {
        let text =
            r#"{"name": "short", "list": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], "deep": {"a": {"b": 1}}}"#;
        let short = r#"{"name":"short","list":["[… left out …]"],"deep":{"a":{"b":1}}}"#;
        check(Format::Json, text, 64, Some(short));
        check(Format::Json, text, 4, None);
        assert!(Data::read(Format::Json, "{ no json").is_none());
    }

    proptest::proptest! {
        #[test]
        fn what_is_cut_can_be_read_again(
            items in proptest::collection::vec(("[a-z\"\\\\ 字]{0,80}", 0u32..9), 0..40),
            limit in 10usize..900,
        ) {
            let value = json!({"rows": items.iter().map(|(text, n)| json!({"t": text, "n": n})).collect::<Vec<_>>()});
            let text = value.to_string();
            let data = Data::read(Format::Json, &text);
            if let Some(short) = data.and_then(|data| data.shorten(&|short| short.chars().count() <= limit)) {
                let again: Value = serde_json::from_str(&short).unwrap_or_default();
                proptest::prop_assert!(again.get("rows").is_some() || limit < 30, "{}", short);
                proptest::prop_assert!(short.chars().count() <= limit);
            }
        }
    }
}
