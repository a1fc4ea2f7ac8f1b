//! Tables: the rows of CSV, addressed as RFC 7111 has it.

use super::Passage;

/// A table as its records stand in the text, line ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<'a> {
    /// The first record.
    pub head: &'a str,
    /// The others.
    pub rows: Vec<&'a str>,
}

/// The records of a text; `None` if it has none or is no CSV.
pub fn table(text: &str, separator: u8) -> Option<Table<'_>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .from_reader(text.as_bytes());
    let mut starts = Vec::new();
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).ok()? {
        starts.push(record.position()?.byte() as usize);
    }
    let mut records = Vec::with_capacity(starts.len());
    for (at, start) in starts.iter().enumerate() {
        let end = starts.get(at + 1).copied().unwrap_or(text.len());
        // Blank lines before a record belong to none.
        records.push(text.get(*start..end)?.trim_start_matches(['\n', '\r']));
    }
    let (head, rows) = records.split_first()?;
    Some(Table { head, rows: rows.to_vec() })
}

/// Rows by `row=5`, `row=5-7` or `row=5-*`, under the head.
pub(super) fn rows(text: &str, separator: u8, address: &str) -> Option<String> {
    let range = address.trim().strip_prefix("row=")?;
    let (from, to) = range.split_once('-').unwrap_or((range, range));
    let table = table(text, separator)?;
    let last = table.rows.len() + 1;
    let from: usize = from.trim().parse().ok().filter(|from| (1..=last).contains(from))?;
    let to = if to.trim() == "*" { last } else { to.trim().parse::<usize>().ok()?.min(last) };
    (to >= from).then(|| table.part(from.max(2) - 2, to.max(1) - 1))
}

/// The first and the last row that an address means; the head, which is always there, is none.
pub(super) fn row_numbers(address: &str) -> Option<(usize, usize)> {
    let range = address.strip_prefix("row=")?;
    let (from, to) = range.split_once('-').unwrap_or((range, range));
    let to = if to.trim() == "*" { usize::MAX } else { to.trim().parse().ok()? };
    Some((from.trim().parse::<usize>().ok()?.max(2), to))
}

impl Table<'_> {
    /// The head and the rows from one to before another, counted from 0, each with one line end.
    pub fn part(&self, from: usize, to: usize) -> String {
        std::iter::once(&self.head).chain(&self.rows[from..to]).map(|record| ended(record)).collect()
    }
}

fn ended(record: &str) -> String {
    format!("{}\n", record.trim_end_matches(['\n', '\r']))
}

/// The table in passages of so many rows.
pub(super) fn chunks(text: &str, separator: u8, size: usize) -> Vec<Passage> {
    let Some(table) = table(text, separator) else { return Vec::new() };
    let last = table.rows.len() + 1;
    (2..=last)
        .step_by(size)
        .map(|from| {
            let to = (from + size - 1).min(last);
            let text = table.part(from - 2, to - 1);
            Passage { address: Some(format!("row={from}-{to}")), headings: Vec::new(), text }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name,note\na,\"two\nlines\"\nb,x\nc,y\n";

    fn check(address: &str, expected: Option<&str>) {
        assert_eq!(rows(TEXT, b',', address).as_deref(), expected);
    }

    #[test]
    fn rows_are_counted_with_the_head_and_keep_it() {
        check("row=2", Some("name,note\na,\"two\nlines\"\n"));
        check("row=3-4", Some("name,note\nb,x\nc,y\n"));
        check("row=3-*", Some("name,note\nb,x\nc,y\n"));
        check("row=1", Some("name,note\n"));
        check("row=9", None);
        check("row=3-2", None);
        check("b", None);
    }
}
