//! An answer as it comes: server-sent events, JSON lines, or one JSON document, told apart by what is
//! there and not by what the server calls it.
//!
//! Server-sent events as the HTML standard has them (section 9.2.6), as far as model APIs use them.

use std::io::{self, BufRead};

use serde_json::Value;

/// The most bytes of one answer.
const LONGEST: u64 = 64 * 1024 * 1024;

/// What went wrong with a stream.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection.
    Io(io::Error),
    /// What came is not JSON where JSON should be; how it begins.
    Garbage(String),
    /// An event of a stream is not JSON; how it begins.
    BadEvent(String),
    /// It does not end.
    TooLong,
}

/// One piece of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    /// An event of a stream.
    Event(Value),
    /// The whole answer.
    Whole(Value),
}

/// Reads an answer piece by piece. Ends with the stream, or when `take` says that it has all (`false`).
pub(super) fn read<E: From<Broken>>(
    reader: impl io::Read,
    lines: bool,
    take: &mut dyn FnMut(Piece) -> Result<bool, E>,
) -> Result<(), E> {
    let mut reader = io::BufReader::new(reader.take(LONGEST));
    let mut line = Vec::new();
    let mut data: Option<Vec<u8>> = None;
    let mut first = true;
    let mut read_line = |line: &mut Vec<u8>| -> Result<bool, Broken> {
        line.clear();
        reader.read_until(b'\n', line).map_err(Broken::Io)?;
        if !line.ends_with(b"\n") && reader.get_ref().limit() == 0 {
            return Err(Broken::TooLong);
        }
        Ok(!line.is_empty())
    };
    let (mut events, mut begun) = (false, false);
    while read_line(&mut line)? {
        if std::mem::take(&mut first) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        let whole_line = line.ends_with(b"\n");
        let text = line.trim_ascii_end();
        let is_field = |text: &[u8]| {
            [&b"data:"[..], b"event:", b"id:", b"retry:", b":"].iter().any(|field| text.starts_with(field))
        };
        if !events && !is_field(text) {
            if text.trim_ascii_start().is_empty() {
                continue;
            }
            let whole: Option<Value> = serde_json::from_slice(text).ok();
            if lines && (begun || whole.is_some()) {
                begun = true;
                if !take(Piece::Event(event(text)?))? {
                    return Ok(());
                }
                continue;
            }
            // Not a stream, or not one of this API: the rest belongs to the same document, or is more of its kind.
            let mut all = std::mem::take(&mut line);
            while read_line(&mut line)? {
                all.extend_from_slice(&line);
            }
            match json(&all) {
                Ok(value) if lines => drop(take(Piece::Event(value))?),
                Ok(value) => drop(take(Piece::Whole(value))?),
                Err(garbage) => {
                    let lines = all.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
                    let events = lines.filter(|line| !line.is_empty()).map(serde_json::from_slice);
                    // Lines of JSON, or nothing that is known.
                    let Ok(events) = events.collect::<Result<Vec<Value>, _>>() else {
                        return Err(garbage.into());
                    };
                    for event in events {
                        if !take(Piece::Event(event))? {
                            break;
                        }
                    }
                }
            }
            return Ok(());
        }
        events = true;
        if text.is_empty() {
            if let Some(data) = data.take()
                && (data == b"[DONE]" || !take(Piece::Event(event(&data)?))?)
            {
                return Ok(());
            }
        } else if let Some(value) = text.strip_prefix(b"data:") {
            // An event that the stream's end cut off is none.
            if !whole_line {
                return Ok(());
            }
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &mut data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => data = Some(value.to_vec()),
            }
        }
    }
    // The end of a stream ends its last event as well, if that is whole.
    let last = data.and_then(|data| serde_json::from_slice::<Value>(&data).ok());
    match last.filter(Value::is_object) {
        Some(last) => take(Piece::Event(last)).map(drop),
        None => Ok(()),
    }
}

fn json(bytes: &[u8]) -> Result<Value, Broken> {
    serde_json::from_slice(bytes).map_err(|_| Broken::Garbage(beginning(bytes)))
}

fn event(bytes: &[u8]) -> Result<Value, Broken> {
    serde_json::from_slice(bytes).map_err(|_| Broken::BadEvent(beginning(bytes)))
}

fn beginning(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(4000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time.
    struct Drops<'a>(&'a [u8]);

    impl io::Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let take = self.0.len().min(1).min(buffer.len());
            buffer[..take].copy_from_slice(&self.0[..take]);
            self.0 = &self.0[take..];
            Ok(take)
        }
    }

    impl From<Broken> for String {
        fn from(broken: Broken) -> String {
            format!("{broken:?}")
        }
    }

    fn pieces(text: &str, lines: bool) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        read::<String>(Drops(text.as_bytes()), lines, &mut |piece| {
            found.push(match piece {
                Piece::Event(value) => format!("event {value}"),
                Piece::Whole(value) => format!("whole {value}"),
            });
            Ok(true)
        })?;
        Ok(found)
    }

    #[test]
    fn events_come_one_by_one() {
        let text = ": hello\r\n\r\nevent: x\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\ndata:2\n\ndata: [DONE]\n\ndata: 3\n\n";
        assert_eq!(pieces(text, false), Ok(vec!["event {\"a\":1}".into(), "event 2".into()]));
    }

    #[test]
    fn an_event_that_is_cut_off_is_none() {
        assert_eq!(pieces("data: 1\n\ndata: 2\n", false), Ok(vec!["event 1".into()]));
        assert_eq!(pieces("data: 1\n\ndata: {\"a\"", false), Ok(vec!["event 1".into()]));
        assert_eq!(pieces("data: {\"a\": 1}\n", false), Ok(vec!["event {\"a\":1}".into()]));
    }

    #[test]
    fn lines_of_json_and_documents_are_told_apart() {
        assert_eq!(
            pieces("{\"a\":1}\n\n{\"b\":2}", true),
            Ok(vec!["event {\"a\":1}".into(), "event {\"b\":2}".into()])
        );
        assert_eq!(pieces("\n{\n \"a\": 1\n}\n", false), Ok(vec!["whole {\"a\":1}".into()]));
        assert_eq!(pieces("", false), Ok(vec![]));
        assert_eq!(pieces("{\n \"a\": 1\n}\n", true), Ok(vec!["event {\"a\":1}".into()]));
        let both = Ok(vec!["event {\"a\":1}".into(), "event {\"b\":2}".into()]);
        assert_eq!(pieces("{\"a\":1}\n\n{\"b\":2}\n", false), both);
    }

    #[test]
    fn what_is_no_json_is_told_with_its_beginning() {
        assert_eq!(pieces("<html>\n <b>no</b>", false), Err("Garbage(\"<html> <b>no</b>\")".into()));
        assert_eq!(pieces("data: {\n\n", false), Err("BadEvent(\"{\")".into()));
        assert_eq!(pieces("{\"a\":1}\n{\"b\"", true), Err("BadEvent(\"{\\\"b\\\"\")".into()));
    }
}
