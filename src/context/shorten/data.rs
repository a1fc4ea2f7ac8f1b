//! Shortening data into data: JSON keeps its keys and the front of its lists, CSV its head and the front
//! of its rows, each with the mark where something is left out.
//!
//! The number of what was left out is not told: a change of it changes nothing.

use serde_json::value::RawValue;

use super::MARK;
use crate::text::{Format, Table, object, table};

/// Data that can be cut at a level.
pub(super) enum Data<'a> {
    Json(Node<'a>),
    Csv(Table<'a>, u8),
}

/// A value; what need not be taken apart as it stands in the text, numbers to the last digit.
pub(super) enum Node<'a> {
    Raw(&'a str),
    Text(String),
    List(Vec<Node<'a>>),
    Object(Vec<(String, Node<'a>)>),
}

/// Deeper than this a value is not taken apart.
const DEEPEST: usize = 64;

impl<'a> Node<'a> {
    fn read(raw: &'a RawValue, depth: usize) -> Option<Self> {
        let text = raw.get();
        Some(match text.as_bytes().first()? {
            _ if depth >= DEEPEST => Node::Raw(text),
            b'"' => Node::Text(serde_json::from_str(text).ok()?),
            b'[' => {
                let items: Vec<&'a RawValue> = serde_json::from_str(text).ok()?;
                Node::List(items.into_iter().map(|item| Node::read(item, depth + 1)).collect::<Option<_>>()?)
            }
            b'{' => {
                let pairs = object(text)?.into_iter();
                let read = |(key, value): (String, &'a RawValue)| Some((key, Node::read(value, depth + 1)?));
                Node::Object(pairs.map(read).collect::<Option<_>>()?)
            }
            _ => Node::Raw(text),
        })
    }

    /// Writes the value, cut; what is no longer than the mark stays.
    fn write(&self, to: Cut, depth: usize, out: &mut String) {
        let deep = depth >= to.depth;
        let room = if deep { 0 } else { to.items };
        let is_cut = match self {
            Node::List(items) => deep || items.len() > room,
            Node::Object(_) => deep,
            _ => false,
        };
        match (self, if is_cut { self.small() } else { None }) {
            (_, Some(whole)) => out.push_str(&whole),
            (Node::Raw(text), _) => out.push_str(text),
            (Node::Text(text), _) => match text.char_indices().nth(to.chars) {
                Some((end, _)) => quote(&format!("{}{MARK}", &text[..end]), out),
                None => quote(text, out),
            },
            (Node::List(items), _) if is_cut => {
                out.push('[');
                for item in items.iter().take(room) {
                    item.write(to, depth + 1, out);
                    out.push(',');
                }
                quote(MARK, out);
                out.push(']');
            }
            (Node::Object(_), _) if is_cut => quote(MARK, out),
            _ => self.parts(to, depth, out),
        }
    }

    /// Writes all parts of a list or an object, as many keys as the cut allows.
    fn parts(&self, to: Cut, depth: usize, out: &mut String) {
        match self {
            Node::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    item.write(to, depth + 1, out);
                }
                out.push(']');
            }
            Node::Object(pairs) => {
                out.push('{');
                for (at, (key, value)) in pairs.iter().take(to.keys).enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    quote(key, out);
                    out.push(':');
                    value.write(to, depth + 1, out);
                }
                if pairs.len() > to.keys {
                    out.push(',');
                    quote(MARK, out);
                    out.push(':');
                    quote(MARK, out);
                }
                out.push('}');
            }
            other => other.write(to, depth, out),
        }
    }

    /// A list or an object as it is, if that is no longer than the mark that would stand for it.
    fn small(&self) -> Option<String> {
        let parts = match self {
            Node::List(items) => items.len(),
            Node::Object(pairs) => pairs.len(),
            _ => return None,
        };
        let all = Cut { items: usize::MAX, chars: MARK.len(), depth: usize::MAX, keys: usize::MAX };
        let mut text = String::new();
        if parts <= MARK.len() {
            self.parts(all, 0, &mut text);
        }
        (1..=MARK.len() + 4).contains(&text.len()).then_some(text)
    }
}

fn quote(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// How much stays: the most items of a list, characters of a text, levels, keys of an object.
#[derive(Clone, Copy)]
struct Cut {
    items: usize,
    chars: usize,
    depth: usize,
    keys: usize,
}

impl<'a> Data<'a> {
    /// `None` if the text is no data of its format: then it is shortened as text.
    pub(super) fn read(format: Format, text: &'a str) -> Option<Self> {
        match format {
            Format::Json => Node::read(serde_json::from_str(text).ok()?, 0).map(Data::Json),
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
                let write = |at: usize| {
                    let mut text = String::new();
                    value.write(cuts[at], 0, &mut text);
                    text
                };
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
    // Only where not even all keys of the top fit some of them go.
    cuts.extend([4, 16, 64, 256].map(|keys| Cut { items: 0, chars: 24, depth: 1, keys }));
    cuts.extend((1..=4).map(|depth| Cut { items: 0, chars: 24, depth, keys: usize::MAX }));
    for step in 1..=40 {
        // Lists and texts grow together, each step by a quarter.
        let grow = |first: f64| (first * libm::pow(1.25, f64::from(step))) as usize;
        cuts.push(Cut { items: grow(1.0), chars: grow(40.0), depth: 4 + step as usize, keys: usize::MAX });
    }
    cuts
}

/// The head and the first rows, and a row of the mark if there are more.
fn rows_of(table: &Table<'_>, separator: u8, rows: usize) -> String {
    let mut text = table.part(0, rows);
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
    use serde_json::{Value, json};

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
        // Numbers stay to the last digit.
        let text = r#"{"n": 12345678901234567890123, "m": 1.10, "t": "many words that do not all fit in here, nor elsewhere"}"#;
        let short = r#"{"n":12345678901234567890123,"m":1.10,"t":"many words that do not a[… left out …]"}"#;
        check(Format::Json, text, 84, Some(short));
        let keys: Vec<String> = (0..300).map(|key| format!("\"key{key}\": 1")).collect();
        let text = format!("{{{}}}", keys.join(", "));
        let short = r#"{"key0":1,"key1":1,"key2":1,"key3":1,"[… left out …]":"[… left out …]"}"#;
        check(Format::Json, &text, 80, Some(short));
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
