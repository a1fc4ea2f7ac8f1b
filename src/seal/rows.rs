//! Rows as a seal keeps them: JSON, a line each, in the order of their tasks.
//!
//! Of most there is nothing to say but who they are: then the line is an array of id, output, priority and level, a
//! third as long as the row.

use crate::plan::State;
use crate::run::Row;

/// Id, output, priority and level of a task that is up to date.
type Plain<S> = (S, S, i64, usize);

/// Rows, a line each.
pub(super) fn lines<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Option<Vec<u8>> {
    let mut lines = Vec::new();
    for row in rows {
        let plain = (row.id.as_str(), row.output.as_str(), row.priority.unwrap_or(0), row.level.unwrap_or(0));
        let written = match row_of(plain) == *row {
            true => serde_json::to_writer(&mut lines, &plain),
            false => serde_json::to_writer(&mut lines, row),
        };
        written.ok()?;
        lines.push(b'\n');
    }
    Some(lines)
}

/// The rows of some lines. `None` if one is none.
pub(super) fn rows(lines: &[u8]) -> Option<Vec<Row>> {
    let row = |line: &str| match line.starts_with('[') {
        true => serde_json::from_str(line).ok().map(row_of::<String>),
        false => serde_json::from_str(line).ok(),
    };
    std::str::from_utf8(lines).ok()?.lines().map(row).collect()
}

fn row_of<S: Into<String>>((id, output, priority, level): Plain<S>) -> Row {
    let id: String = id.into();
    Row {
        plan: id.rsplit_once('/').map_or("", |(plan, _)| plan).to_owned(),
        id,
        state: State::Fresh,
        reasons: Vec::new(),
        output: output.into(),
        priority: Some(priority),
        level: Some(level),
        on: Vec::new(),
        message: None,
        unchanged: Some(true),
    }
}

/// Lines with other rows of the same tasks in place of some, which come with their numbers, in order. `None` if there are
/// no such lines.
pub(super) fn patched<'a>(lines: &[u8], rows: impl Iterator<Item = (usize, &'a Row)>) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(lines).ok()?;
    let mut ends = text.match_indices('\n').map(|(at, _)| at + 1);
    let (mut new, mut number, mut done, mut start) = (Vec::with_capacity(lines.len() + 1024), 0, 0, 0);
    for (wanted, row) in rows {
        let before = wanted.checked_sub(number)?;
        if before > 0 {
            start = ends.nth(before - 1)?;
        }
        let end = ends.next()?;
        if self::rows(&lines[start..end])?.first()?.id != row.id {
            return None;
        }
        new.extend(&lines[done..start]);
        new.extend(self::lines([row])?);
        (number, done, start) = (wanted + 1, end, end);
    }
    new.extend(&lines[done..]);
    Some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Vec<Row> {
        let plain = |id: &str| row_of((id.to_owned(), format!("out/{id}.md"), -3, 2));
        let mut all: Vec<Row> = ["a", "b/c", "b/d", "e/f/g"].map(plain).into();
        all[2].state = State::Stale;
        all[2].on = vec!["a".into()];
        all
    }

    #[test]
    fn what_is_written_is_read() {
        let lines = lines(&some()).unwrap_or_default();
        assert_eq!(rows(&lines), Some(some()));
        let text = String::from_utf8(lines).unwrap_or_default();
        assert!(
            text.starts_with("[\"a\",\"out/a.md\",-3,2]\n[\"b/c\",\"out/b/c.md\",-3,2]\n{\"id\":\"b/d\","),
            "{text}"
        );
        assert_eq!(rows(b"[\"a\",\"out/a.md\",-3]\n"), None);
        assert_eq!(rows(b"{}\n"), None);
    }

    #[test]
    fn no_part_of_a_row_is_lost() {
        let plain = || row_of(("a/b", "out/a/b.md", 1, 1));
        for other in [
            Row { state: State::Edited, ..plain() },
            Row { plan: String::new(), ..plain() },
            Row { priority: None, ..plain() },
            Row { level: None, ..plain() },
            Row { on: vec!["a".into()], ..plain() },
            Row { message: Some(String::new()), ..plain() },
            Row { unchanged: None, ..plain() },
        ] {
            let lines = lines([&other]).unwrap_or_default();
            assert_eq!(rows(&lines), Some(vec![other]));
        }
    }

    #[test]
    fn some_lines_are_replaced() {
        let whole = lines(&some()).unwrap_or_default();
        let new = |at| Row { state: State::Failed, message: Some("no".into()), ..some().remove(at) };
        for wanted in [&[][..], &[0], &[1], &[3], &[0, 1, 2, 3], &[0, 3], &[1, 2]] {
            let mut expected = some();
            for at in wanted {
                expected[*at] = new(*at);
            }
            let rows_of_some: Vec<Row> = wanted.iter().copied().map(new).collect();
            let patched = patched(&whole, wanted.iter().copied().zip(&rows_of_some));
            assert_eq!(patched.and_then(|lines| rows(&lines)), Some(expected), "{wanted:?}");
        }
        let new = new(1);
        assert_eq!(patched(&whole, [(2, &new)].into_iter()), None, "another task's line");
        assert_eq!(patched(&whole, [(4, &new)].into_iter()), None);
        assert_eq!(patched(&whole, [(1, &new), (1, &new)].into_iter()), None);
    }
}
